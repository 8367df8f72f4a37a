//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A result topic that nobody could write to is mended, and the replica is stopped at
// once. More has ended by then than goes into one transaction. None of it may be left
// behind: a request that was called would be in doubt, and its refusal, which was final,
// is none to the successor.
func TestGracefulStopCommitsAllThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, each = 5, batchEnds/2 + 1
		var calls atomic.Int64
		s := newShop(t, partitions, always(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			time.Sleep(5 * time.Second)
			return refused("-7"), nil
		}))
		cfg := s.config("r1")
		cfg.WindowRecords, cfg.WindowBytes, cfg.WindowTotalBytes = 2*each, 32<<20, 256<<20
		r := s.start(cfg)
		s.spread("id", partitions, partitions)
		for calls.Load() < partitions {
			time.Sleep(100 * time.Millisecond)
		}
		unwritable := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.DeadLetter, Err: kerr.TopicAuthorizationFailed, Count: -1})
		for partition := range int32(partitions) {
			s.produceBad(partition, each)
		}
		time.Sleep(30 * time.Second)
		require.Positive(t, unwritable.Hits())
		unwritable.Remove()
		require.NoError(t, r.stopped())

		for number := range int32(partitions) {
			offset, meta := s.position("coupongrant", partition{s.topics.Store, number})
			require.EqualValues(t, each+1, offset, "partition %d", number)
			require.Equal(t, offset, meta.position.ceiling, "nothing is in doubt")
		}
		second := s.start(cfg)
		time.Sleep(30 * time.Second)
		require.EqualValues(t, partitions, calls.Load(), "nobody is called again")
		require.NoError(t, second.stopped())
		ends := s.allEnds()
		onceEach(t, partitions*(each+1), ends)
		require.Len(t, on(s.topics.Failed, ends), partitions)
		first, last := began(t, on(s.topics.DeadLetter, ends))
		require.Less(t, last.Sub(first), viewEvery, "a transaction waits for nothing but the one before")
	})
}

// Who was called and only told that there is no coupon is not in doubt: its successor takes
// a refusal for what it is. Who stands before it in its partition, and was never called,
// even less.
func TestStopAndHandOverPutNobodyInDoubtWhoWasOnlyToldNo(t *testing.T) {
	words := map[string]struct {
		say   always
		doubt bool
	}{
		"a ban":        {platform(7, `,"sub_msg":"This ban will last for 8 more seconds"`), false},
		"-11":          {func(*http.Request) (*http.Response, error) { return refused("-11"), nil }, false},
		"unreachable":  {func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, false},
		"maybe, a 503": {platform(10, ""), true},
	}
	leave := map[string]func(*shop, *replica) *replica{
		"a stop": func(s *shop, r *replica) *replica {
			require.NoError(s.t, r.stopped())
			return s.start(s.config("r2"))
		},
		"a hand-over": func(s *shop, r *replica) *replica {
			second := s.start(s.config("r2"))
			time.Sleep(10 * time.Second)
			return second
		},
	}
	for word, row := range words {
		for way, goes := range leave {
			t.Run(word+", "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gateway := &switched{}
					gateway.to(row.say)
					s := newShop(t, 2, gateway)
					cfg := s.config("r1")
					cfg.Retry.MinBackoff, cfg.Retry.MaxBackoff, cfg.Retry.ParkAfter = 20*time.Second, time.Minute, time.Hour
					first := s.start(cfg)
					for _, topic := range []string{s.topics.Store, s.topics.Loyalty} { // half of the partitions move
						for number := range int32(2) {
							id := fmt.Sprint(topic, number)
							s.produceTo(topic, number, []byte("a"), s.request("a0"+id), s.request("a1"+id))
							s.produceTo(topic, number, []byte("b"), s.request("b2"+id))
						}
					}
					time.Sleep(time.Second)
					second := goes(s, first)
					gateway.to(func(*http.Request) (*http.Response, error) { return refused("-7"), nil })
					time.Sleep(4 * time.Minute) // of back-off
					require.Equal(t, row.doubt, len(on(s.topics.Failed, s.allEnds())) < 2*2*3)
					require.NoError(t, first.stopped())
					require.NoError(t, second.stopped())
				})
			})
		}
	}
}

// began is when the first and the last of some records were produced.
func began(t *testing.T, records []*kgo.Record) (first, last time.Time) {
	t.Helper()
	require.NotEmpty(t, records)
	inTime := func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) }
	return slices.MinFunc(records, inTime).Timestamp, slices.MaxFunc(records, inTime).Timestamp
}

// produceBad writes records that are no requests.
func (s *shop) produceBad(partition int32, n int) {
	s.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: s.topics.Store, Partition: partition, Value: []byte("no request")}
	}
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), records...).FirstErr())
}
