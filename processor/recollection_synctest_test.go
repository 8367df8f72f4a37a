//go:build synctests

package processor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// of an id, of all ends.
func endsOf(id string, ends []*kgo.Record) []*kgo.Record {
	return some(ends, func(r *kgo.Record) bool { return bytes.Contains(r.Value, []byte(id)) })
}

// One replica is granted a request and goes; another is refused the record that repeats
// it, for what the first has used up.
func TestRefusedRepeatOfWhatAnotherWasGrantedIsNotFailed(t *testing.T) {
	const id = "sent-twice"
	for name, leave := range map[string]func(*shop, *replica){
		"stopped": func(s *shop, r *replica) { require.NoError(s.t, r.stopped()) },
		"killed":  func(_ *shop, r *replica) { r.killed() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, limitFirst(20*time.Millisecond))
				first := s.start(s.config("r1"))
				q := s.request(id)
				s.produce(0, nil, q)
				s.settled(1)
				leave(s, first)
				cfg := s.config("r2")
				cfg.Retry.Delay, cfg.Retry.GiveUpAfter = time.Minute, 3*time.Minute
				second := s.start(cfg)
				s.produce(0, nil, s.requests("other", 3*leastAhead)...) // of a kill some are in doubt, and the repeat is not to be
				s.settled(1 + 3*leastAhead)
				s.produce(0, nil, q)
				time.Sleep(15 * time.Minute)
				ends := endsOf(id, s.allEnds())
				require.Len(t, on(s.topics.Granted, ends), 1)
				require.Empty(t, on(s.topics.Failed, ends))
				letters := on(s.topics.DeadLetter, ends)
				require.Len(t, letters, 1)
				require.Equal(t, string(schemas.GrantUnknown), headerText(letters[0], headerReason))
				require.NoError(t, second.stopped())
			})
		})
	}
}

// What another asked for is known, and not what came of it: where that was refused, or never
// called since its time had passed, the repeat is in doubt all the same.
func TestRepeatOfWhatAnotherEndedWithoutAGrantIsInDoubt(t *testing.T) {
	for name, expires := range map[string]bool{"refused": false, "expired": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
					calls.Add(1)
					return refused("-7"), nil
				}))
				q := s.request("sent-twice")
				if expires {
					q.ExpiresAt = time.Now().Add(time.Second)
				}
				s.produce(0, nil, q)
				time.Sleep(time.Minute)
				first := s.start(s.config("r1"))
				require.Len(t, on(s.topics.Failed, s.settled(1)), 1)
				require.NoError(t, first.stopped())
				calls.Store(0)
				cfg := s.config("r2")
				cfg.Retry.Delay, cfg.Retry.GiveUpAfter = time.Minute, 3*time.Minute
				second := s.start(cfg)
				s.produce(0, nil, q)
				time.Sleep(15 * time.Minute)
				require.Positive(t, calls.Load())
				require.Len(t, on(s.topics.Failed, s.allEnds()), 1, "of the first")
				letters := on(s.topics.DeadLetter, s.allEnds())
				require.Len(t, letters, 1)
				require.Equal(t, string(schemas.GrantUnknown), headerText(letters[0], headerReason))
				require.NoError(t, second.stopped())
			})
		})
	}
}

// The same above the watermark, where only the finished set tells that it has ended.
func TestRefusedRepeatOfWhatEndedAboveTheWatermarkIsNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := limitFirst(20 * time.Millisecond)
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			if outID(r) == "silent" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return gateway(r)
		}))
		first := s.start(s.config("r1"))
		q := s.request("sent-twice")
		s.produce(0, []byte("silent"), s.request("silent"))
		s.produce(0, []byte("key"), q)
		s.settled(1)
		first.killed()
		at, m := s.position("coupongrant", partition{s.topics.Store, 0})
		require.EqualValues(t, 0, at)
		require.Equal(t, []int64{1}, m.position.finished)
		cfg := s.config("r2")
		second := s.start(cfg)
		s.produce(0, nil, s.requests("other", 3*leastAhead)...)
		s.settled(1 + 3*leastAhead)
		s.produce(0, nil, q)
		time.Sleep(time.Minute)
		ends := endsOf("sent-twice", s.allEnds())
		require.Len(t, on(s.topics.Granted, ends), 1)
		require.Empty(t, on(s.topics.Failed, ends))
		require.Len(t, on(s.topics.Retry, ends), 1)
		require.NoError(t, second.stopped())
	})
}

