//go:build synctests

package processor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Brokers take no result for minutes, with an error that is tried again: the results are
// kept all the while, a hold names the topic, and nobody is called again, which this
// gateway would refuse.
func TestResultsAreKeptWhileBrokersDoNotTakeThem(t *testing.T) {
	for _, err := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.KafkaStorageError} {
		t.Run(err.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(limitFirst(20 * time.Millisecond))
				s := newShop(t, 1, gateway)
				r := s.start(s.config("r1"))
				s.produce(0, nil, s.requests("first", 1)...)
				s.settled(1)
				refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1, Topic: s.topics.Granted})
				s.produce(0, nil, s.requests("id", 20)...)
				ready := 0
				for second := range 240 {
					time.Sleep(time.Second)
					if second >= 20 && r.Health().Ready() {
						ready++
					}
				}
				require.Positive(t, refused.Hits())
				require.Zero(t, ready, "seconds in which it said that all was well")
				require.Contains(t, reasons(r.Health().Holds, holdTopic), s.topics.Granted)
				refused.Remove()
				onceEach(t, 21, s.settled(21))
				require.Len(t, on(s.topics.Granted, s.allEnds()), 21)
				require.Equal(t, 21, gateway.total(), "each once")
				time.Sleep(10 * time.Second)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// As real brokers do it: they take no marker either, so that the abort does not end and all
// that comes after it is refused. Kgo's client would not survive that.
func TestResultsAreKeptWhileTheirAbortDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(limitFirst(20 * time.Millisecond))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("first", 1)...)
		s.settled(1)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1, Topic: s.topics.Granted})
		s.produce(0, nil, s.requests("id", 20)...)
		r.until(func() bool { return reasons(r.Health().Holds, holdTopic) != "" })
		refused.Remove()
		e := s.keepEnding("r1", "PrepareAbort")
		for range 240 {
			time.Sleep(time.Second)
			require.Contains(t, reasons(r.Health().Holds, holdTopic), s.topics.Granted)
		}
		e.isOver()
		onceEach(t, 21, s.settled(21))
		require.Len(t, on(s.topics.Granted, s.allEnds()), 21)
		require.Equal(t, 21, gateway.total(), "each once")
		require.Zero(t, testutil.ToFloat64(r.metrics.rebuilds))
		require.NoError(t, r.stopped())
	})
}

// The same of a transaction that commits. What is begun after it waits, whatever it is, and
// a stop does not.
func TestTransactionWaitsForTheEndOfTheOneBefore(t *testing.T) {
	for name, stops := range map[string]bool{"it ends": false, "we are stopped": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(limitFirst(20 * time.Millisecond))
				s := newShop(t, 1, gateway)
				cfg := s.config("r1")
				r := s.start(cfg)
				s.produce(0, nil, s.requests("first", 1)...)
				s.settled(1)
				e := s.keepEnding("r1", "PrepareCommit")
				s.produce(0, nil, s.requests("id", 20)...)
				time.Sleep(endBound(cfg) + cfg.TransactionTimeout)
				for range 180 {
					time.Sleep(time.Second)
					require.Contains(t, reasons(r.Health().Holds, holdTransaction), "min.insync.replicas")
				}
				require.True(t, r.Health().Live)
				if stops {
					began := time.Now()
					require.NoError(t, r.stopped())
					require.LessOrEqual(t, time.Since(began), cfg.StopTimeout+2*cfg.TransactionTimeout+10*time.Second)
					e.isOver()
					return
				}
				e.isOver()
				onceEach(t, 21, s.settled(21))
				require.Equal(t, 21, gateway.total(), "each once")
				require.Zero(t, testutil.ToFloat64(r.metrics.rebuilds))
				time.Sleep(10 * time.Second)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// unending is a transaction whose end takes long: all that comes after it is refused.
type unending struct {
	shop   *shop
	faults []*kfake.FaultHandle
	asked  atomic.Bool
	over   atomic.Bool
}

func (s *shop) keepEnding(id, state string) *unending {
	e := &unending{shop: s, faults: []*kfake.FaultHandle{
		s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ConcurrentTransactions, Count: -1, Topic: s.topics.Granted}),
		s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.ConcurrentTransactions, Count: -1}),
	}}
	for _, key := range []kmsg.Key{kmsg.EndTxn, kmsg.InitProducerID} {
		e.faults = append(e.faults, s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.ConcurrentTransactions, Count: -1, TopLevel: true}))
	}
	s.kafka.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.kafka.KeepControl()
		e.asked.Store(true)
		if e.over.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		one := kmsg.NewDescribeTransactionsResponseTransactionState()
		one.TransactionalID, one.State = id, state
		resp.TransactionStates = append(resp.TransactionStates, one)
		return resp, nil, true
	})
	return e
}

