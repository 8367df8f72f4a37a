package processor

import "time"

// answering is a clock that runs only while the gateway answers others. What a
// request waits is measured with it: time in which nobody is answered says
// nothing about the request, so that nobody is parked in an outage or right after
// one, and nobody given up for it. The scheduler goroutine owns it.
type answering struct {
	elapsed time.Duration // so far; only differences mean anything
	at      time.Time     // of the last tick
	since   time.Time     // from which on it has run without a stop; zero: it stands still
}

// longestTick is far more than the scheduler lets pass between two ticks: a
// longer time is one in which this process was stopped, and saw nobody answered.
const longestTick = 5 * idle

// tick tells whether the gateway answers others at this moment.
func (c *answering) tick(now time.Time, runs bool) {
	passed := now.Sub(c.at)
	c.at = now
	switch {
	case !runs:
		c.since = time.Time{}
	case c.since.IsZero() || passed > longestTick:
		c.since = now
	default:
		c.elapsed += passed
	}
}

// from is how much of the time since a moment the clock is known to have run
// without a stop.
func (c *answering) from(moment time.Time) time.Duration {
	if c.since.IsZero() {
		return 0
	}
	if moment.Before(c.since) {
		moment = c.since
	}
	return max(min(c.at.Sub(moment), c.at.Sub(c.since)), 0) // a wall clock that is set has not let more pass
}

// arrive begins the count of a task that is handed over. What it waited in the
// retry topic before counts as far as the gateway answered others all the while.
func (c *answering) arrive(t *task, parked bool) {
	t.countedTo = c.elapsed
	if parked && !t.firstCall.IsZero() {
		t.waited += c.from(t.record.Timestamp)
	}
}

// count brings what a task has waited since its first attempt up to date.
func (c *answering) count(t *task) {
	if !t.firstCall.IsZero() {
		t.waited += c.elapsed - t.countedTo
	}
	t.countedTo = c.elapsed
}
