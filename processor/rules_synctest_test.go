//go:build synctests

package processor

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/fnv"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// owners notes which goroutines poll and produce.
type owners struct {
	mu         sync.Mutex
	goroutines map[string]int
}

func (o *owners) note() {
	stack := make([]byte, 64)
	id := string(bytes.Fields(stack[:runtime.Stack(stack, false)])[1])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goroutines[id]++
}

func (o *owners) OnPollStart(context.Context)         { o.note() }
func (o *owners) OnProduceRecordBuffered(*kgo.Record) { o.note() }

func TestSessionOwnsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		o := &owners{goroutines: map[string]int{}}
		s := newShop(t, 2, takes(20*time.Millisecond, &calls))
		r := s.start(s.config("r1"), func(l *line) { l.hooks = []kgo.Hook{o} })
		s.spread("id", 50, 2)
		s.settled(50)
		require.NoError(t, r.stopped())
		require.Len(t, o.goroutines, 1, "one goroutine polls and produces")
		for _, n := range o.goroutines {
			require.Greater(t, n, 50)
		}
	})
}

// erratic takes from nothing to three seconds, always the same for one request.
func erratic(r *http.Request) (*http.Response, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(outID(r)))
	time.Sleep(time.Duration(h.Sum32()%3000) * time.Millisecond)
	return granted(1), nil
}

func TestCommitCoversExactlyItsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(erratic))
		r := s.start(s.config("r1"))
		s.spread("id", 60, 2)
		for len(s.allEnds()) < 60 {
			before := s.covered(2)
			ended := ids(s.allEnds())
			after := s.covered(2)
			for source := range before {
				require.Contains(t, ended, source, "covered by the commit, but without an end")
			}
			for source, n := range ended {
				require.Equal(t, 1, n)
				require.Contains(t, after, source, "ended, but not covered by the commit")
			}
			time.Sleep(50 * time.Millisecond)
		}
		require.NoError(t, r.stopped())
	})
}

// covered lists the sources below the watermarks and in the finished sets.
func (s *shop) covered(partitions int32) map[string]bool {
	sources := map[string]bool{}
	for number := range partitions {
		p := partition{s.topics.Store, number}
		offset, meta := s.position("coupongrant", p)
		for o := range offset {
			sources[p.String()+"/"+strconv.FormatInt(o, 10)] = true
		}
		for _, o := range meta.position.finished {
			sources[p.String()+"/"+strconv.FormatInt(o, 10)] = true
		}
	}
	return sources
}

// A successor knows from the commit metadata which records above the watermark
// have their ends: it neither calls for them nor ends them again.
func TestFinishedSetSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others = 20
		var released atomic.Bool
		gateway := countedBy(func(r *http.Request) (*http.Response, error) {
			if outID(r) == "hangs" && !released.Load() {
				return hangs(r)
			}
			return granted(1), nil
		})
		s := newShop(t, 1, gateway)
		first := s.start(s.config("r1"))
		s.produce(0, nil, s.request("hangs"))
		s.produce(0, nil, s.requests("other", others)...)
		onceEach(t, others, s.settled(others))
		watermark, _ := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Zero(t, watermark, "the first must still be without an end")

		first.killed()
		released.Store(true)
		second := s.start(s.config("r1"))

		onceEach(t, others+1, s.settled(others+1))
		require.NoError(t, second.stopped())
		for id, n := range gateway.calls {
			if id != "hangs" {
				require.Equal(t, 1, n, "calls for %s", id)
			}
		}
		require.GreaterOrEqual(t, gateway.of("hangs"), 2)
	})
}

// Offsets alone raise the ceiling below which requests may be called. That the
// brokers will not have them is a hold, and passes with it.
func TestOffsetsAloneThatAreRefusedAreAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 1, 1)
		s.settled(1)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.ConcurrentTransactions, Count: 2 * bareFailures})
		s.spread("id", 20, 1)
		for !slices.ContainsFunc(r.Health().Holds, func(h Hold) bool { return h.Kind == holdTransaction }) {
			time.Sleep(10 * time.Millisecond)
			require.Less(t, refused.Hits(), 2*bareFailures, "nobody was told")
		}

		onceEach(t, 21, s.settled(21))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// Whether offsets alone that are reported as aborted were committed after all is
