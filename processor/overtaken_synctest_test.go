//go:build synctests

package processor

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Retention overtakes partitions whose windows are full. What was read ends all the
// same, the log having it no more, before anybody goes on behind the gap: in the other
// partition too, whose window is longer.
func TestWhatWasReadEndsThoughRetentionOvertakesIt(t *testing.T) {
	for _, protocol := range []GroupProtocol{Classic, Consumer} {
		for _, accepts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, accepting: %v", protocol, accepts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gateway := countedBy(takes(time.Second, new(atomic.Int64)))
					s := newShop(t, 2, gateway)
					s.produce(0, nil, s.requests("read", 20)...)
					s.produce(1, nil, s.requests("other", 60)...)
					cfg := s.config("r1")
					cfg.GroupProtocol, cfg.WindowRecords, cfg.MaxInFlight, cfg.AcceptLostInput = protocol, 10, 1, accepts
					r := s.start(cfg)
					for gateway.total() == 0 {
						time.Sleep(time.Second)
					}
					for number, read := range map[int32]int64{0: 20, 1: 60} {
						s.produce(number, nil, s.requests(fmt.Sprint("lost-", number), 10)...)
						s.produce(number, nil, s.requests(fmt.Sprint("behind-", number), 5)...)
						require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, number, read+10))
					}
					said := false
					for range 300 {
						time.Sleep(time.Second)
						said = said || strings.Contains(reasons(r.Health().Holds, holdLostInput), "what was read ends first, do not restart before that")
					}
					if !accepts {
						onceEach(t, 80, s.allEnds())
						require.Contains(t, reasons(r.Health().Holds, holdLostInput), "to go on without it start with --accept-lost-input")
						require.NoError(t, r.stopped())
						cfg.AcceptLostInput = true
						r = s.start(cfg)
					}
					onceEach(t, 90, s.settled(90))
					require.Equal(t, 90, gateway.total(), "each once")
					for number := range 2 {
						for i := range 10 {
							require.Zero(t, gateway.of(fmt.Sprintf("lost-%d-%d", number, i)))
						}
					}
					require.Empty(t, r.Health().Holds)
					require.True(t, said, "that it is to be waited for")
					require.NoError(t, r.stopped())
				})
			})
		}
	}
}

// What was read and has not ended goes with its replica once retention has overtaken
// it: nobody can read it again. A person is told, and nothing is passed over unsaid.
func TestWhatRetentionOvertookIsLostWithItsReplicaAndHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Second, &calls))
		s.produce(0, nil, s.requests("read", 10)...)
		cfg := s.config("r1")
		cfg.MaxInFlight = 1
		r := s.start(cfg)
		s.settled(3)
		s.produce(0, nil, s.requests("behind", 5)...)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 10))
		r.killed()
		ended, called := len(s.allEnds()), calls.Load()
		require.Less(t, ended, 10)

		cfg = s.config("r2")
		second := s.start(cfg)
		time.Sleep(time.Minute)
		require.Contains(t, reasons(second.Health().Holds, holdLostInput),
			fmt.Sprintf("offsets %d to 9 were deleted before all in them had ended", ended))
		require.NoError(t, second.stopped())
		require.Len(t, s.allEnds(), ended)
		require.Equal(t, called, calls.Load())

		cfg.AcceptLostInput = true
		third := s.start(cfg)
		onceEach(t, ended+5, s.settled(ended+5))
		require.NoError(t, third.stopped())
	})
}

func TestOvertakenPartitionIsHeldThoughOthersNeverRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(time.Second, &calls))
		s.produce(0, nil, s.requests("read", 20)...)
		cfg := s.config("r1")
		cfg.WindowRecords, cfg.MaxInFlight = 10, 4
		r := s.start(cfg)
		for calls.Load() == 0 {
			time.Sleep(time.Second)
		}
		s.produce(0, nil, s.requests("lost", 10)...)
		s.produce(0, nil, s.requests("behind", 5)...)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 30))
		busy := 0
		for ; busy < 240 && !strings.Contains(reasons(r.Health().Holds, holdLostInput), "to go on without it start with --accept-lost-input"); busy++ {
			s.produce(1, nil, s.requests(fmt.Sprint("busy-", busy), 1)...)
			time.Sleep(500 * time.Millisecond)
		}
		require.Less(t, busy, 240, "held, and not to be waited for any more")
		onceEach(t, 20+busy, s.settled(20+busy))
		require.NoError(t, r.stopped())
	})
}