func (e *unending) isOver() {
	e.shop.t.Helper()
	require.True(e.shop.t, e.asked.Load())
	e.over.Store(true)
	for _, f := range e.faults {
		f.Remove()
	}
}

// The partitions whose results were not taken go to others, and what is left has nothing to
// commit that would show that all is well.
func TestHoldOnResultsGoesWithTheirPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(grantsAlways))
		all := []*replica{s.start(s.config("r1"))}
		s.spread("first", 2, 2)
		s.settled(2)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1, Topic: s.topics.Granted})
		s.produce(0, nil, s.requests("a", 3)...)
		s.produce(1, nil, s.requests("b", 3)...)
		require.Less(t, all[0].until(func() bool { return reasons(all[0].Health().Holds, holdTopic) != "" }), time.Minute)
		for _, name := range []string{"r2", "r3", "r4", "r5", "r6"} {
			all = append(all, s.start(s.config(name)))
		}
		time.Sleep(40 * time.Second)
		refused.Remove()
		onceEach(t, 8, s.settled(8))
		time.Sleep(time.Minute)
		for _, r := range all {
			require.Empty(t, r.Health().Holds)
			require.NoError(t, r.stopped())
		}
	})
}

// Whoever is called first gets no answer, and so there is no result that could go out: the next
// is called when it has kept the others waiting for half a minute, and not before.
func TestNextOfTheUnprovenIsCalledAfterHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var again []time.Time // when each was first called again
		seen := map[string]bool{}
		gateway := &switched{}
		gateway.to(takes(2*time.Second, new(atomic.Int64)))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("id", 20)...)
		time.Sleep(time.Second)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: -1, Topic: s.topics.Granted})
		time.Sleep(2 * time.Second)
		gateway.to(func(call *http.Request) (*http.Response, error) {
			mu.Lock()
			if id := outID(call); !seen[id] {
				seen[id] = true
				again = append(again, time.Now())
			}
			mu.Unlock()
			return hangs(call)
		})
		require.Less(t, r.until(func() bool { return testutil.ToFloat64(r.metrics.rebuilds) == 1 }), time.Minute)
		refused.Remove()
		time.Sleep(100 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, again, 4)
		for i, at := range again[1:] {
			require.InDelta(t, probeEvery.Seconds(), at.Sub(again[i]).Seconds(), 1.5)
		}
		require.Contains(t, reasons(r.Health().Holds, holdTransaction), unproven)
	})
}

