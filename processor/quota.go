package processor

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// quota is this replica's share of the fleet's call rate. The quota belongs to
// the app, not to a replica: each takes as much of it as it holds of the input
// partitions, as long as they are known to be its own. Whoever loses a partition
// knows before another gets it, or has lost its lease: the shares of a fleet never
// add up to more than the whole. The scheduler goroutine owns it.
type quota struct {
	fleet   float64 // calls per second; 0: no limit
	limiter *rate.Limiter
	lease   *lease
	holds   *holds
}

// recheck is how soon a call that waits for the lease is tried again: the answers
// that it waits for wake nobody.
const recheck = 100 * time.Millisecond

func newQuota(fleet float64, l *lease, h *holds) *quota {
	return &quota{fleet: fleet, limiter: rate.NewLimiter(0, 1), lease: l, holds: h} // nothing is held yet
}

// SetShare says how much of all input partitions this replica holds.
func (q *quota) SetShare(held, all float64) {
	if q.fleet <= 0 {
		return
	}
	share := q.fleet * held / max(all, held, 1)
	q.limiter.SetLimit(rate.Limit(share))
	q.limiter.SetBurst(max(1, int(share/20))) // 50 ms worth: a burst must not show in a second's count
}

// Take takes leave for one call, or says how long to wait for it.
func (q *quota) Take(now time.Time) (wait time.Duration, ok bool) {
	if q.fleet <= 0 {
		return 0, true
	}
	if !q.lease.valid(now) {
		q.holds.Set(holdKafka, "quota", fmt.Sprintf("the coordinator of kafka.group has not answered for kafka.session_timeout (%v), and our share of gateway.rate may be another replica's by now: calls wait until it answers; check the brokers and the way to them if this lasts", q.lease.timeout))
		return recheck, false
	}
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

// Look ends the holds whose reason is gone.
func (q *quota) Look(now time.Time) {
	if q.fleet > 0 && q.lease.valid(now) {
		q.holds.Clear(holdKafka, "quota")
	}
}