// A request that was parked uncalled stands in its partition as well, and is no repeat of
// that: it is refused as it would be anywhere.
func TestParkedRequestIsNoRepeatOfItself(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "and one that repeats it": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) { return refused("-7"), nil }))
				q := s.request("id")
				s.produce(0, nil, slices.Repeat([]schemas.Request{q}, 1+others)...)
				m := freshAt(int64(1 + others))
				m.nonce = newNonce()
				s.commit(partition{s.topics.Store, 0}, int64(1+others), m.encode())
				require.NoError(t, s.client.ProduceSync(t.Context(), s.parked(0, q, s.topics.Store+"/0/0")).FirstErr())
				r := s.start(s.config("r1"))
				time.Sleep(time.Minute)
				require.Len(t, on(s.topics.Failed, s.allEnds()), 1-others)
				require.Contains(t, r.log.String(), fmt.Sprintf("asked_before=%d", 1+others))
				require.NoError(t, r.stopped())
			})
		})
	}
}

// Nor is one that waits in the retry topic, in doubt, forgotten while it waits.
func TestRefusedRepeatOfWhatWaitsInDoubtIsNotFailed(t *testing.T) {
	for _, doubt := range []bool{true, false} {
		t.Run(fmt.Sprint(doubt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) { return refused("-7"), nil }))
				q := s.request("id")
				require.NoError(t, s.client.ProduceSync(t.Context(), s.parked(0, q, s.topics.Store+"/1/0",
					kgo.RecordHeader{Key: headerInDoubt, Value: fmt.Append(nil, doubt)},
					kgo.RecordHeader{Key: headerNextAt, Value: []byte(rfc3339(time.Now().Add(5 * time.Minute)))})).FirstErr())
				r := s.start(s.config("r1"))
				time.Sleep(time.Minute)
				s.produce(0, nil, q)
				time.Sleep(time.Minute)
				require.Equal(t, doubt, len(on(s.topics.Failed, s.allEnds())) == 0)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// A dead letter that was never called, and is put back when what was wrong is mended, is no
// repeat of itself, however long ago it was written.
func TestReplayIsNoRepeatOfWhatItIsPutBackFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		q := s.request("id")
		s.produce(0, nil, q)
		m := freshAt(1)
		m.nonce = newNonce()
		s.commit(partition{s.topics.Store, 0}, 1, m.encode())
		time.Sleep(s.config("r1").IdempotencyWindow + time.Hour)
		value, err := s.codec.EncodeRequest(s.topics.Store, q)
		require.NoError(t, err)
		require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value, Headers: []kgo.RecordHeader{
			{Key: headerReplayOf, Value: []byte(s.topics.Store + "/0/0")},
		}}).FirstErr())
		r := s.start(s.config("r1"))
		require.Len(t, on(s.topics.Granted, s.settled(1)), 1)
		require.Contains(t, r.log.String(), "asked_before=1")
		require.NoError(t, r.stopped())
	})
}