// Offsets commit, and results do not, with an answer that leaves open whether they were
// taken: one session after the other is thrown away, and each has one request called.
func TestOneRequestIsCalledAgainWhileResultsDoNotCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(takes(2*time.Second, new(atomic.Int64)))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("id", 20)...)
		time.Sleep(time.Second)
		require.Equal(t, 20, gateway.total())
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: -1, Topic: s.topics.Granted})
		for second := range 300 {
			time.Sleep(time.Second)
			if second > 60 {
				require.NotEmpty(t, r.Health().Holds)
			}
		}
		require.Positive(t, refused.Hits())
		sessions := int(testutil.ToFloat64(r.metrics.rebuilds))
		require.Greater(t, sessions, 2)
		require.LessOrEqual(t, gateway.total(), 20+sessions)
		refused.Remove()
		onceEach(t, 20, s.settled(20))
		require.LessOrEqual(t, gateway.total(), 2*20+sessions)
		time.Sleep(10 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// The one that is called is none that cannot be, or everybody would wait for its schema.
func TestProbeLeavesOutWhoWaitsForASchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(takes(2*time.Second, new(atomic.Int64)))
		s := newShop(t, 2, gateway)
		s.registry = withoutAnswers{s.registry, 100_000, 100_001}
		require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: written(100_000)}).FirstErr())
		r := s.start(s.config("r1"))
		time.Sleep(5 * time.Second)
		s.produce(0, nil, s.requests("id", 10)...)
		time.Sleep(time.Second)
		require.Equal(t, 10, gateway.total())
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: -1, Topic: s.topics.Granted})
		time.Sleep(time.Minute)
		require.Positive(t, testutil.ToFloat64(r.metrics.rebuilds))
		refused.Remove()
		time.Sleep(2 * time.Minute)
		require.Len(t, on(s.topics.Granted, s.allEnds()), 10)
		require.NoError(t, r.stopped())
	})
}

// The last transaction had committed, though nobody was told: nothing waits for another one.
func TestTransactionThatCommittedUnheardLeavesNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"), func(l *line) {
			l.answer = func(key kmsg.Key, _ []byte) bool { return key != kmsg.EndTxn || !lost.Load() }
		})
		s.spread("id", 20, 1)
		s.settled(20)
		lost.Store(true)
		s.produce(0, nil, s.request("last"))
		r.until(func() bool { return testutil.ToFloat64(r.metrics.rebuilds) > 0 })
		lost.Store(false)
		onceEach(t, 21, s.settled(21))
		_, m := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Greater(t, m.position.ceiling, int64(21), "the ceiling is ahead of the log")
		time.Sleep(time.Minute)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// Brokers that keep their connections and say nothing, from within a transaction on, are a
// hold, and no reason to exit: nor does it take longer if they are asked about it.
func TestBrokersThatFallSilentInATransactionAreAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"), func(l *line) {
			l.answer = func(key kmsg.Key, _ []byte) bool {
				if key == kmsg.Produce && armed.Swap(false) {
					l.silent.Store(true)
				}
				return true
			}
		})
		s.produce(0, nil, s.requests("first", 1)...)
		s.settled(1)
		armed.Store(true)
		s.produce(0, nil, s.requests("id", 3)...)
		for second := range 180 {
			time.Sleep(time.Second)
			require.True(t, r.Health().Live)
			require.True(t, second < 20 || len(r.Health().Holds) > 0)
		}
		r.line.silent.Store(false)
		onceEach(t, 4, s.settled(4))
		require.NoError(t, r.stopped())
		time.Sleep(time.Minute) // by then nobody waits for an answer
	})
}

// No transaction commits for minutes, so that one session after the other is thrown away.
// Who may have been called waits for one that does, and is not called once for each.
func TestNobodyIsCalledAgainWhileNothingCommits(t *testing.T) {
	for _, row := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.TxnOffsetCommit, kerr.NotCoordinator},
		{kmsg.TxnOffsetCommit, kerr.CoordinatorNotAvailable},
		{kmsg.TxnOffsetCommit, kerr.RequestTimedOut},
		{kmsg.EndTxn, kerr.CoordinatorNotAvailable},
	} {
		t.Run(row.key.Name()+", "+row.err.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(takes(2*time.Second, new(atomic.Int64)))
				s := newShop(t, 1, gateway)
				r := s.start(s.config("r1"))
				s.produce(0, nil, s.requests("id", 20)...)
				time.Sleep(time.Second)
				require.Equal(t, 20, gateway.total())
				refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{row.key}, Err: row.err, Count: -1, TopLevel: row.key == kmsg.EndTxn})
				ready := 0
				for second := range 300 {
					time.Sleep(time.Second)
					if second > 60 && r.Health().Ready() {
						ready++
					}
				}
				require.Positive(t, refused.Hits())
				require.Zero(t, ready, "seconds in which it said that all was well")
				require.Equal(t, 20, gateway.total(), "nobody is called a second time meanwhile")
				refused.Remove()
				onceEach(t, 20, s.settled(20))
				require.LessOrEqual(t, gateway.total(), 2*20)
				time.Sleep(10 * time.Second)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// The producer id is to be asked for again, and the brokers do not give it: that is waited
