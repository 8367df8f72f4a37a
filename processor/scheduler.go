package processor

import (
	"context"
	"fmt"
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
	quota    *quota
	lanes    lanes
	supplies map[assignment]*supply
	touched  []*supply // may wish for a higher ceiling
	turns    *turns
	timers   timers
	gate     gate
	shown    [2]string // what the metric says that the gate is closed for
	failures int       // calls in a row that found the gateway in trouble
	draining bool
	toldFull bool // what the session was told of the slots last

	sight        *sight
	recent       *recent
	shownAt      time.Time
	barrier      barrier
	barrierUntil time.Time

	nextSweep time.Time
	answered  time.Time // when the gateway last granted or refused anyone
	answering answering
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

func newScheduler(cfg Config, d Deps, m *metrics, h *holds, reports *mailbox[report], l *lease) *scheduler {
	s := &scheduler{
		cfg: cfg, log: d.Logger.With("component", "scheduler"), metrics: m, holds: h,
		policy: policy{cfg: cfg}, breaker: d.Breaker,
		attempts: &attempter{client: d.Client, credentials: d.Credentials, timeout: cfg.CallTimeout},
		inbox:    newMailbox[func()](newBell()),
		results:  make(chan answered, cfg.MaxInFlight),
		reports:  reports,
		quota:    newQuota(cfg.Rate, cfg.DailyBudget, l, h),
		lanes:    lanes{},
		supplies: map[assignment]*supply{},
		turns:    newTurns(cfg.MaxInFlight, cfg.Topics),
		gate:     gate{guard: new(guard)},
		sight:    new(sight),
		recent:   newRecent(cfg.Topics, 1),
	}
	s.callers = newCallers(cfg.MaxInFlight, s.call)
	return s
}

// seenBy has it show itself, and tell of ends.
func (s *scheduler) seenBy(eyes *sight, r *recent) { s.sight, s.recent = eyes, r }

// Assign opens an assignment at its committed ceiling.
func (s *scheduler) Assign(a assignment, ceiling int64) {
	s.inbox.put(func() { s.supplies[a] = newSupply(a, ceiling) })
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
		s.reports.put(report{assignment: a, drained: &drained{called: sup.called}})
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
	defer s.callers.end()
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
			s.gate.credentialsChanged(time.Now())
		case <-timer.C:
		case <-ctx.Done():
			s.abandon()
			return
		}
	}
}

// abandon waits for the calls that ctx has just ended, so that no goroutine
// outlives the scheduler.
func (s *scheduler) abandon() {
	for s.turns.inFlight > 0 {
		s.turns.ended((<-s.results).task.topic) // and its caller need not be known of any more
	}
}

// pass starts what can be started and returns how long it can be until the next
// look.
func (s *scheduler) pass(ctx context.Context) time.Duration {
	now := time.Now()
	for _, ans := range s.takeResults() {
		s.judge(ans)
	}
	s.answering.tick(now, s.answersOthers(now))
	for _, t := range s.timers.due(now) {
		s.enqueue(t)
	}
	wait := s.dispatch(ctx, now)
	s.sweep(now)
	s.wish()
	s.tellSlots()
	wait = min(wait, s.show(now))
	s.metrics.inFlight.Set(float64(s.turns.inFlight))
	if next, ok := s.timers.next(); ok {
		wait = min(wait, max(next.Sub(now), 0))
	}
	return wait
}

// takeResults empties the channel, so that a pass serves all that ended at once.
func (s *scheduler) takeResults() []answered {
	var answers []answered
	for {
		select {
		case ans := <-s.results:
			answers = append(answers, ans)
		default:
			return answers
		}
	}
}

// idle is how often a scheduler with nothing to do looks whether a waiting
// request has expired.
const idle = time.Second

