package processor

import (
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/topclient"
)

// What the scheduler does with an answer: it counts it, has the policy judge it,
// and carries out the verdict.

// judge acts on an answer.
func (s *scheduler) judge(ans answered) {
	t := ans.task
	delete(s.calling, t.request.RequestID)
	s.turns.ended(t.topic)
	s.callers.ended()
	s.metrics.attempt(ans)
	s.tellUnknown(ans)
	s.gate.ended(ans.err, s.holds)
	defer s.showTrouble()
	s.gatewayHealth(ans.err)
	sup, ok := s.supplies[t.assignment]
	if !ok {
		s.metrics.staleResults.Inc()
		s.noteGrant(ans)
		return
	}
	sup.inFlight--
	t.began = time.Time{}
	t.remember(ans.logged())
	tally(t, ans.err)
	s.noteGrant(ans)
	s.answering.count(t)
	v := s.policy.next(ans.err, t, s.parked(t))
	if definite(ans.err) {
		s.answered = time.Now()
		s.words.answers++
		s.words.inRow = 0
	}
	if further(ans.err) {
		s.sight.answers.Add(1)
	}
	if aboutAll(v, ans.err) {
		v = s.forOneOrAll(t, v)
	}
	if v.action == actRetry && !ans.err.Canceled && s.answersOthers(time.Now()) {
		t.failedAmongOthers++
		if late, over := s.overdue(t); over {
			v = late
		}
	}
	if s.gate.guard.keeps(ans.err) {
		v = verdict{action: actRetry, wait: probeApp}
	}
	t.lastAnswer = ans.err
	s.conclude(t, v, ans)
	s.reportDrained(t.assignment, sup)
}

// tellUnknown keeps Tmall's own words where nobody knows what they mean: they stand in no
// record, and a person may have to ask Tmall.
func (s *scheduler) tellUnknown(ans answered) {
	if e := ans.err; e != nil && e.About == topclient.AboutUnknown && !e.Canceled && e.Code != "10" { // which Retry.Code10 may have made one
		s.log.Warn("the gateway gave an answer that nobody knows the meaning of: the request is in doubt",
			"request_id", ans.task.request.RequestID, "record", ans.task.source, "answer", e)
	}
}

// noteGrant remembers that its request may have been granted, for records to come
// that repeat it.
func (s *scheduler) noteGrant(ans answered) {
	switch t := ans.task; {
	case t.inDoubt:
		s.grants.note(t.request.RequestID, firstKnown(t))
	case ans.err == nil || ans.err.MayHaveGranted:
		s.grants.note(t.request.RequestID, ans.at)
	}
	if ans.err == nil {
		s.noteCoupon(ans.task, ans.coupon)
	}
}

// noteCoupon tells of a request that Tmall has granted a second coupon. Nothing is left
// to prevent: a person has to settle it.
func (s *scheduler) noteCoupon(t *task, coupon topclient.Coupon) {
	before, found := s.grants.another(t.request.RequestID, coupon.InstanceID)
	if !found {
		return
	}
	s.metrics.grantedTwice.Inc()
	s.log.Error("the gateway granted a request another coupon than before: its idempotency does not hold",
		"request_id", t.request.RequestID, "record", t.source, "coupon_before", before, "coupon", coupon.InstanceID)
}

// noteDoubt remembers that for a task that comes in doubt a coupon may have been granted:
// it may wait for longer than one that repeats it.
func (s *scheduler) noteDoubt(t *task) {
	if t.inDoubt && t.missing == 0 {
		s.grants.noteRecord(earlier{requestID: t.request.RequestID, origin: t.origin(), since: firstKnown(t)})
	}
}

// parked says that a task came from the retry topic.
func (s *scheduler) parked(t *task) bool { return t.topic == s.cfg.Topics.Retry }

// definite says that an answer grants or refuses: whatever it means for the
// request, it shows that the gateway works, and what is behind it.
func definite(answer *topclient.Error) bool {
	return answer == nil || answer.About == topclient.AboutRequest && !answer.MayHaveGranted && !unsent(answer)
}

// unsent says that it is no answer: the request was refused here.
func unsent(answer *topclient.Error) bool {
	return answer != nil && answer.Code == topclient.CodeNotSendable
}

