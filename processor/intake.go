package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// What the session does with a poll.

// admit takes polled records into their windows, out of the fetch that they came in.
func (s *session) admit(fetches kgo.Fetches) error {
	var stray error
	now := time.Now()
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		if len(ftp.Records) == 0 {
			return
		}
		p := partition{ftp.Topic, ftp.Partition}
		o, ok := s.windows.open[p]
		switch {
		case !ok: // to go on would skip them
			stray = fmt.Errorf("records of %s came without an assignment", p)
		case o.withheld:
		default:
			if !o.bombed { // what comes again after an abort is below the bomb
				s.holds.Clear(holdTopic, p.String())
				o.complained = time.Time{}
			}
			o.logEnd, o.newest = max(o.logEnd, ftp.LastStableOffset), now
			for i, r := range ftp.Records {
				ftp.Records[i] = nil // a batch can go as soon as its last record is moved, while the rest of the poll still is
				if r.Attrs.IsControl() {
					o.Pass(r.Offset, r.LeaderEpoch)
					continue
				}
				s.metrics.polled.WithLabelValues(ftp.Topic).Inc()
				s.admitRecord(o, moved(r), now)
			}
		}
	})
	return stray
}

func (s *session) admitRecord(o *owned, r *kgo.Record, now time.Time) {
	admission := o.Admit(r.Offset, recordSize(r), r.LeaderEpoch)
	if admission == alreadyHere {
		s.metrics.redelivered.Inc()
	}
	if admission == alreadyHere || admission == alreadyEnded {
		return
	}
	t := newTask(o.assignment, r, s.cfg.Topics.Retry, 2*s.cfg.Retry.Delay)
	t.taken = now
	if admission == admittedInDoubt {
		t.foundInDoubt()
	}
	s.tracing.begin(t)
	s.undecoded.push(t)
}

// undecoded are the tasks that are in their windows and not decoded yet, by
// topic. To decode is what costs time in a pass, to poll costs little: so all that
// was fetched is polled at once, which lets kgo fetch again, and the topics take
// turns at being decoded. A topic with a backlog then keeps nobody out.
//
// The session goroutine owns it. Its mutex is for who looks for a request id.
type undecoded struct {
	mu     sync.Mutex
	queues map[string][]*task
}

func newUndecoded() *undecoded { return &undecoded{queues: map[string][]*task{}} }

func (q *undecoded) push(t *task) {
	q.mu.Lock()
	q.queues[t.topic] = append(q.queues[t.topic], t)
	q.mu.Unlock()
}

func (q *undecoded) empty() bool { return len(q.queues) == 0 }

// take returns about n tasks, those of a partition in offset order, as many of
// each topic as there are.
func (q *undecoded) take(n int) []*task {
	q.mu.Lock()
	defer q.mu.Unlock()
	var tasks []*task
	for len(tasks) < n && len(q.queues) > 0 {
		for topic, queue := range q.queues {
			tasks = append(tasks, queue[0])
			queue[0] = nil
			if q.queues[topic] = queue[1:]; len(queue) == 1 {
				delete(q.queues, topic)
			}
		}
	}
	return tasks
}

// first is the first task of each assignment, of those that are decoded next.
func (q *undecoded) first() map[assignment]*task {
	first := map[assignment]*task{}
	for _, queue := range q.queues {
		for _, t := range queue[:min(len(queue), decodeRecords)] {
			if first[t.assignment] == nil {
				first[t.assignment] = t
			}
		}
	}
	return first
}

// decodeSome decodes and hands over what a pass has time for.
func (s *session) decodeSome() {
	var tasks []*task
	for _, t := range s.undecoded.take(decodeRecords) {
		o, ok := s.windows.Get(t.assignment)
		if !ok || o.withheld {
			continue
		}
		request, bad, missing := s.requestOf(t)
		if bad != nil {
			t.request = request
			s.recent.end(bad)
			o.Finish(t.offset, bad)
			continue
		}
		t.request, t.missing = request, missing
		if missing != 0 {
			s.await(t, missing)
		}
		tasks = append(tasks, t)
	}
	if len(tasks) > 0 {
		s.scheduler.Add(tasks)
	}
}

// requestOf decodes a task. One whose id has asked for something else is no request,
// unless it may have been called: then what became of that call has to be found out.
func (s *session) requestOf(t *task) (request schemas.Request, bad *end, missing int) {
	request, bad, missing = decode(s.codec, t)
	if bad != nil || missing != 0 {
		return request, bad, missing
	}
	written := t.record.Timestamp
	if t.topic == s.cfg.Topics.Retry {
		written = time.Time{} // older than its record, and nothing tells by how much
	}
	if !s.asked.differs(s.asked.fingerprint(&request, written)) || t.inDoubt {
		return request, nil, 0
	}
	return onlyID(request), deadLetter(t, schemas.ConflictingRequest,
		"its request_id has asked for something else before, for another coupon, member, biz_code, channel or extra; `coupongrant request` shows both"), 0
}

// recordSize is what a record costs in memory, roughly and rather too much: the
// value counts twice, as it is and decoded.
func recordSize(r *kgo.Record) int {
	const overhead = 1024
	size := overhead + len(r.Key) + 2*len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}

