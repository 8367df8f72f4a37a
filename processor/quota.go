package processor

import (
	"time"

	"golang.org/x/time/rate"
)

// quota is this replica's share of the fleet's call rate. The quota belongs to
// the app, not to a replica: each takes as much of it as it holds of the input
// partitions. The scheduler goroutine owns it.
type quota struct {
	fleet   float64 // calls per second; 0: no limit
	limiter *rate.Limiter
}

func newQuota(fleet float64) *quota {
	q := &quota{fleet: fleet, limiter: rate.NewLimiter(rate.Inf, 1)}
	q.SetShare(0, 1) // nothing is held yet
	return q
}

// SetShare says how many of all input partitions this replica holds.
func (q *quota) SetShare(held, all int) {
	if q.fleet <= 0 {
		return
	}
	share := q.fleet * float64(held) / float64(max(all, held, 1))
	q.limiter.SetLimit(rate.Limit(share))
	q.limiter.SetBurst(max(1, int(share/20))) // 50 ms worth: a burst must not show in a second's count
}

// Take takes leave for one call, or says how long to wait for it.
func (q *quota) Take(now time.Time) (wait time.Duration, ok bool) {
	r := q.limiter.ReserveN(now, 1)
	if !r.OK() {
		return time.Second, false
	}
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}
