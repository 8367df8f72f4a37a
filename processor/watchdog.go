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
// hold, and passes. Where kgo waits in a call of ours for brokers of which none answers,
// look says so. Time in which this process was stopped does not count, nor what a
// wall clock that is set makes of it.
type watchdog struct {
	limit time.Duration
	look  func() (waits bool) // every lookEvery; waits: to be held up now is no hang
	began time.Time
	last  atomic.Int64 // the last pass, in nanoseconds since then
	stuck atomic.Bool
}

// lookEvery is short against what is looked for, which is told that much later at
// most.
const lookEvery = 500 * time.Millisecond

var errWedged = errors.New("the session goroutine has not passed for too long: exiting, so that another replica takes over")

func newWatchdog(limit time.Duration, look func() bool) *watchdog {
	w := &watchdog{limit: limit, look: look, began: time.Now()}
	w.passed()
	return w
}

func (w *watchdog) passed() { w.last.Store(int64(time.Since(w.began))) }

func (w *watchdog) lastPass() time.Time { return w.began.Add(time.Duration(w.last.Load())) }

// run returns errWedged, or nil when ctx ends.
func (w *watchdog) run(ctx context.Context) error {
	ticker := time.NewTicker(min(w.limit/10, lookEvery))
	defer ticker.Stop()
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if waits := w.look(); waits || time.Since(looked) > longestTick {
				w.passed() // or might have, had it been answered or let run
			}
			looked = time.Now()
			if time.Since(w.lastPass()) > w.limit {
				w.stuck.Store(true)
				return errWedged
			}
		}
	}
}
