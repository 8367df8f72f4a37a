package processor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// watchdog sees when the session goroutine itself has not passed: kgo keeps a
// wedged member in the group by heartbeats, so its partitions would stay with
// it for ever. Waiting for gateway, limiter, breaker, broker or registry is a
// hold, and passes.
type watchdog struct {
	limit time.Duration
	look  func()       // every lookEvery
	last  atomic.Int64 // Unix nanoseconds of the last pass
	stuck atomic.Bool
}

// lookEvery is short against what is looked for, which is told that much later at
// most.
const lookEvery = 500 * time.Millisecond

var errWedged = errors.New("the session goroutine has not passed for too long: exiting, so that another replica takes over")

func newWatchdog(limit time.Duration, look func()) *watchdog {
	w := &watchdog{limit: limit, look: look}
	w.passed()
	return w
}

func (w *watchdog) passed() { w.last.Store(time.Now().UnixNano()) }

func (w *watchdog) lastPass() time.Time { return time.Unix(0, w.last.Load()) }

// run returns errWedged, or nil when ctx ends.
func (w *watchdog) run(ctx context.Context) error {
	ticker := time.NewTicker(min(w.limit/10, lookEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.look()
			if time.Since(w.lastPass()) > w.limit {
				w.stuck.Store(true)
				return errWedged
			}
		}
	}
}