// not looked up: it makes no difference.
func TestOffsetsAloneNeedNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(50*time.Millisecond, &calls))
		var bare atomic.Int64
		bareUnknown := unknownEnds(func(published bool) bool { return !published && bare.Add(1)%2 == 1 })
		first := s.start(s.config("r1"), bareUnknown)
		s.spread("a", 40, 2)
		s.settled(40)
		second := s.start(s.config("r2"), bareUnknown) // a hand-over lowers ceilings
		s.spread("b", 40, 2)
		onceEach(t, 80, s.settled(80))

		require.NoError(t, first.stopped())
		require.NoError(t, second.stopped())
		require.Positive(t, first.line.hits.Load())
		onceEach(t, 80, s.settled(80))
		require.EqualValues(t, 80, calls.Load(), "nobody was called twice")
	})
}

// A transaction that the brokers ended for us fences us, and twice in a minute
// looks like another process of our id. Of a process that was asked to stop it is
// no failure: it has stopped.
func TestFencedStopIsAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(500*time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 1, 1)
		s.settled(1)
		first := s.fault(kmsg.Produce, kerr.InvalidProducerEpoch)
		s.spread("fenced", 1, 1)
		s.settled(2)
		require.Equal(t, 1, first.Hits())
		again := s.fault(kmsg.Produce, kerr.InvalidProducerEpoch)
		before := calls.Load()
		s.spread("stopped", 1, 1)
		for calls.Load() == before {
			time.Sleep(10 * time.Millisecond)
		}

		require.NoError(t, r.stopped())

		require.Equal(t, 1, again.Hits(), "the last transaction was not fenced")
		second := s.start(s.config("r1"))
		onceEach(t, 3, s.settled(3))
		require.NoError(t, second.stopped())
	})
}

// Brokers that freeze end transactions for us, as often as they like: that is no
// second process under our transactional id.
func TestTransactionsThatTheBrokersEndAreNoSecondProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, frozen atomic.Int64
		var fenced atomic.Bool
		var asleep sync.WaitGroup
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		cfg := s.config("r1")
		r := s.start(cfg, func(l *line) {
			l.answer = func(key kmsg.Key, frame []byte) bool {
				switch {
				case key == kmsg.Produce && frozen.Add(1) <= 3:
					asleep.Add(1)
					defer asleep.Done()
					time.Sleep(cfg.TransactionTimeout + time.Second)
					fenced.Store(true)
				case key == kmsg.EndTxn && fenced.Swap(false):
					const tagsAndThrottle = 1 + 4 // real brokers answer so what the embedded one calls INVALID_TXN_STATE
					binary.BigEndian.PutUint16(frame[tagsAndThrottle:], uint16(kerr.ProducerFenced.Code))
				}
				return true
			}
		})
		s.spread("id", 5, 1)
		onceEach(t, 5, s.settled(5))
		require.Greater(t, frozen.Load(), int64(3))
		require.NoError(t, r.stopped())
		asleep.Wait() // an answer to a session that was thrown away may still be on its way
	})
}

// Busy brokers refuse the first batch of a transaction while they write the
// markers of the one before: for a moment, and it must not cost more.
func TestBatchThatIsRefusedForAMomentIsLateByNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 1, 1)
		s.settled(1)
		refused := s.fault(kmsg.Produce, kerr.ConcurrentTransactions)
		began := time.Now()
		s.spread("id", 1, 1)
		onceEach(t, 2, s.settled(2))
		require.Equal(t, 1, refused.Hits())
		require.Less(t, time.Since(began), 2*time.Second) // settled looks once a second
		require.NoError(t, r.stopped())
	})
}
