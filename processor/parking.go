package processor

import "time"

// Who is parked although no answer says so: a request that was called and has no
// end for too long, and those that it holds up. Only ever while the gateway
// answers others: in an outage everybody waits where they are.

// Shares of a window (window.records), and of its span: one in so many. With more than
// crowdShare behind a request in trouble, or the others further beyond it than spanShare, it
// is parked before retry.park_after: the window would fill, and hold up everybody.
// Of a lane of which nobody is answered no more than laneShare stay, and no more
// than half of all that wait in the partition.
const (
	crowdShare = 64
	laneShare  = 8
	spanShare  = 2

	fewFailed = 2 // attempts while others were answered: the first may have begun in an outage
	fewParked = 3 // in a row are a lane of which nobody is answered
)

// sweep looks once a second at everyone who waits for a turn or for a time. It
// ends requests whose own time has passed, so that an outage does not keep the
// news from those who wait for it, and parks those that wait too long while
// others get their outcomes.
func (s *scheduler) sweep(now time.Time) {
	if now.Before(s.nextSweep) {
		return
	}
	s.nextSweep = now.Add(idle)
	s.quota.Look(now)
	s.gate.look(now, s.holds)
	s.callers.look()
	othersEnd := s.answersOthers(now)
	type ending struct {
		task    *task
		verdict verdict
	}
	var endings []ending
	over := func(t *task) bool {
		if s.repeats(t) {
			return false
		}
		v, over := s.policy.beforeCall(t, now)
		if over {
			s.recall(t) // which ends nobody: it may be called after all
			v, over = s.policy.beforeCall(t, now)
		}
		if !over && othersEnd {
			v, over = s.overdue(t)
		}
		if over {
			endings = append(endings, ending{t, v})
		}
		return over
	}
	s.turns.remove(over)
	s.timers.remove(over)
	for _, e := range endings {
		sup := s.supplies[e.task.assignment]
		sup.forget(e.task)
		s.touch(sup)
		s.conclude(e.task, e.verdict, answered{})
	}
	if s.turns.inFlight > 0 || s.someWait() {
		s.waited = now
	} else if now.Sub(s.waited) > troubleLasts { // the next call that fails says so again
		s.holds.Clear(holdGateway, "")
	}
}

// troubleLasts is how long the trouble of the gateway is believed in while nobody waits,
// and so nobody finds that it is over. Requests that come now and then, and expire, keep it
// up: it is longer than people are told after.
const troubleLasts = 20 * time.Minute

// someWait says that somebody who was handed over has no end, and has not left us.
func (s *scheduler) someWait() bool {
	for _, sup := range s.supplies {
		if sup.roll.size > 0 {
			return true
		}
	}
	return false
}

// overdue says that a task has kept others waiting for too long. Not to be asked
// while its call is in flight, nor while nobody is answered.
func (s *scheduler) overdue(t *task) (v verdict, over bool) {
	s.answering.count(t)
	if v, over = s.policy.waitedTooLong(t, s.parked(t), s.answering.elapsed); over || t.failedAmongOthers < fewFailed {
		return v, over
	}
	behind := t.lane != nil && len(t.lane.tasks) > max(s.cfg.WindowRecords/crowdShare, 1)
	beyond := s.supplies[t.assignment].newest-t.offset >= int64(maxSpan*s.cfg.WindowRecords/spanShare)
	if behind || beyond {
		return s.policy.park(t, s.parked(t)), true
	}
	return verdict{}, false
}

// parkBehind parks, with the first of a lane, the earliest of those behind it that
// are more than a lane in trouble may hold. Where nothing of one key is answered,
// and its requests come faster than one after the other can be parked, its lane
// would fill the window; where many keys wait, a long lane is no more than its
// part of a backlog, and stays whole. They were not called, and leave the order of
// their key: the only ones that do so before their first attempt.
func (s *scheduler) parkBehind(first *task, parked *end) {
	if first.lane == nil {
		return
	}
	if first.lane.parkedInRow++; first.lane.parkedInRow < fewParked || !s.answersOthers(time.Now()) {
		return
	}
	sup := s.supplies[first.assignment]
	stay := max(s.cfg.WindowRecords/laneShare, sup.roll.size/2)
	for _, t := range first.lane.takeBehind(func(t *task, left int) bool { return t.missing == 0 && left > stay && !s.repeats(t) }) {
		s.answering.count(t)
		s.recall(t) // who calls it then does not know whom it repeats
		sup.ended(t)
		s.tell(&end{task: t, kind: endParked, at: parked.at, next: parked.next})
	}
}
