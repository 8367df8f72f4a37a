package processor

import (
	"errors"
	"time"
)

// errUncommitted: the session ended in a transaction, and its ends are forgotten. The next
// one finds them in doubt, and would call all of them again only to lose what they come to
// in the same way: so it calls nobody of whom that is to be feared before a transaction
// with results in it has committed.
var errUncommitted = errors.New("a transaction failed")

const unproven = "the last transaction failed and none with results in it has committed since: requests that may have been called are called again when one has, and until then one now and then; look at the brokers' group and transaction coordinators, and at the leaders of the result topics, if this lasts"

// probeEvery is how long one request that is called keeps the others waiting: it may have
// trouble of its own, or not be due.
const probeEvery = 30 * time.Second

// lookUnproven tells of those who wait, and has one of them called once offsets alone have
// committed: there may be nobody else whose result could go into a transaction.
func (s *session) lookUnproven() {
	if !s.unproven {
		return
	}
	waits := false
	for _, o := range s.windows.open {
		_, below := o.belowCeiling(o.watermark, nil)
		unread := o.next < o.ceiling && (o.logEnd < 0 || o.next < o.logEnd)
		waits = waits || o.unproven && !o.withheld && (below || unread)
	}
	if !waits {
		s.holds.Clear(holdTransaction, whereFirst)
		return
	}
	s.holds.Set(holdTransaction, whereFirst, unproven)
	if s.restated && time.Since(s.probed) >= probeEvery {
		s.probe()
	}
}

// probe has the first called of a partition, of those that can be; of what is parked, which
// may not be due, only if there is nobody else.
func (s *session) probe() {
	waiting := map[int64]bool{} // for a schema, in any partition: it is only put off
	for _, tasks := range s.pending {
		for _, t := range tasks {
			waiting[t.offset] = true
		}
	}
	var first *owned
	var at int64
	for _, o := range s.windows.open {
		if !o.unproven || o.withheld || !o.notBefore.IsZero() || first != nil && o.topic == s.cfg.Topics.Retry {
			continue
		}
		if offset, found := o.belowCeiling(max(o.watermark, o.probed), waiting); found && (first == nil || first.topic == s.cfg.Topics.Retry) {
			first, at = o, offset
		}
	}
	if first != nil {
		s.probed, first.probed = time.Now(), at+1
		s.scheduler.Raise(first.assignment, at+1)
	}
}

// belowCeiling is the first record from an offset on that has no end, is below the ceiling and
// is none of some.
func (o *owned) belowCeiling(from int64, but map[int64]bool) (offset int64, found bool) {
	for _, e := range o.entries[o.search(from):] {
		if e.offset >= o.ceiling {
			break
		}
		if e.state == unfinished && !but[e.offset] {
			return e.offset, true
		}
	}
	return 0, false
}

// proved lets all of them be called who wait.
func (s *session) proved() {
	s.unproven = false
	for _, o := range s.windows.open {
		if o.unproven {
			o.unproven = false
			s.scheduler.Raise(o.assignment, o.ceiling)
		}
	}
	s.holds.Clear(holdTransaction, whereFirst)
}
