package processor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// commits is what the session remembers from one transaction to the next.
type commits struct {
	budget    int       // bytes of commit metadata that the brokers are believed to take
	taken     int       // bytes that they have taken
	notBefore time.Time // of the next transaction, after one that failed
	failures  int       // transactions in a row that did not commit
	ended     time.Time // the last transaction
	bareAfter time.Time // not before that is a transaction of offsets alone made
	settled   bool      // the last look left nothing to commit
	full      bool      // the last transaction took as much as one may: there may be more
}

const (
	metadataBudget = 4000  // the broker's default limit is 4,096
	metadataFloor  = 64    // what metadata without a finished set stays below
	batchEnds      = 10000 // of one transaction, and the rest of the partition that reaches it: it must not take long

	// Brokers answer EndTxn before they have written the markers, and until then
	// refuse the offsets of the next transaction (CONCURRENT_TRANSACTIONS), for
	// which kgo aborts it. With a record to publish, the produce before it is
	// refused first, and tried again in place. So offsets alone, which raise a
	// ceiling, keep a distance from the transaction before.
	markersTime = 10 * time.Millisecond

	refusedFor = 5 * time.Second // of a partition: between two tries of what a topic's settings refuse

	bareFailures = 20 // in a row take some seconds, and are a hold

	// Every transaction costs the brokers a marker in each partition that it writes
	// to, however few its records. While slots are scarce, so long passes between two.
	gatherTime = 50 * time.Millisecond
)

