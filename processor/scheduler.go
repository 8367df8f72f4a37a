package processor

import (
	"context"
	"log/slog"
	"time"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
)

// scheduler decides who is called when. A task is data in a lane: it takes a
// call slot only when it is first of its lane, below the committed ceiling,
// due, and gate, quota and breaker let it. No caller sleeps for a request, and one
// that waits holds no slot. One goroutine owns everything in here; others
// speak to it through its inbox, and it answers in reports.
type scheduler struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	holds    *holds
	policy   policy
	breaker  *breaker.Breaker
	attempts *attempter
	tracing  *tracing

	inbox   *mailbox[func()]
	results chan answered // as many places as calls in flight: a caller never waits
	reports *mailbox[report]

	callers  *callers
	calling  map[string]struct{} // request ids that are called at this moment
	quota    *quota
	lanes    lanes
	supplies map[assignment]*supply
	touched  []*supply // may wish for a higher ceiling
	turns    *turns
	timers   timers
	gate     *gate
	shown    [2]string // what the metric says that the gate is closed for
	failures int       // calls in a row that found the gateway in trouble
	draining bool
	toldFull bool // what the session was told of the slots last

	sight        *sight
	recent       *recent
	grants       *grants
	shownAt      time.Time
	barrier      barrier
	barrierUntil time.Time

	nextSweep time.Time
	waited    time.Time // when somebody last waited for a call, or for the end of one
	answered  time.Time // when the gateway last granted or refused anyone
	answering answering
	words     words
}

// report is what the scheduler tells the session.
type report struct {
	assignment
	end     *end      // a task came to its end
	wish    int64     // a ceiling it would like committed
	banned  time.Time // the gateway banned the app until then
	drained *drained  // an assignment that was to be released has no call in flight
	slots   slots
}

// slots is news of the call slots.
type slots uint8

const (
	slotsAsBefore slots = iota
	slotsFull           // all are taken, and a request waits for nothing but one
	slotsFree
)

// kept is what outlives the schedulers that use it, one after the other.
type kept struct {
	gate   *gate
	sight  *sight
	recent *recent
	grants *grants
}

// surroundings are what a scheduler is given by its session.
type surroundings struct {
	kept
	metrics *metrics
	holds   *holds
	reports *mailbox[report]
	lease   *lease
	tracing *tracing // nil: no traces
}

// newScheduler goes on with what the one before has left.
func newScheduler(cfg Config, d Deps, with surroundings) *scheduler {
	s := &scheduler{
		cfg: cfg, log: d.Logger.With("component", "scheduler"), metrics: with.metrics, holds: with.holds,
		policy: policy{cfg: cfg}, breaker: d.Breaker,
		attempts: &attempter{client: d.Client, credentials: d.Credentials, timeout: cfg.CallTimeout},
		inbox:    newMailbox[func()](newBell()),
		results:  make(chan answered, cfg.MaxInFlight),
		reports:  with.reports,
		quota:    newQuota(cfg.Rate, cfg.DailyBudget, with.lease, with.holds),
		lanes:    lanes{},
		supplies: map[assignment]*supply{},
		turns:    newTurns(cfg.MaxInFlight, cfg.Topics),
		tracing:  with.tracing,
		gate:     with.gate,
		sight:    with.sight,
		recent:   with.recent,
		grants:   with.grants,
		calling:  map[string]struct{}{},
	}
	s.callers = newCallers(cfg.MaxInFlight, s.call)
	s.gate.tell(s.holds)
	s.shown = s.gate.troubles()
	s.metrics.showTrouble(s.shown)
	return s
}

// Assign opens an assignment at its committed ceiling, and notes what was asked for in
// it before.
func (s *scheduler) Assign(a assignment, ceiling int64, before []earlier) {
	s.inbox.put(func() {
		s.supplies[a] = newSupply(a, ceiling)
		for _, e := range before {
			s.grants.noteRecord(e)
		}
	})
}

// Drop forgets an assignment. Calls in flight end, and their answers with them.
func (s *scheduler) Drop(a assignment) {
	s.inbox.put(func() {
		if sup, ok := s.supplies[a]; ok {
			s.recent.moved(sup.roll.all())
		}
		delete(s.supplies, a)
		s.lanes.drop(a)
		of := func(t *task) bool { return t.assignment == a }
		s.turns.remove(of)
		s.timers.remove(of)
	})
}