// fetchErrors sorts what a poll complained of: nothing is skipped, what needs a
// person becomes a hold.
func (s *session) fetchErrors(fetches kgo.Fetches) error {
	for _, fe := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		var bomb *kgo.ErrDecompressTooLarge
		p := partition{fe.Topic, fe.Partition}
		o := s.windows.open[p]
		switch {
		case errors.Is(fe.Err, context.Canceled), errors.Is(fe.Err, context.DeadlineExceeded):
		case errors.Is(fe.Err, errInflated): // it comes again
		case errors.Is(fe.Err, kgo.ErrClientClosed):
			return fe.Err
		case fe.Topic == "" && s.cfg.GroupProtocol == Classic: // of the group, and told in order with what became of it
		case fe.Topic == "" && onlyMissed(fe.Err):
		case fe.Topic == "":
			s.holds.Set(holdKafka, whereGroup, s.cannotJoin(fe.Err))
		case o == nil: // kgo has left the partition out of the assignment: only a new one brings it back
			s.holds.Set(holdTopic, p.String(), unreadable(fe.Err))
			return fmt.Errorf("reading %s: %w", p, fe.Err)
		case o.withheld:
		case errors.As(fe.Err, &loss) && loss.ResetTo >= o.next:
			// Nothing that was read is gone. kgo remembers the leader epoch of the last record it handed
			// out, not that of a marker or an aborted record it passed over later; once leaders have
			// changed on both sides of those, the broker ends that epoch below the reader's offset.
		case errors.As(fe.Err, &loss):
			if s.cfg.AcceptLostInput { // the next assignment steps over the gap
				s.cuts[p] = cut{committed: o.watermark, at: loss.ResetTo}
				return fmt.Errorf("reading %s at offset %d: %w", p, o.next, fe.Err)
			}
			s.withhold(o, vanished(o, fe.Err))
		case errors.Is(fe.Err, kerr.OffsetOutOfRange) && o.unseen && o.next == 0: // it begins elsewhere: the next session sees where
			return fmt.Errorf("reading %s: %w", p, fe.Err)
		case errors.Is(fe.Err, kerr.OffsetOutOfRange) && o.sought != o.next:
			// After an abort kgo reads again from where it believes that was committed. Retention may have taken that, and
			// only that: so what is missing is asked for by its offset.
			o.sought = o.next
			s.kafka.Client().SetOffsets(map[string]map[int32]kgo.EpochOffset{o.topic: {o.number: {Epoch: -1, Offset: o.next}}})
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			if o.overtaken == nil {
				s.windows.noteRead()
			}
			o.overtaken = fe.Err
			s.holds.Set(holdLostInput, p.String(), fmt.Sprintf("%v at offset %d: input vanished before it was read; what was read ends first, do not restart before that", fe.Err, o.next))
		case errors.As(fe.Err, &bomb):
			o.bombed, o.complained = true, time.Time{} // what was said before would be forgotten, and the hold with it
			s.holds.Set(holdTopic, p.String(), bombed(bomb, p, s.cfg.Group))
		case errors.Is(fe.Err, kerr.UnknownTopicID): // made anew: kgo would ask for the old one, without a pause, for ever
			return fmt.Errorf("reading %s: %w", p, fe.Err)
		case errors.Is(fe.Err, kerr.TopicAuthorizationFailed): // the next session says which right is lacking, and begins once it is given
			return fmt.Errorf("reading %s: %w", p, fe.Err)
		case o.bombed: // of which the hold tells
		default:
			o.complained = time.Now()
			s.holds.Set(holdTopic, p.String(), unreadable(fe.Err))
		}
	}
	return nil
}

func unreadable(err error) string {
	return fmt.Sprintf("reading: %v; check the topic and the rights of this user", err)
}

// forgetComplaints ends what no fetch complains of any more: a partition without
// traffic has no records that would show that it can be read.
func (s *session) forgetComplaints() {
	for p, o := range s.windows.open {
		if !o.withheld && !o.complained.IsZero() && time.Since(o.complained) > complaintLasts {
			o.complained = time.Time{}
			s.holds.Clear(holdTopic, p.String())
		}
	}
}

// endOvertaken acts on gaps that retention has made, once what was read has ended: the
// log may not have it any more, so that whoever reads the partition anew would pass over
// it. To go on behind a gap the session is built anew, which forgets the windows of all
// partitions; others may be overtaken as well and not know it, so all end first.
func (s *session) endOvertaken() error {
	for p, o := range s.windows.open {
		switch {
		case o.overtaken == nil || o.withheld:
		case s.cfg.AcceptLostInput && s.windows.ended():
			return fmt.Errorf("reading %s at offset %d: %w", p, o.next, o.overtaken)
		case !s.cfg.AcceptLostInput && s.windows.endedSoFar(): // the others are read on
			s.withhold(o, vanished(o, o.overtaken))
		}
	}
	return nil
}

func vanished(o *owned, err error) *Hold {
	return withheld(holdLostInput, o.partition, fmt.Sprintf("%v at offset %d: input vanished before it was read; to go on without it start with --accept-lost-input", err, o.next))
}