// What is read back is what has ended, in a log with all that can stand in one.
func TestRecollectionReadsWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(grantsAlways))
		s.produce(0, nil, s.requests("cut", 3)...)
		s.produce(0, nil, s.requests("early", 2)...) // 3, 4
		s.produceRaw(0, []byte("garbage"))           // 5
		upstream, err := kgo.NewClient(append(s.options(), kgo.TransactionalID("upstream"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		require.NoError(t, err)
		defer upstream.Close()
		send := func(id string, then kgo.TransactionEndTry) { // an offset for it, and one for the marker
			value, err := s.codec.EncodeRequest(s.topics.Store, s.request(id))
			require.NoError(t, err)
			require.NoError(t, upstream.BeginTransaction())
			require.NoError(t, upstream.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value}).FirstErr())
			require.NoError(t, upstream.EndTransaction(t.Context(), then))
		}
		send("aborted", kgo.TryAbort)                  // 6, 7
		send("committed", kgo.TryCommit)               // 8, 9
		s.produce(0, nil, s.requests("open", 1)...)    // 10
		s.produce(0, nil, s.requests("above", 1)...)   // 11
		s.produce(0, nil, s.requests("to-come", 2)...) // 12, 13
		s.produce(1, nil, s.requests("other", 1)...)
		cut := kadm.Offsets{}
		cut.Add(kadm.Offset{Topic: s.topics.Store, Partition: 0, At: 3})
		_, err = kadm.NewClient(s.client).DeleteRecords(t.Context(), cut)
		require.NoError(t, err)

		log := &transcript{t: t}
		back := func(of map[partition]reach) map[partition][]string {
			r := &recollection{cfg: s.config("r1"), log: slog.New(slog.NewTextHandler(log, nil)), kafka: s.options(), codec: s.codec, registry: s.newRegistry(), asked: newAsked()}
			ids := map[partition][]string{}
			for p, all := range r.of(t.Context(), of) {
				for _, e := range all {
					ids[p] = append(ids[p], e.origin+" "+e.requestID)
				}
			}
			return ids
		}
		zero, one := partition{s.topics.Store, 0}, partition{s.topics.Store, 1}
		for name, row := range map[string]struct {
			position position
			start    int64
			want     []string
		}{
			"up to a marker":    {position{watermark: 10}, 3, []string{"/0/3 early-0", "/0/4 early-1", "/0/8 committed"}},
			"up to an abort":    {position{watermark: 8}, 3, []string{"/0/3 early-0", "/0/4 early-1"}},
			"up to garbage":     {position{watermark: 6}, 3, []string{"/0/3 early-0", "/0/4 early-1"}},
			"the finished set":  {position{watermark: 10, finished: []int64{11}}, 3, []string{"/0/3 early-0", "/0/4 early-1", "/0/8 committed", "/0/11 above-0"}},
			"nothing below":     {position{watermark: 3}, 3, nil},
			"only the finished": {position{watermark: 3, finished: []int64{8}}, 3, []string{"/0/8 committed"}},
		} {
			began := time.Now()
			want := map[partition][]string{}
			for _, text := range row.want {
				want[zero] = append(want[zero], s.topics.Store+text)
			}
			require.Equal(t, want, back(map[partition]reach{zero: reachOf(row.position, row.start, 1)}), name)
			require.Less(t, time.Since(began), time.Second, name)
			require.Empty(t, log.String(), name)
		}
		require.Equal(t, map[partition][]string{one: {s.topics.Store + "/1/0 other-0"}}, back(map[partition]reach{
			zero: reachOf(position{watermark: 10}, 0, 2), one: reachOf(position{watermark: 1}, 0, 2),
		}), "where the log does not begin there")
		require.Contains(t, log.String(), "OFFSET_OUT_OF_RANGE")
		require.Contains(t, log.String(), "partitions_unread=1")
	})
}

// What cannot be read back keeps nobody waiting.
func TestRequestsDoNotWaitForARecollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		first := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("early", 10)...)
		s.settled(10)
		require.NoError(t, first.stopped())
		s.kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			f := req.(*kmsg.FetchRequest)
			for _, topic := range f.Topics {
				for _, p := range topic.Partitions {
					if p.FetchOffset < 10 && s.kafka.TopicIDInfo(topic.TopicID) != nil && s.kafka.TopicIDInfo(topic.TopicID).Topic == s.topics.Store {
						resp := f.ResponseKind().(*kmsg.FetchResponse)
						resp.ErrorCode = kerr.UnknownServerError.Code
						return resp, nil, true
					}
				}
			}
			return nil, nil, false
		})
		second := s.start(s.config("r2"))
		s.produce(0, nil, s.requests("late", 1)...)
		began := time.Now()
		s.settled(11)
		require.Less(t, time.Since(began), recalledFor+10*time.Second)
		require.Contains(t, second.log.String(), "could not all be read back")
		require.NoError(t, second.stopped())
	})
}

// A registry that is down is asked for one schema, and the log says what came of it.
func TestRecollectionWithoutARegistrySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		s.produce(0, nil, s.requests("early", 3)...)
		asked := 0
		s.registry = always(func(r *http.Request) (*http.Response, error) {
			asked++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		log, reg := &transcript{t: t}, s.newRegistry()
		r := &recollection{
			cfg: s.config("r1"), log: slog.New(slog.NewTextHandler(log, nil)), kafka: s.options(), registry: reg, asked: newAsked(),
			codec: schemas.NewCodec(reg, schemas.Rules{}),
		}
		began := time.Now()
		require.Empty(t, r.of(t.Context(), map[partition]reach{{s.topics.Store, 0}: reachOf(position{watermark: 3}, 0, 1)}))
		require.Less(t, time.Since(began), 2*recalledSchema)
		require.Equal(t, 1, asked)
		require.Contains(t, log.String(), "could not all be read back")
		require.Contains(t, log.String(), "schema")
	})
}

