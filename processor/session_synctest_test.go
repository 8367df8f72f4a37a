//go:build synctests

package processor

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// takes is a gateway that grants every call after d and counts the calls.
func takes(d time.Duration, calls *atomic.Int64) always {
	return func(r *http.Request) (*http.Response, error) {
		n := calls.Add(1)
		select {
		case <-time.After(d):
			return granted(n), nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

func (s *shop) requests(prefix string, n int) []schemas.Request {
	requests := make([]schemas.Request, n)
	for i := range requests {
		requests[i] = s.request(fmt.Sprint(prefix, "-", i))
	}
	return requests
}

// spread produces n requests over all partitions of the store topic and some
// keys.
func (s *shop) spread(prefix string, n int, partitions int32) {
	for i, r := range s.requests(prefix, n) {
		s.produce(int32(i)%partitions, fmt.Append(nil, "k", i%7), r)
	}
}

func TestRequestsAreGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(20*time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("id", 50, 2)
		onceEach(t, 50, s.settled(50))
		require.NoError(t, r.stopped())
		require.Zero(t, s.lag("coupongrant"))
		require.EqualValues(t, 50, calls.Load())
	})
}

func TestAbortKeepsResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: 3})
		r := s.start(s.config("r1"))
		s.spread("id", 20, 1)
		onceEach(t, 20, s.settled(20))
		require.EqualValues(t, 3, refused.Hits())
		require.EqualValues(t, 20, calls.Load(), "no call may be repeated for an abort")
		require.NoError(t, r.stopped())
	})
}

func TestRedeliveredRecordsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(2*time.Second, &calls))
		r := s.start(s.config("r1"))
		s.spread("first", 10, 1)
		time.Sleep(time.Second) // all polled and called, none ended
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: 1})
		s.spread("second", 10, 1)
		onceEach(t, 20, s.settled(20))
		require.EqualValues(t, 1, refused.Hits())
		require.Positive(t, testutil.ToFloat64(r.metrics.redelivered), "the abort must have made kgo rewind")
		require.EqualValues(t, 20, calls.Load())
		require.NoError(t, r.stopped())
	})
}

func TestFailedProduceAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 1, 1)
		s.settled(1)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.Granted, Err: kerr.MessageTooLarge, Count: 1})
		s.spread("id", 20, 1)
		onceEach(t, 21, s.settled(21))
		require.EqualValues(t, 1, refused.Hits())
		require.NoError(t, r.stopped())
		require.Zero(t, s.lag("coupongrant"))
	})
}

func TestUnwritableTopicIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 1, 1)
		s.settled(1)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.Granted, Err: kerr.TopicAuthorizationFailed, Count: -1})
		s.spread("id", 5, 1)
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{holdTopic}, kinds(r.Health().Holds))
		require.Positive(t, refused.Hits())
		refused.Remove()
		onceEach(t, 6, s.settled(6))
		time.Sleep(5 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func kinds(holds []Hold) []string {
	var kinds []string
	for _, h := range holds {
		kinds = append(kinds, h.Kind)
	}
	return kinds
}

func TestFirstAbortDoesNotRewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		s.spread("deleted", 5, 1)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 5))
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: 1})
		r := s.start(s.config("r1"))
		s.spread("id", 5, 1)
		onceEach(t, 5, s.settled(5))
		require.EqualValues(t, 1, refused.Hits())
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func TestCommitIsRewrittenToTheWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls sync.Map
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			id := outID(r)
			n, _ := calls.LoadOrStore(id, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			if id == "id-0" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return granted(1), nil
		}))
		r := s.start(s.config("r1"))
		s.spread("id", 20, 1)
		require.Len(t, s.settled(17), 17, "all but the lane of the stuck one")
		offset, meta := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Zero(t, offset)
		require.Len(t, meta.position.finished, 17)
		r.killed()

		second := s.start(s.config("r1"))
		time.Sleep(30 * time.Second)
		onceEach(t, 17, s.allEnds())
		calls.Range(func(id, n any) bool {
			if id != "id-0" {
				require.EqualValues(t, 1, n.(*atomic.Int64).Load(), "calls for %s", id)
			}
			return true
		})
		second.killed()
	})
}

func TestLostEndTxnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"), func(l *line) {
			l.answer = func(key kmsg.Key, _ []byte) bool {
				if key != kmsg.EndTxn || calls.Load() < 10 {
					return true
				}
				return l.hits.Add(1) > 4 // and its retries
			}
		})
		s.spread("id", 20, 1)
		onceEach(t, 20, s.settled(20))
		require.GreaterOrEqual(t, r.line.hits.Load(), int64(1))
		require.NoError(t, r.stopped())
		require.Zero(t, s.lag("coupongrant"))
	})
}

// unknownOnce answers one applied EndTxn of a transaction that has published
// something with UNKNOWN_SERVER_ERROR.
func unknownOnce(armed *atomic.Bool) func(*line) {
	return unknownEnds(func(published bool) bool { return published && armed.CompareAndSwap(true, false) })
}

// unknownEnds answers those applied EndTxn with UNKNOWN_SERVER_ERROR that so picks,
// told whether the transaction has published something.
func unknownEnds(so func(published bool) bool) func(*line) {
	return func(l *line) {
		var published atomic.Bool
		l.answer = func(key kmsg.Key, frame []byte) bool {
			if key == kmsg.Produce {
				published.Store(true)
			}
			if key == kmsg.EndTxn && so(published.Swap(false)) {
				l.hits.Add(1)
				const tagsAndThrottle = 1 + 4
				binary.BigEndian.PutUint16(frame[tagsAndThrottle:], uint16(0xffff))
			}
			return true
		}
	}
}

func TestUnknownCommitIsLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var armed atomic.Bool
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"), unknownOnce(&armed))
		s.spread("before", 1, 1)
		s.settled(1)
		armed.Store(true)
		s.spread("id", 20, 1)
		onceEach(t, 21, s.settled(21))
		require.EqualValues(t, 1, r.line.hits.Load())
		require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.transactions.WithLabelValues("unknown")))
		require.NoError(t, r.stopped())
	})
}

// Calls that outlive two hand-overs: kgo tells of the first revocation and
// swallows the second, since no End comes in between.
func TestSlowCallsAcrossTwoRebalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 4, takes(9500*time.Millisecond, &calls))
		first := s.start(s.config("r1"))
		s.spread("id", 120, 4)
		time.Sleep(time.Second)
		second := s.start(s.config("r2"))
		time.Sleep(handOverTime)
		third := s.start(s.config("r3"))
		onceEach(t, 120, s.settled(120))
		for _, r := range []*replica{first, second, third} {
			require.NoError(t, r.stopped())
		}
		require.Zero(t, s.lag("coupongrant"))
	})
}

func TestGracefulStopLeavesNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Second, &calls))
		r := s.start(s.config("r1"))
		s.spread("id", 100, 1)
		time.Sleep(2500 * time.Millisecond)
		require.NoError(t, r.stopped())
		offset, meta := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Equal(t, offset, meta.position.ceiling, "a stop leaves nothing in doubt")
		before := calls.Load()
		require.Less(t, before, int64(100))
		second := s.start(s.config("r1"))
		onceEach(t, 100, s.settled(100))
		require.EqualValues(t, 100, calls.Load(), "nothing is called twice")
		require.NoError(t, second.stopped())
	})
}

// outID finds the out_id in the form, which is sent as JSON.
func outID(r *http.Request) string {
	if err := r.ParseForm(); err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(r.PostForm.Get("nrt_coupon_send_dto"), `"out_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
