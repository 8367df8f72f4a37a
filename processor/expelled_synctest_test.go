//go:build synctests

package processor

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A replica is stopped while it hands over and the next rebalance waits for it,
// and the group goes on without it. It comes back when those who have its
// partitions now are dead, and is given what it had: to kgo, which was never told
// of a loss, as partitions that it kept. What it remembers of them is from before.
//
// The Kafka client draws its waits by lot. About every other time its last
// transaction fails before it is given anything, and the session is built anew
// for that already: so it is tried until that can hardly be so each time.
func TestExpelledWhileItHandedOverReadsTheCommittedState(t *testing.T) {
	for range 12 {
		synctest.Test(t, expelledWhileItHandsOver)
	}
}

func expelledWhileItHandsOver(t *testing.T) {
	var calls, synced atomic.Int64
	s := newShop(t, 2, takes(4*time.Second, &calls)) // longer than a hand-over waits
	handsOver, next := make(chan struct{}), make(chan struct{})
	first := s.start(s.config("r1"), func(l *line) {
		l.answer = func(key kmsg.Key, frame []byte) bool {
			const tagsAndThrottle = 1 + 4
			switch {
			case key == kmsg.SyncGroup && synced.Add(1) == 2:
				close(handsOver)
			case key == kmsg.Heartbeat && synced.Load() == 2 && next != nil &&
				int16(binary.BigEndian.Uint16(frame[tagsAndThrottle:])) == kerr.RebalanceInProgress.Code:
				close(next)
				next = nil
			}
			return true
		}
	})
	waits := next
	s.spread("before", 2, 2)
	s.settled(2)
	s.spread("id", 40, 2)
	time.Sleep(200 * time.Millisecond) // no transaction is open
	second := s.start(s.config("r2"))
	<-handsOver
	third := s.start(s.config("r3"))
	<-waits
	first.line.freeze()
	onceEach(t, 42, s.settled(42))
	second.killed()
	third.killed()

	first.line.thaw()
	s.spread("after", 4, 2)
	onceEach(t, 46, s.settled(46))
	time.Sleep(time.Minute)
	onceEach(t, 46, s.allEnds())
	require.NoError(t, first.stopped())
}
