package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// handOver is a cooperative rebalance that takes partitions from us. kgo calls
// OnPartitionsRevoked only after AllowRebalance, and from then on End can only
// abort. So we wait with that: no new calls for these partitions, those in
// flight get a moment to end, and one last transaction commits what they came
// to, with the ceiling lowered. The successor finds in doubt what is, and what is
// below that.
//
// The story of one rebalance, as kgo tells it: revoked (nothing: a join begins),
// synced (our new assignment, by sensingBalancer), blocked, revoked (what we
// lose), assigned. Where something is lost a second join follows, of which kgo does
// not tell if it begins before the session has come to act on the loss.
type handOver struct {
	leaving  map[assignment]*drained // nil until no call of it is in flight
	deadline time.Time
}

// drained is what the scheduler knows of an assignment that it was told to
// release: which offsets without an end may have been granted.
type drained struct{ doubtful func(offset int64) bool }

const (
	handOverTime = 3 * time.Second  // bounds how long a rebalance waits for calls in flight
	signalLost   = 10 * time.Second // of waiting rebalances that nobody told us of
)

// sensingBalancer tells which partitions a finished join gives us, before kgo
// takes the others away.
type sensingBalancer struct {
	kgo.GroupBalancer
	synced func(map[string][]int32)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (b sensingBalancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	plan, err := b.GroupBalancer.ParseSyncAssignment(raw)
	if err == nil {
		b.synced(plan)
	}
	return plan, err
}

// allowRebalance lets a waiting rebalance go on, after the hand-over that it
// makes necessary. Nothing waits: the loop comes by again.
//
// Under the consumer protocol End waits for ever for a rebalance that waits for
// us, so nothing waits there: a revocation aborts, and the successor calls again.
func (s *session) allowRebalance(ctx context.Context) error {
	switch {
	case s.cfg.GroupProtocol == Consumer:
		s.allow(ctx)
		return nil
	case !s.blocked:
		// Should a signal ever be lost, the rebalance must not wait for ever.
		if time.Since(s.allowed) > signalLost {
			s.allow(ctx)
		}
		return nil
	case s.handOver == nil:
		s.handOver = s.beginHandOver()
	}
	if s.handOver == nil {
		s.allow(ctx)
		return nil
	}
	if !s.handOver.ready() && time.Now().Before(s.handOver.deadline) {
		return nil
	}
	if err := s.commitReady(ctx, false); err != nil {
		return err
	}
	if s.commits.settled || !time.Now().Before(s.handOver.deadline) {
		s.log.Info("handed over", "partitions", len(s.handOver.leaving), "drained", s.handOver.ready())
		s.allow(ctx)
	}
	return nil
}

// allow lets rebalances through, then stands in the way of the next one: only a
// rebalance that finds a poll not yet answered for is signalled.
func (s *session) allow(ctx context.Context) {
	s.blocked, s.handOver, s.allowed = false, nil, time.Now()
	s.kafka.Client().AllowRebalance()
	if s.cfg.GroupProtocol == Classic {
		over, cancel := context.WithCancel(ctx)
		cancel()
		s.kafka.PollRecords(over, 1) // takes nothing, and counts as a poll
	}
}

// beginHandOver finds out what a finished join takes from us; nil: nothing.
func (s *session) beginHandOver() *handOver {
	if s.synced == nil {
		return nil
	}
	stay := map[partition]bool{}
	for topic, numbers := range s.synced {
		for _, number := range numbers {
			stay[partition{topic, number}] = true
		}
	}
	s.synced = nil
	h := &handOver{leaving: map[assignment]*drained{}, deadline: time.Now().Add(handOverTime)}
	for p, o := range s.windows.open {
		if !stay[p] && !o.withheld {
			h.leaving[o.assignment] = nil
			s.scheduler.Release(o.assignment)
		}
	}
	if len(h.leaving) == 0 {
		return nil
	}
	return h
}

func (h *handOver) ready() bool {
	for _, d := range h.leaving {
		if d == nil {
			return false
		}
	}
	return true
}

// left is what is known of an assignment that is on its way to another.
func (h *handOver) left(a assignment) *drained {
	if h == nil {
		return nil
	}
	return h.leaving[a]
}
