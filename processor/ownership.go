package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/topclient"
)

// How the session acts on what the group callbacks tell (assignment.go).

func (s *session) applyEvents(ctx context.Context) error {
	defer func() { s.sight.member.Store(s.joined && !s.joining) }()
	for _, e := range s.events.take() {
		switch {
		case e.blocked:
			s.blocked = true
			continue
		case e.failed != nil:
			s.holds.Set(holdKafka, whereGroup, s.cannotJoin(e.failed))
			continue
		case e.synced != nil:
			s.synced, s.joining = e.synced, false
			continue
		}
		// Whoever loses partitions joins again, and kgo may not tell of it: so only being given a
		// part ends a join.
		s.joining = s.joining || e.joining && s.cfg.GroupProtocol == Classic
		for _, p := range e.dropped {
			s.drop(p)
		}
		if len(e.dropped) > 0 || e.lost {
			if len(e.dropped) > 0 {
				s.log.Info("partitions revoked", "partitions", len(e.dropped))
			}
			if err := s.rearm(ctx); err != nil {
				return err
			}
		}
		if e.joined && s.cfg.GroupProtocol == Consumer {
			s.dropUntold(func(*owned) bool { return true })
		}
		for _, o := range e.opened {
			s.open(o, e.member)
		}
		if e.joined || len(e.opened) > 0 {
			if err := s.joinedAs(e.member); err != nil {
				return err
			}
		}
		s.logOpened(e.opened)
		if e.inputs > 0 {
			s.windows.inputs = e.inputs
		}
		s.share()
		if e.joined {
			s.joined = true
			s.holds.Clear(holdStarting, "")
			s.holds.Clear(holdKafka, whereGroup)
			s.holds.Clear(holdKafka, whereRights)
		}
	}
	return nil
}

func (s *session) cannotJoin(err error) string {
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return fmt.Sprintf("the group cannot be joined: %v: this user lacks READ on group %s: grant it", err, s.cfg.Group)
	}
	return fmt.Sprintf("the group cannot be joined: %v; check the cluster and the rights of this user", err)
}

// rearm lets kgo tell us of the next revocation or loss: it swallows all but the
// first until End is called. With no transaction open this sends nothing.
func (s *session) rearm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.tx.deadline)
	defer cancel()
	if _, err := s.kafka.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("rearming the revocation callback: %w", err)
	}
	return nil
}

// errExpelled: the group went on without us for a while, and others had our
// partitions.
var errExpelled = errors.New("the group had expelled us")

// joinedAs makes sure that every window is of this membership. A member that the
// group has expelled while it handed over learns of it when it joins again. kgo
// 1.22.2 then joins under a new name, claims what it had, and if it is given that,
// takes it for partitions that it kept: it tells of no loss, and fetches no offsets.
// But others may have finished what is in these windows.
func (s *session) joinedAs(member string) error {
	s.tx.member = member
	for p, o := range s.windows.open {
		if o.member != member {
			return fmt.Errorf("%w: what we remember of %s is from before", errExpelled, p)
		}
	}
	return nil
}

func (s *session) open(opened opening, member string) {
	s.drop(opened.partition) // kgo may have swallowed the revocation
	o := s.windows.Assign(opened.partition, opened.metadata.position)
	o.member, o.topicID, o.logEnd, o.unseen = member, opened.topicID, opened.logEnd, opened.unseen
	s.shown = time.Time{} // what is held is shown at once
	if opened.note != "" {
		s.log.Warn("assigned against the odds", "topic", o.topic, "partition", o.number, "note", opened.note)
		o.dirty, o.restate = true, true // commit where we stand, so that the next owner need not be told again
	}
	if opened.withheld != nil {
		s.withhold(o, opened.withheld)
		return
	}
	s.commits.taken = max(s.commits.taken, len(opened.metadata.encode())) // the brokers took it once
	callable := o.ceiling
	if s.unproven && o.ceiling > o.watermark {
		o.unproven, o.dirty, o.restate = true, true, true
		callable = o.watermark
	}
	for _, e := range opened.before {
		s.asked.recall(e.asked)
	}
	s.scheduler.Assign(o.assignment, callable, opened.before)
	if ban := opened.metadata.ban; ban.After(time.Now()) && time.Until(ban) <= topclient.LongestBan { // a later one is of a clock that was wrong
		o.ban = ban
		s.learnBan(ban)
		s.scheduler.Ban(ban)
	}
	s.log.Debug("assigned", "topic", o.topic, "partition", o.number, "offset", o.watermark, "doubt_below", o.doubtBelow, "finished_above", len(o.ended))
}