// dispatch starts calls until something does not let it, and returns when to
// try again.
func (s *scheduler) dispatch(ctx context.Context, now time.Time) time.Duration {
	s.barrier = barrierNone
	for !s.draining && s.turns.free() {
		t := s.turns.peek()
		if t == nil {
			return idle
		}
		if v, ended := s.policy.beforeCall(t, now); ended {
			s.turns.drop()
			sup := s.supplies[t.assignment]
			sup.forget(t)
			s.touch(sup)
			s.conclude(t, v, answered{at: now.UTC()})
			continue
		}
		if wait, ok := s.gate.open(now, s.turns.inFlight); !ok {
			return s.stoppedBy(barrierGate, wait)
		}
		if wait, ok := s.quota.Take(time.Now()); !ok { // now may be of before this process was stopped
			return s.stoppedBy(barrierQuota, wait)
		}
		done, wait, ok := s.breaker.Allow()
		if !ok {
			s.quota.Return()
			s.holds.Set(holdGateway, "", fmt.Sprintf("the gateway is in trouble, too many calls failed or were slow, and the breaker is %s: requests wait and the gateway is probed by itself; check gateway.url and the gateway's status if this lasts", s.breaker.State()))
			return s.stoppedBy(barrierBreaker, wait)
		}
		s.turns.start()
		s.start(ctx, t, done)
	}
	if s.draining {
		return s.stoppedBy(barrierStopping, idle)
	}
	return s.stoppedBy(barrierSlots, idle)
}

// stoppedBy notes what kept the next call from starting, and returns when to try
// again.
func (s *scheduler) stoppedBy(b barrier, wait time.Duration) time.Duration {
	s.barrier, s.barrierUntil = b, time.Now().Add(wait)
	return min(wait, idle)
}

// start has a task called.
func (s *scheduler) start(ctx context.Context, t *task, done func(breaker.Result)) {
	sup := s.supplies[t.assignment]
	sup.inFlight++
	t.began = time.Now()
	s.gate.started(t.began)
	if !t.called {
		s.answering.count(t)
		t.called, t.calledAt = true, s.answering.elapsed
		sup.leave(t)
		s.touch(sup)
	}
	s.callers.start(ctx, call{t, done})
}

// call is made in a caller's goroutine.
func (s *scheduler) call(ctx context.Context, c call) {
	ans := s.attempts.Attempt(ctx, c.task)
	ans.err = s.policy.read(ans.err)
	s.tracing.called(c.task, ans)
	c.done(health(ans.err))
	s.results <- ans
}

// enqueue places a task that is first of its lane: to wait for its schema, for
// its time, for the ceiling, or for its turn.
func (s *scheduler) enqueue(t *task) {
	sup := s.supplies[t.assignment]
	switch {
	case sup.released: // the next owner calls it
	case t.missing != 0: // Decoded comes back to it
	case t.due.After(time.Now()):
		s.timers.push(t)
	case t.offset >= sup.ceiling:
		sup.block(t)
		s.touch(sup)
	default:
		sup.enter(t)
		s.turns.push(t)
	}
}

// touch notes that a partition may wish for a higher ceiling now: a look at all of
// them after each call would make a call the dearer, the more there are.
func (s *scheduler) touch(sup *supply) {
	if !sup.touched {
		sup.touched = true
		s.touched = append(s.touched, sup)
	}
}

// wish tells the session which ceilings keep the calls supplied.
func (s *scheduler) wish() {
	for _, sup := range s.touched {
		sup.touched = false
		if ceiling, ok := sup.wish(s.cfg.MaxInFlight); ok && !s.draining {
			s.reports.put(report{assignment: sup.assignment, wish: ceiling})
		}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
}

// tellSlots tells the session whether more could be called if there were more slots.
func (s *scheduler) tellSlots() {
	full := s.barrier == barrierSlots && s.turns.peek() != nil
	if full == s.toldFull {
		return
	}
	s.toldFull = full
	news := slotsFree
	if full {
		news = slotsFull
	}
	s.reports.put(report{slots: news})
}

// calledUnfinished tells which offsets of an assignment were called and have no
// end. Only after run has returned.
func (s *scheduler) calledUnfinished(a assignment) func(offset int64) bool {
	return func(offset int64) bool {
		sup, ok := s.supplies[a]
		if !ok {
			return true
		}
		_, called := sup.called[offset]
		return called
	}
}