// for, and no reason to end.
func TestProducerIDThatIsNotGivenIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("first", 1)...)
		s.settled(1)
		s.fault(kmsg.Produce, kerr.UnknownProducerID)
		busy := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, Count: -1, TopLevel: true})
		s.produce(0, nil, s.requests("id", 5)...)
		time.Sleep(5 * time.Minute)
		require.Positive(t, busy.Hits())
		require.True(t, r.Health().Live)
		require.NotEmpty(t, r.Health().Holds)
		busy.Remove()
		onceEach(t, 6, s.settled(6))
		require.NoError(t, r.stopped())
	})
}

// Retention takes some of what was read, and a transaction aborts: kgo reads again from
// below where the log begins now. Nothing that was not read is missing.
func TestAbortAfterRetentionIsNoLoss(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost: ", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := &switched{}
				gateway.to(hangs)
				s := newShop(t, 1, gateway)
				cfg := s.config("r1")
				cfg.WindowRecords, cfg.MaxInFlight = 45, 4
				r := s.start(cfg)
				s.produce(0, nil, s.requests("id", 40)...)
				time.Sleep(5 * time.Second)
				s.produce(0, nil, s.requests("full", 10)...) // read after the last transaction
				time.Sleep(time.Second)
				s.produce(0, nil, s.requests("behind", 10)...) // and not read
				time.Sleep(time.Second)
				store := r.Status().Partitions[slices.IndexFunc(r.Status().Partitions, func(p PartitionStatus) bool { return p.Topic == s.topics.Store })]
				require.EqualValues(t, 50, store.Next)
				begin := int64(45)
				if lost {
					begin = 55
				}
				require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, begin))
				s.fault(kmsg.Produce, kerr.OutOfOrderSequenceNumber)
				gateway.to(grantsAlways)
				time.Sleep(5 * time.Minute)
				require.Equal(t, lost, reasons(r.Health().Holds, holdLostInput) != "", "%v", r.Health().Holds)
				if !lost {
					onceEach(t, 60, s.allEnds())
					require.Empty(t, r.Health().Holds)
				}
				require.NoError(t, r.stopped())
			})
		})
	}
}

// A partition cannot be read for as long as it lasts: it is asked for now and then, and the
// others are read.
func TestPartitionThatCannotBeReadIsAskedForNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(grantsAlways))
		r := s.start(s.config("r1"), slowly(kmsg.Fetch, 5*time.Millisecond))
		s.spread("first", 2, 2)
		s.settled(2)
		damaged := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownServerError, Count: -1, Topic: s.topics.Store})
		s.produceTo(s.topics.Loyalty, 0, nil, s.requests("loyal", 5)...)
		time.Sleep(20 * time.Second)
		require.Positive(t, damaged.Hits())
		require.Less(t, damaged.Hits(), 20*2*4, "of two partitions, in twenty seconds")
		require.Contains(t, reasons(r.Health().Holds, holdTopic), "UNKNOWN_SERVER_ERROR")
		require.Len(t, on(s.topics.Granted, s.allEnds()), 2+5)
		damaged.Remove()
		s.spread("then", 2, 2)
		onceEach(t, 2+5+2, s.settled(2+5+2))
		time.Sleep(complaintLasts + 5*time.Second)
		require.Empty(t, r.Health().Holds)
		require.Zero(t, testutil.ToFloat64(r.metrics.rebuilds))
		require.NoError(t, r.stopped())
	})
}

