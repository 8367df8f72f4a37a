package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/breaker"
)

// What the scheduler does in a pass: it starts the calls that can be started, notes
// what keeps the next one from it, and tells the session what calls are in want of.

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

// repeatWait is how long a record waits whose request is being called for another.
const repeatWait = 50 * time.Millisecond

// dispatch starts calls until something does not let it, and returns when to
// try again.
func (s *scheduler) dispatch(ctx context.Context, now time.Time) time.Duration {
	s.barrier = barrierNone
	for !s.draining && s.turns.free() {
		t := s.turns.peek()
		if t == nil {
			return idle
		}
		if s.repeats(t) {
			s.turns.drop()
			t.due = time.Now().Add(repeatWait) // now may be of before this process was stopped
			s.enqueue(t)
			continue
		}
		s.recall(t)
		if v, ended := s.policy.beforeCall(t, now); ended {
			s.turns.drop()
			sup := s.supplies[t.assignment]
			sup.forget(t)
			s.touch(sup)
			s.conclude(t, v, answered{})
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

// repeats says that a task's request is called for another at this moment: what it may be
// told depends on the answer.
func (s *scheduler) repeats(t *task) bool {
	_, once := s.calling[t.request.RequestID]
	return once
}

// recall finds a task in doubt whose request another record has brought before, if a
// coupon may have been granted for it.
func (s *scheduler) recall(t *task) {
	if t.inDoubt {
		return
	}
	if since, known := s.grants.since(t); known {
		t.inDoubt, t.granted = true, since
	}
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
	s.calling[t.request.RequestID] = struct{}{}
	t.began = time.Now()
	s.gate.started(t.began)
	if !t.called {
		s.answering.count(t)
		t.called, t.calledAt = true, s.answering.elapsed
		sup.firstCall(t)
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
