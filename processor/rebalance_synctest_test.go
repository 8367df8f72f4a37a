//go:build synctests

package processor

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twmb/franz-go/pkg/kadm"
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
		s.client.ForceMetadataRefresh()
		time.Sleep(10 * time.Second)
		s.spread("b", 40, 4)
		onceEach(t, 60, s.settled(60))
		require.NoError(t, r.stopped())
	})
}
