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
	budget  budget
	lease   *lease
	holds   *holds
}

// recheck is how soon a call that waits for the lease is tried again: the answers
// that it waits for wake nobody.
const recheck = 100 * time.Millisecond

func newQuota(fleet float64, daily int, l *lease, h *holds) *quota {
	q := &quota{fleet: fleet, limiter: rate.NewLimiter(rate.Inf, 1), budget: budget{fleet: float64(daily)}, lease: l, holds: h}
	if fleet > 0 {
		q.limiter.SetLimit(0) // nothing is held yet
	}
	return q
}

// limited says that calls need leave at all.
func (q *quota) limited() bool { return q.fleet > 0 || q.budget.fleet > 0 }

// SetShare says how much of all input partitions this replica holds.
func (q *quota) SetShare(held, all float64) {
	q.budget.reckon(time.Now(), q.lease.expiry())
	q.budget.share = held / max(all, held, 1)
	if q.fleet <= 0 {
		return
	}
	q.limiter.SetLimit(rate.Limit(q.share()))
	q.limiter.SetBurst(max(1, int(q.share()/20))) // 50 ms worth: a burst must not show in a second's count
}

// share is how many calls a second are ours, where there is a limit.
func (q *quota) share() float64 { return q.fleet * q.budget.share }

// Take takes leave for one call, or says how long to wait for it.
func (q *quota) Take(now time.Time) (wait time.Duration, ok bool) {
	if !q.limited() {
		return 0, true
	}
	if !q.lease.valid(now) {
		q.holds.Set(holdKafka, whereQuota, fmt.Sprintf("the coordinator of kafka.group has not answered for kafka.session_timeout (%v), and our share of what the fleet may call may be another replica's by now: calls wait until it answers; check the brokers and the way to them if this lasts", q.lease.timeout))
		return recheck, false
	}
	q.budget.reckon(now, q.lease.expiry())
	if wait := q.budget.wait(); wait > 0 {
		if q.budget.lasts(now, wait) {
			q.holds.Set(holdGateway, whereBudget, q.budget.hold(now))
		}
		return wait, false
	}
	r := q.limiter.ReserveN(now, 1) // the burst is never less than 1: OK
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	q.budget.saved--
	return 0, true
}

// Return gives back a leave that was not used. What it is of a second's rate is not
// worth it, but of a day's budget it is.
func (q *quota) Return() { q.budget.saved++ }

// Look, once a second, ends the holds whose reason is gone.
func (q *quota) Look(now time.Time) {
	if !q.limited() {
		return
	}
	q.budget.reckon(now, q.lease.expiry())
	q.budget.look()
	if q.lease.valid(now) {
		q.holds.Clear(holdKafka, whereQuota)
	}
	if q.budget.plenty() {
		q.holds.Clear(holdGateway, whereBudget)
	}
}
