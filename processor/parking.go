package processor

import "time"

// Who is parked although no answer says so: a request that was called and has no
// end for too long, and those that it holds up. Only ever while the gateway
// answers others: in an outage everybody waits where they are.

// laneShare of a window is how many records may wait behind a request in
// trouble, spanShare of its span how far the others may have got beyond it. With
// more it is parked before retry.park_after: the window would fill, and hold up
// everybody.
const (
	laneShare = 8
	spanShare = 2
)

// overdue says that a task has kept others waiting for too long. Not to be asked
// while its call is in flight, nor while nobody is answered.
func (s *scheduler) overdue(t *task) (v verdict, over bool) {
	s.answering.count(t)
	if v, over = s.policy.waitedTooLong(t, s.parked(t), s.answering.elapsed); over || t.attempts == 0 {
		return v, over
	}
	behind := t.lane != nil && len(t.lane.tasks) > s.cfg.WindowRecords/laneShare
	beyond := s.supplies[t.assignment].newest-t.offset >= int64(maxSpan*s.cfg.WindowRecords/spanShare)
	if behind || beyond {
		return s.policy.park(t, s.parked(t), "too many wait for it"), true
	}
	return verdict{}, false
}

// parkBehind parks with the first of a lane those that have waited behind it for
// longer than retry.park_after, and the earliest of more than a lane in trouble
// may hold: where everything of one key fails, one after the other would be
// parked, and its lane grow until it fills the window. They were not called.
func (s *scheduler) parkBehind(first *task, parked *end) {
	if first.lane == nil || !s.answersOthers(time.Now()) {
		return
	}
	for _, t := range first.lane.takeBehind(func(t *task, left int) bool {
		long := s.answering.elapsed-t.arrived >= s.cfg.Retry.ParkAfter
		return !t.pending && (long || left > s.cfg.WindowRecords/laneShare)
	}) {
		s.answering.count(t)
		s.reports.put(report{assignment: t.assignment, end: &end{task: t, kind: endParked, at: parked.at, next: parked.next}})
	}
}