// Brokers that do not answer keep a partition waiting for no longer than said.
func TestRecollectionIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		s.produce(0, nil, s.requests("early", 3)...)
		way := newLine(s.network.DialContext)
		way.answer = func(key kmsg.Key, _ []byte) bool {
			if key == kmsg.Fetch {
				time.Sleep(time.Minute)
			}
			return true
		}
		log := &transcript{t: t}
		r := &recollection{
			cfg: s.config("r1"), log: slog.New(slog.NewTextHandler(log, nil)), codec: s.codec, registry: s.newRegistry(), asked: newAsked(),
			kafka: []kgo.Opt{kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.Dialer(way.DialContext)},
		}
		began := time.Now()
		require.Empty(t, r.of(t.Context(), map[partition]reach{{s.topics.Store, 0}: reachOf(position{watermark: 3}, 0, 1)}))
		require.Less(t, time.Since(began), recalledFor+time.Second)
		require.Contains(t, log.String(), "could not all be read back")
		time.Sleep(2 * time.Minute) // by then the slow answer has come
	})
}

// A log full of ids that no registry knows has few of them asked for, and each once. Requests
// may be among those that are not asked for: the log says that not all was read back.
func TestRecollectionAsksForFewSchemas(t *testing.T) {
	const unknown = 10 * recalledSchemas
	for name, row := range map[string]struct {
		ids, asked int
		says       string
	}{
		"one id":   {1, 1, ""},
		"many ids": {unknown, recalledSchemas, "more than 16 schemas are not known yet"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(grantsAlways))
				for i := range unknown {
					s.produceRaw(0, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(9000+i%row.ids)), "whatever"...))
				}
				s.produce(0, nil, s.requests("known", 1)...)
				registry, asked := s.registry, 0
				s.registry = always(func(r *http.Request) (*http.Response, error) {
					asked++
					return registry.RoundTrip(r)
				})
				log := &transcript{t: t}
				r := &recollection{cfg: s.config("r1"), log: slog.New(slog.NewTextHandler(log, nil)), kafka: s.options(), codec: s.codec, registry: s.newRegistry(), asked: newAsked()}
				found := r.of(t.Context(), map[partition]reach{{s.topics.Store, 0}: reachOf(position{watermark: unknown + 1}, 0, 1)})
				require.Len(t, found[partition{s.topics.Store, 0}], 1)
				require.Equal(t, row.asked, asked)
				require.Equal(t, row.says == "", log.String() == "")
				require.Contains(t, log.String(), row.says)
			})
		})
	}
}

// A rebalance while it is read back: kgo asks again, and nothing was opened.
func TestRecollectionThatARebalanceEndsIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		s.produce(0, nil, s.requests("early", 3)...)
		var slow atomic.Bool
		slow.Store(true)
		way := newLine(s.network.DialContext)
		way.answer = func(key kmsg.Key, _ []byte) bool {
			if key == kmsg.Fetch && slow.Load() {
				time.Sleep(2 * time.Second)
			}
			return true
		}
		events := newMailbox[event](newBell())
		as := newAssignments(events, s.config("r1"), nil, nil, &recollection{
			cfg: s.config("r1"), log: slog.New(slog.DiscardHandler), codec: s.codec, registry: s.newRegistry(), asked: newAsked(),
			kafka: []kgo.Opt{kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.Dialer(way.DialContext)},
		})
		zero := partition{s.topics.Store, 0}
		as.fetched[zero] = freshAt(3)
		client, err := kgo.NewClient(s.options()...)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		offsets := func() map[string]map[int32]kgo.Offset {
			return map[string]map[int32]kgo.Offset{zero.topic: {zero.number: kgo.NewOffset()}}
		}
		_, err = as.open(ctx, client, offsets())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, events.take())
		slow.Store(false)
		_, err = as.open(t.Context(), client, offsets())
		require.NoError(t, err)
		told := events.take()
		require.Len(t, told, 1)
		require.Len(t, told[0].opened[0].before, 3)
		time.Sleep(time.Minute) // by then the slow answer has come
	})
}

func TestReachIsShorterWhereMuchComesTogether(t *testing.T) {
	at := position{watermark: 100_000}
	require.EqualValues(t, 100_000-recalledRecords, reachOf(at, 0, 1).from)
	require.EqualValues(t, 100_000-recalledRecords, reachOf(at, 0, 4).from)
	require.EqualValues(t, 100_000-recalledAtOnce/64, reachOf(at, 0, 64).from)
	require.EqualValues(t, 99_999, reachOf(at, 99_999, 64).from)
	at.finished = []int64{200_000}
	require.Equal(t, reach{from: 100_000 - recalledRecords, to: 200_001, position: at}, reachOf(at, 0, 1), "what ended far above hides nothing below")
}