// further says that an answer is of those that bring a request to its end, some
// time: not that nobody can be called, or not the app.
func further(answer *topclient.Error) bool {
	return answer == nil || !answer.Canceled && !answer.Throttled &&
		(answer.About == topclient.AboutRequest || answer.About == topclient.AboutUnknown)
}

// answersOthers says that the gateway works and answered someone of late. Holds
// that are not about calling do not count: a partition whose metadata cannot be
// read, or a registry that does not answer, is no reason why a call should fail.
func (s *scheduler) answersOthers(now time.Time) bool {
	return now.Sub(s.answered) < s.cfg.Retry.ParkAfter && !s.gate.closed(now) &&
		s.failures < fewFailures && s.breaker.State() == breaker.Closed
}

// fewFailures in a row, and no success since, are a hold: the breaker wants more
// before it opens, but a person who waits for one request wants to know why.
const fewFailures = 3

func (s *scheduler) gatewayHealth(answer *topclient.Error) {
	switch health(answer) {
	case breaker.Success:
		s.failures = 0
		if s.breaker.State() == breaker.Closed {
			s.holds.Clear(holdGateway, "")
		}
	case breaker.Failure:
		if s.failures++; s.failures >= fewFailures {
			s.holds.Set(holdGateway, "", fmt.Sprintf("the gateway is in trouble, %d calls in a row failed, the last with %s: requests wait and are tried again by themselves; check gateway.url and the gateway's status if this lasts", s.failures, answerCode(answer)))
		}
	case breaker.Excluded:
	}
}

// showTrouble brings the metric up to date with the gate.
func (s *scheduler) showTrouble() {
	if now := s.gate.troubles(); now != s.shown {
		s.shown = now
		s.metrics.showTrouble(now)
	}
}

// tally adds an answer to the counters that the policy reads.
func tally(t *task, answer *topclient.Error) {
	if answer == nil {
		return
	}
	t.inDoubt = t.inDoubt || answer.MayHaveGranted
	if answer.Canceled || answer.Throttled {
		return
	}
	switch answer.About {
	case topclient.AboutRequest, topclient.AboutUnknown:
		if answer.Business == topclient.BusinessException {
			t.business++
		} else if t.inDoubt {
			t.doubtful++
		}
	case topclient.AboutGateway, topclient.AboutApp:
		// Not about this request: nothing is held against it.
	}
}

// conclude carries out a verdict. ans is the answer that it is on; empty where none
// came, which ends or parks.
func (s *scheduler) conclude(t *task, v verdict, ans answered) {
	now := time.Now() // with its monotonic reading: a wall clock that is set puts no call off
	e := &end{task: t, at: now.UTC()}
	if t.lane != nil && (v.action == actGrant || v.action == actFail) {
		t.lane.parkedInRow = 0
	}
	switch v.action {
	case actGrant:
		e.kind, e.coupon, e.at = endGranted, ans.coupon, ans.at.Add(ans.took).UTC()
	case actFail:
		e.kind, e.failure = endFailed, v.failure
	case actDeadLetter:
		e.kind, e.reason, e.detail = endDeadLetter, v.reason, v.detail
	case actPark:
		s.recall(t) // who calls it then does not know whom it repeats
		e.kind, e.next = endParked, e.at.Add(s.cfg.Retry.Delay)
		s.parkBehind(t, e)
	case actBan:
		until := now.Add(v.wait)
		s.gate.ban(until, s.holds)
		s.reports.put(report{assignment: t.assignment, banned: until})
		if aboutAll(v, ans.err) {
			t.due = until.Add(idle)
		}
		s.enqueue(t)
		return
	case actPause:
		s.pauseFor(t, ans, now, v.wait)
		s.enqueue(t)
		return
	case actRetry:
		t.due = now.Add(v.wait)
		s.enqueue(t)
		return
	}
	s.finish(e)
}

// tell sends an end back.
func (s *scheduler) tell(e *end) {
	s.recent.end(e)
	s.sight.answers.Add(1)
	s.reports.put(report{assignment: e.task.assignment, end: e})
}

// finish sends an end back and brings up the next of its lane.
func (s *scheduler) finish(e *end) {
	s.supplies[e.task.assignment].ended(e.task)
	s.tell(e)
	if next := s.lanes.leave(e.task); next != nil {
		s.enqueue(next)
	}
}