// The brokers answer fetches of a partition with what kgo tries again by itself, and says
// nothing of. What is not read for it is told.
func TestPartitionThatKgoIsSilentAboutIsAHold(t *testing.T) {
	for _, err := range []*kerr.Error{kerr.CorruptMessage, kerr.KafkaStorageError, kerr.NotLeaderForPartition} {
		t.Run(err.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(grantsAlways))
				r := s.start(s.config("r1"), slowly(kmsg.Fetch, 5*time.Millisecond))
				s.spread("first", 1, 1)
				s.settled(1)
				damaged := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: err, Count: -1, Topic: s.topics.Store})
				time.Sleep(2 * unreadLooks * unreadEvery)
				require.Empty(t, r.Health().Holds, "there is nothing to read")
				s.spread("then", 1, 1)
				time.Sleep(19 * time.Second)
				require.Empty(t, r.Health().Holds, "it is a matter of half a minute")
				s.produceTo(s.topics.Loyalty, 0, nil, s.requests("loyal", 1)...)
				time.Sleep(2 * unreadEvery)
				require.Positive(t, damaged.Hits())
				require.Len(t, r.Health().Holds, 1)
				require.Contains(t, reasons(r.Health().Holds, holdTopic), "what stands from offset 1 to 1 is not read")
				damaged.Remove()
				onceEach(t, 3, s.settled(3))
				time.Sleep(complaintLasts + 5*time.Second)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// What one producer aborted below what another has open is passed over by kgo, which tells
// of it when the latter has ended: that is no partition that cannot be read.
func TestAbortBelowAnOpenTransactionIsNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"), slowly(kmsg.Fetch, 5*time.Millisecond))
		s.spread("first", 1, 1)
		s.settled(1)
		upstream := func(id string) *kgo.Client {
			client, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id), kgo.TransactionTimeout(10*time.Minute))...)
			require.NoError(t, err)
			t.Cleanup(client.Close)
			value, err := s.codec.EncodeRequest(s.topics.Store, s.request(id))
			require.NoError(t, err)
			require.NoError(t, client.BeginTransaction())
			require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value}).FirstErr())
			return client
		}
		one, other := upstream("one"), upstream("other")
		require.NoError(t, one.EndTransaction(t.Context(), kgo.TryAbort))
		for range 60 {
			time.Sleep(time.Second)
			require.Empty(t, r.Health().Holds)
		}
		require.NoError(t, other.EndTransaction(t.Context(), kgo.TryCommit))
		onceEach(t, 2, s.settled(2))
		require.NoError(t, r.stopped())
	})
}

// A session goroutine that does not pass is no hang while no broker answers, and one from
// then on.
func TestWatchdogWaitsWithTheSessionForBrokersThatAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("id", 1)...)
		s.settled(1)
		require.NoError(t, r.stopped()) // nobody passes any more
		r.contact.tell("no broker answers")
		r.watchdog.passed()
		waiting, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		require.NoError(t, r.watchdog.run(waiting))
		require.True(t, r.Health().Live)
		r.contact.answered()
		require.ErrorIs(t, r.watchdog.run(t.Context()), errWedged)
		require.False(t, r.Health().Live)
	})
}

// The watchdog tells a session that does not pass from a process that is not let run, and
// from one that no broker answers.
func TestWatchdogDoesNotCountTimeInWhichTheProcessWasStopped(t *testing.T) {
	for name, c := range map[string]struct {
		stopped time.Duration
		waits   bool
		want    error
	}{
		"it hangs":          {want: errWedged},
		"it is stopped":     {stopped: longestTick + time.Second},
		"no broker answers": {waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatchdog(3*time.Second, func() bool {
					time.Sleep(c.stopped)
					return c.waits
				})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				require.ErrorIs(t, w.run(ctx), c.want)
			})
		})
	}
}