// gather takes news. While requests wait for a call slot and for nothing else, it
// goes on taking it until gatherTime after the last transaction: what could be
// committed sooner would make nobody faster, and fewer and larger transactions leave
// more of the machines to the calls.
func (s *session) gather(ctx context.Context) error {
	if err := s.takeNews(ctx); err != nil {
		return err
	}
	left := time.Until(s.commits.ended.Add(gatherTime))
	if left <= 0 || !s.gathers() {
		return nil
	}
	over := time.NewTimer(left)
	defer over.Stop()
	for s.gathers() {
		select {
		case <-s.bell:
			if err := s.takeNews(ctx); err != nil {
				return err
			}
		case <-over.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// gathers says that nobody waits for the next transaction: neither a call, nor a
// rebalance, nor records that could be decoded meanwhile.
func (s *session) gathers() bool {
	return s.busy && !s.blocked && s.handOver == nil && s.undecoded.empty()
}

// commitReady makes one transaction of what is ready, if anything is. last is
// the one before leaving: it lowers the ceilings.
func (s *session) commitReady(ctx context.Context, last bool) error {
	s.lookUnproven()
	s.commits.settled, s.commits.full = false, false
	if s.joining || time.Now().Before(s.commits.notBefore) {
		return nil // kgo would let the commit wait for the join, until it is too late
	}
	b := s.nextBatch(last)
	if b.empty() {
		s.commits.settled = true
		if s.commits.failures > 0 { // what failed was of partitions that have gone
			s.commitsGoOn()
		}
		return nil
	}
	if s.commits.bareAfter = s.commits.ended.Add(markersTime); len(b.ends) == 0 && time.Now().Before(s.commits.bareAfter) {
		return nil
	}
	began := time.Now()
	if began.Sub(s.shown) > viewEvery/10 {
		s.showNow(began)
	}
	s.sight.committing.Store(began.UnixNano())
	err := s.tx.commit(ctx, b)
	s.sight.committing.Store(0)
	s.commits.ended = time.Now()
	if err != nil {
		return s.notCommitted(ctx, b, err)
	}
	s.committed(b)
	s.commits.full = len(b.ends) >= batchEnds
	s.commits.settled = last && !s.commits.full
	return nil
}

// nextBatch is what can be committed now.
func (s *session) nextBatch(last bool) *batch {
	b, now := &batch{positions: map[assignment]position{}}, time.Now()
	if s.banned.After(now) {
		b.ban = s.banned
	}
	for _, o := range s.windows.open {
		if o.withheld || !o.dirty && !last || len(b.ends) >= batchEnds {
			continue
		}
		if o.unseen && o.next == 0 || now.Before(o.notBefore) { // a log that was not seen may begin above: 0 would be a gap then
			continue
		}
		pos, ends, fits := o.Ready(s.fits(b.ban))
		where := o.partition.String()
		pos.ceiling = s.ceiling(o, pos, len(ends), last)
		if len(ends) == 0 && !o.restate && pos.watermark == o.watermark && pos.ceiling == o.ceiling && b.ban.Equal(o.ban) {
			s.holds.Clear(holdMetadata, where)
			o.dirty = false
			continue
		}
		if !fits { // what was committed before may seem larger now: the checksum and the sequence differ
			s.holds.Set(holdMetadata, where, "the list of finished records does not fit into the commit metadata; raise offset.metadata.max.bytes at the brokers, or wait for the oldest request")
			continue
		}
		s.holds.Clear(holdMetadata, where)
		b.positions[o.assignment] = pos
		b.ends = append(b.ends, ends...)
	}
	return b
}

// ceiling is the one to commit with pos: what the scheduler wished for; and
// where all of the input is below it already, a little beyond, so that the next
// record need not wait for a transaction of its own.
func (s *session) ceiling(o *owned, pos position, ends int, last bool) int64 {
	if last {
		return o.LowestCeiling(pos, s.scheduler.doubtful(o.assignment))
	}
	if left := s.handOver.left(o.assignment); left != nil {
		return o.LowestCeiling(pos, left.doubtful)
	}
	ceiling := max(pos.ceiling, o.wish)
	if ends > 0 && ceiling >= o.next {
		ceiling = max(ceiling, o.next+int64(min(2*ends, s.cfg.MaxInFlight)))
	}
	return ceiling
}

func (s *session) fits(ban time.Time) func(position) bool {
	return func(pos position) bool {
		return len(pos.finished) == 0 || len(pos.finished) <= maxFinished &&
			metadata{nonce: s.tx.nonce.next(), position: pos, ban: ban}.size() <= s.commits.budget
	}
}

func (s *session) committed(b *batch) {
	s.commits.taken = max(s.commits.taken, s.tx.metadataSize)
	s.sight.commits.Add(1)
	s.recent.committed(b.ends)
	for a, pos := range b.positions {
		o, ok := s.windows.Get(a)
		if !ok {
			continue
		}
		raised := pos.ceiling > o.ceiling && !o.unproven
		o.Committed(pos)
		o.ban, o.restate = b.ban, false
		if !o.notBefore.IsZero() {
			o.notBefore = time.Time{}
			s.holds.Clear(holdTopic, whereResultsOf(o.partition))
		}
		if raised {
			s.scheduler.Raise(a, pos.ceiling)
		}
	}
	if s.restated = true; s.unproven && len(b.ends) > 0 {
		s.proved()
	}
	s.commitsGoOn()
}

// commitsGoOn ends what is held since transactions fail.
func (s *session) commitsGoOn() {
	s.commits.failures, s.commits.notBefore = 0, time.Time{}
	s.holds.Clear(holdTransaction, "")
	s.holds.Clear(holdTopic, whereResults)
	s.holds.Clear(holdMetadata, "")
}

// notCommitted decides what a failed transaction means: try again later with
// everything as it was (rule 6), or throw the session away (rule 8).
func (s *session) notCommitted(ctx context.Context, b *batch, err error) error {
	c := &s.commits
	c.failures++
	c.notBefore = time.Now().Add(min(50*time.Millisecond<<min(c.failures, 6), 2*time.Second))
	var unwritable *unwritableError
	switch {
	case errors.Is(err, errNotOwned):
		s.log.Info("transaction given up, a partition has moved", "error", err)
		c.notBefore = time.Time{}
		return s.reconcile(ctx, b)
	case errors.Is(err, errMetadataLarge):
		s.metadataRefused(b, err)
	case errors.Is(err, errUnwritable):
		s.holds.Set(holdTopic, whereResults, fmt.Sprintf("%v: outcomes wait; create the topic (`coupongrant topics create`) or grant this user the right to write", err))
	case errors.Is(err, errNotTaken):
		s.holds.Set(holdTopic, whereResults, fmt.Sprintf("%v: outcomes wait and go out again; look at the leaders of these topics, and at min.insync.replicas", err))
	case errors.As(err, &unwritable):
		s.endNotTaken(unwritable)
	case errors.Is(err, errBareAborted):
		s.log.Debug("offsets alone were not committed", "error", err)
		c.notBefore = c.ended.Add(markersTime << min(c.failures, 4))
		if c.failures >= bareFailures {
			s.holds.Set(holdTransaction, "", notCommitting(c.failures, "offsets alone, which let more requests be called, were aborted"))
		}
	case errors.Is(err, errAborted):
		s.log.Info("transaction aborted, the results go out again", "error", err)
		if c.failures >= 5 {
			s.holds.Set(holdTransaction, "", notCommitting(c.failures, err.Error()))
		}
	default:
		return fmt.Errorf("%w: %w", errUncommitted, err)
	}
	return nil
}

// endNotTaken holds the partition of an end that its topic does not take: the others go on.
func (s *session) endNotTaken(e *unwritableError) {
	o, ok := s.windows.Get(e.end.task.assignment)
	switch {
	case !ok:
	case e.bySettings():
		o.notBefore = time.Now().Add(refusedFor)
		s.holds.Set(holdTopic, whereResultsOf(o.partition), fmt.Sprintf("%v: a compacted topic takes no record without a key, and some brokers judge schemas; outcomes of %s wait, and are tried again, until the topic's settings take them (`coupongrant doctor` looks at those that we need)", e, o.partition))
	default:
		s.withhold(o, withheld(holdTopic, o.partition, fmt.Sprintf("%v; raise max.message.bytes of the topic above that of the input, then restart", e)))
	}
}

const notEnded = "the brokers have not come to the end of the last transaction, for which each partition that it wrote to has to take a marker: nothing commits until then; look at under-replicated partitions, and at min.insync.replicas"

func notCommitting(failures int, last string) string {
	return fmt.Sprintf("%d transactions in a row did not commit (%s): they are tried again; look at the brokers' group and transaction coordinators if this lasts", failures, last)
}

// metadataRefused looks for the brokers' limit between what they have taken and
// what they have just refused. What was taken once stays allowed: a partition
// whose finished set it was could not be committed with less.
func (s *session) metadataRefused(b *batch, err error) {
	c, size := &s.commits, s.tx.metadataSize
	if size <= c.taken {
		c.taken = 0 // the limit was lowered since
	}
	c.budget = c.taken + (size-1-c.taken)/2
	if b.withoutSets() {
		s.holds.Set(holdMetadata, "", fmt.Sprintf("the brokers do not take %d bytes of commit metadata: raise offset.metadata.max.bytes to %d or more", size, metadataFloor))
		return
	}
	s.log.Info("the brokers refuse so much commit metadata, fewer ends above unfinished requests go out with one commit", "bytes", size, "budget", c.budget, "error", err)
	s.commitsGoOn() // there is nothing to wait for
}

// withoutSets says that a batch has no finished set, so that its metadata cannot
// be smaller.
func (b *batch) withoutSets() bool {
	for _, pos := range b.positions {
		if len(pos.finished) > 0 {
			return false
		}
	}
	return true
}
