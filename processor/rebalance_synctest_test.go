//go:build synctests

package processor

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What users of other systems were hurt by.

func TestKeptPartitionsAreReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 6, takes(20*time.Millisecond, &calls))
		first := s.start(s.config("r1"))
		s.spread("before", 60, 6)
		s.settled(60)
		for i := range 5 { // others come and go; what is kept must still be read
			other := s.start(s.config(fmt.Sprint("other-", i)))
			time.Sleep(3 * time.Second)
			s.spread(fmt.Sprint("during-", i), 60, 6)
			s.settled(60 + 120*i + 60)
			require.NoError(t, other.stopped())
			s.spread(fmt.Sprint("after-", i), 60, 6)
			s.settled(60 + 120*i + 120)
		}
		onceEach(t, 660, s.allEnds())
		require.NoError(t, first.stopped())
		require.Zero(t, s.lag("coupongrant"))
	})
}

func TestIdlePartitionsKeepTheirOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 4, takes(time.Millisecond, &calls))
		first := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("once", 20)...)
		s.settled(20)
		before, _ := s.position("coupongrant", partition{s.topics.Store, 0})
		for i := range 8 {
			other := s.start(s.config(fmt.Sprint("other-", i)))
			time.Sleep(5 * time.Second)
			s.produce(1, nil, s.request(fmt.Sprint("elsewhere-", i)))
			s.settled(21 + i)
			require.NoError(t, other.stopped())
		}
		after, _ := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Equal(t, before, after)
		onceEach(t, 28, s.allEnds())
		require.NoError(t, first.stopped())
	})
}

func TestKillDuringScaleOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 6, takes(300*time.Millisecond, &calls))
		first := s.start(s.config("r1"))
		s.spread("a", 200, 6)
		time.Sleep(500 * time.Millisecond)
		second, third := s.start(s.config("r2")), s.start(s.config("r3"))
		time.Sleep(400 * time.Millisecond)
		first.killed() // in the middle of handing over
		s.spread("b", 200, 6)
		onceEach(t, 400, s.settled(400))
		require.NoError(t, second.stopped())
		require.NoError(t, third.stopped())
		require.Zero(t, s.lag("coupongrant"))
	})
}

func TestConsumerProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 6, takes(300*time.Millisecond, &calls))
		start := func(id string) *replica {
			cfg := s.config(id)
			cfg.GroupProtocol = Consumer
			return s.start(cfg)
		}
		first := start("r1")
		s.spread("a", 200, 6)
		time.Sleep(500 * time.Millisecond)
		second := start("r2")
		time.Sleep(2 * time.Second)
		s.spread("b", 200, 6)
		third := start("r3")
		time.Sleep(time.Second)
		second.killed()
		s.spread("c", 200, 6)
		onceEach(t, 600, s.settled(600))
		require.NoError(t, first.stopped())
		require.NoError(t, third.stopped())
		require.Zero(t, s.lag("coupongrant"))
	})
}

func TestPartitionsAddedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("a", 20, 2)
		s.settled(20)
		_, err := kadm.NewClient(s.client).UpdatePartitions(t.Context(), 4, s.topics.Store)
		require.NoError(t, err)
		began := time.Now()
		s.client.ForceMetadataRefresh()
		time.Sleep(10 * time.Second)
		s.spread("b", 40, 4)
		onceEach(t, 60, s.settled(60))
		require.Less(t, time.Since(began), 30*time.Second)
		require.NoError(t, r.stopped())
	})
}