// Release starts no more calls for an assignment and reports when those in
// flight have ended. Drop follows.
func (s *scheduler) Release(a assignment) {
	s.inbox.put(func() {
		sup, ok := s.supplies[a]
		if !ok {
			return
		}
		sup.released = true
		of := func(t *task) bool { return t.assignment == a }
		s.turns.remove(of)
		s.timers.remove(of)
		s.reportDrained(a, sup)
	})
}

func (s *scheduler) reportDrained(a assignment, sup *supply) {
	if sup.released && sup.inFlight == 0 {
		s.reports.put(report{assignment: a, drained: &drained{doubtful: sup.doubtful()}})
	}
}

// Add hands over admitted tasks, in offset order.
func (s *scheduler) Add(tasks []*task) {
	s.inbox.put(func() {
		for _, t := range tasks {
			s.answering.arrive(t, s.parked(t))
			sup, ok := s.supplies[t.assignment]
			if !ok {
				continue
			}
			sup.admit(t)
			s.noteDoubt(t)
			if s.lanes.join(t, s.cfg.Topics.Retry) {
				s.enqueue(t)
			}
		}
	})
}

// Decoded says that the schema of a pending task is known now: the request, or
// the end that it comes to without one.
func (s *scheduler) Decoded(t *task, request schemas.Request, bad *end) {
	s.inbox.put(func() {
		if _, ok := s.supplies[t.assignment]; !ok {
			return
		}
		t.request, t.missing = request, 0
		if bad == nil {
			s.noteDoubt(t)
		}
		first := t.lane == nil || t.lane.tasks[0] == t
		switch {
		case bad != nil && first:
			s.finish(bad)
		case bad != nil:
			t.lane.remove(t)
			s.supplies[t.assignment].ended(t)
			s.tell(bad)
		case first:
			s.enqueue(t)
		}
	})
}

// Raise says that a ceiling is committed.
func (s *scheduler) Raise(a assignment, ceiling int64) {
	s.inbox.put(func() {
		if sup, ok := s.supplies[a]; ok {
			for _, t := range sup.raise(ceiling) {
				s.enqueue(t)
			}
			s.touch(sup)
		}
	})
}

// Share says how much of all input partitions this replica holds.
func (s *scheduler) Share(held, all float64) {
	s.inbox.put(func() { s.quota.SetShare(held, all) })
}

// Ban obeys a ban that a predecessor learned of.
func (s *scheduler) Ban(until time.Time) {
	s.inbox.put(func() { s.gate.ban(until, s.holds) })
}

// Drain starts no more calls; run returns when those in flight have ended.
func (s *scheduler) Drain() {
	s.inbox.put(func() { s.draining = true })
}

// run owns the scheduler until it has drained or ctx ends. Calls end with ctx.
func (s *scheduler) run(ctx context.Context) {
	defer s.callers.dismiss()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.pass(ctx))
		if s.draining && s.turns.inFlight == 0 {
			return
		}
		select {
		case <-s.inbox.notify:
			for _, do := range s.inbox.take() {
				do()
			}
		case ans := <-s.results:
			s.judge(ans)
		case <-s.attempts.credentials.Changed():
			s.credentialsChanged()
		case <-timer.C:
		case <-ctx.Done():
			s.abandon()
			return
		}
	}
}

// abandon waits for the calls that ctx has just ended, so that no goroutine
// outlives the scheduler. Who may have been granted is remembered: the next scheduler
// may be given a record that repeats it.
func (s *scheduler) abandon() {
	for s.turns.inFlight > 0 {
		ans := <-s.results
		s.turns.ended(ans.task.topic) // and its caller need not be known of any more
		s.noteGrant(ans)
	}
}

// doubtful tells which offsets of an assignment may have been granted and have no end.
// Only after run has returned.
func (s *scheduler) doubtful(a assignment) func(offset int64) bool {
	if sup, ok := s.supplies[a]; ok {
		return sup.doubtful()
	}
	return func(int64) bool { return true }
}