// logOpened says in one line what came to us, and what a predecessor left: how
// many offsets are in doubt, how many records above the watermarks are ended.
func (s *session) logOpened(opened []opening) {
	if len(opened) == 0 {
		return
	}
	inDoubt, finished, recalled := int64(0), 0, 0
	for _, o := range opened {
		pos := o.metadata.position
		inDoubt += pos.ceiling - pos.watermark
		finished += len(pos.finished)
		recalled += len(o.before)
	}
	s.log.Info("partitions assigned", "partitions", len(opened), "offsets_in_doubt", inDoubt, "finished_above", finished, "asked_before", recalled)
}

// withhold keeps a partition from being worked on until a person has decided.
func (s *session) withhold(o *owned, why *Hold) {
	o.withheld = true
	s.letGo(o.assignment)
	s.kafka.Client().PauseFetchPartitions(map[string][]int32{o.topic: {o.number}})
	s.holds.Set(why.Kind, why.Where, why.Reason)
}

// letGo works on no request of an assignment any more, and forgets what it knows of them.
func (s *session) letGo(of assignment) {
	s.scheduler.Drop(of)
	s.tracing.moved(func(a assignment) bool { return a == of })
	maps.DeleteFunc(s.tx.forms, func(e *end, _ form) bool { return e.task.assignment == of })
	for schema, waiting := range s.pending {
		s.pending[schema] = slices.DeleteFunc(waiting, func(t *task) bool { return t.assignment == of })
		if len(s.pending[schema]) == 0 {
			delete(s.pending, schema)
		}
	}
}

func (s *session) drop(p partition) {
	o := s.windows.Drop(p)
	if o == nil {
		return
	}
	s.letGo(o.assignment)
	s.recent.dropped(o.assignment)
	s.shown = time.Time{}
	s.holds.ClearWhere(p.String())
	s.holds.Clear(holdTopic, whereResultsOf(p))
	if o.paused || o.withheld {
		s.kafka.Client().ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
	s.log.Debug("dropped", "topic", p.topic, "partition", p.number, "watermark", o.watermark)
}

func (s *session) share() {
	held := 0.0
	for p := range s.windows.open {
		held += s.cfg.Topics.weight(p.topic)
	}
	s.scheduler.Share(held, s.windows.inputs)
	s.metrics.partitions.Set(float64(len(s.windows.open)))
}

// dropUntold drops those of some partitions that kgo holds no offsets for: it has not told
// of their revocation, since there was one before it in the same transaction. Under the
// consumer protocol nothing keeps the second from coming so soon. All can be looked at when
// partitions have been given to us: by then kgo holds the offsets of what it opened before.
func (s *session) dropUntold(among func(*owned) bool) {
	ours := s.kafka.Client().CommittedOffsets()
	for p, o := range s.windows.open {
		if _, held := ours[p.topic][p.number]; !held && among(o) {
			s.log.Info("a partition has moved, which was not told", "topic", p.topic, "partition", p.number)
			s.drop(p)
		}
	}
}

// reconcile drops the partitions of a refused batch that have moved.
func (s *session) reconcile(ctx context.Context, b *batch) error {
	s.dropUntold(func(o *owned) bool {
		_, refused := b.positions[o.assignment]
		return refused
	})
	s.share()
	return s.rearm(ctx)
}