// Two revocations while one transaction hangs: kgo tells of the first alone. What the second
// took is nobody's twice: shares of the rate are of what is held.
func TestRevocationThatIsNotToldOfClosesItsWindowsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var slow atomic.Bool
		s := newShop(t, 8, takes(20*time.Millisecond, &calls))
		start := func(name string, with ...func(*line)) *replica {
			cfg := s.config(name)
			cfg.GroupProtocol, cfg.TransactionTimeout, cfg.SessionTimeout = Consumer, 15*time.Second, 10*time.Second
			return s.start(cfg, with...)
		}
		first := start("r1", func(l *line) {
			l.answer = func(key kmsg.Key, _ []byte) bool {
				if key == kmsg.Produce && slow.Load() {
					time.Sleep(14 * time.Second)
				}
				return true
			}
		})
		s.spread("first", 8, 8)
		s.settled(8)
		slow.Store(true)
		s.produce(0, nil, s.request("slow"))
		second := start("r2")
		time.Sleep(6 * time.Second)
		third := start("r3")
		time.Sleep(10 * time.Second)
		slow.Store(false)
		time.Sleep(30 * time.Second)
		held := 0.0
		for _, r := range []*replica{first, second, third} {
			held += testutil.ToFloat64(r.metrics.partitions)
		}
		require.InDelta(t, 24, held, 0, "8 of each of three topics")
		require.Contains(t, first.log.String(), "a partition has moved, which was not told")
		s.spread("last", 8, 8)
		onceEach(t, 17, s.settled(17))
		for _, r := range []*replica{first, second, third} {
			require.NoError(t, r.stopped())
		}
	})
}

// A first join that fails is a loss of nothing. The next loss has to be told all the same:
// the shares of what it took are another's by then.
func TestLossAfterAJoinThatFailedClosesTheWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		first := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ConsumerGroupHeartbeat}, Err: kerr.GroupAuthorizationFailed, Count: 1})
		cfg := s.config("r1")
		cfg.GroupProtocol = Consumer
		r := s.start(cfg)
		time.Sleep(5 * time.Second) // with no transaction, which would let kgo tell
		require.EqualValues(t, 1, first.Hits(), "the first join was refused")
		require.EqualValues(t, 3, testutil.ToFloat64(r.metrics.partitions))

		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ConsumerGroupHeartbeat}, Err: kerr.GroupAuthorizationFailed, Count: -1})
		time.Sleep(5 * time.Second)
		require.Zero(t, testutil.ToFloat64(r.metrics.partitions))
		require.Positive(t, refused.Hits())
		refused.Remove()
		s.produce(0, nil, s.request("after"))
		onceEach(t, 1, s.settled(1))
		require.NoError(t, r.stopped())
	})
}

// joinWatch counts the transactions of a replica that are open while it waits to be let
// into a generation.
type joinWatch struct {
	mu     sync.Mutex
	joins  bool
	open   bool
	joined int
	during int
}

func (w *joinWatch) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch kmsg.Key(key) {
	case kmsg.JoinGroup:
		w.joins = true
		w.joined++
	case kmsg.Produce:
		w.open = true
	default:
		return
	}
	if w.joins && w.open {
		w.during++
	}
}

func (w *joinWatch) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.joins = w.joins && kmsg.Key(key) != kmsg.SyncGroup
	w.open = w.open && kmsg.Key(key) != kmsg.EndTxn
}

// Who loses partitions joins twice, and kgo may not tell of the second time: a transaction
// that began then would stay open for as long as the join takes.
func TestNoTransactionIsOpenDuringAJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 8, takes(20*time.Millisecond, &calls))
		var replicas []*replica
		var watches []*joinWatch
		produced := 0
		for i := range 4 {
			w := new(joinWatch)
			watches = append(watches, w)
			replicas = append(replicas, s.start(s.config(fmt.Sprint("r", i)), func(l *line) {
				l.hooks = append(l.hooks, w)
			}))
			for range 100 {
				s.spread(fmt.Sprint("id-", produced), 8, 8)
				produced += 8
				time.Sleep(50 * time.Millisecond)
			}
		}
		onceEach(t, produced, s.settled(produced))
		for i, r := range replicas {
			require.NoError(t, r.stopped())
			require.Zero(t, watches[i].during, "of %d joins", watches[i].joined)
		}
		require.Greater(t, watches[0].joined, 6)
	})
}
