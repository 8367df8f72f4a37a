package processor

import "errors"

// errUncommitted: the session ended in a transaction, and its ends are forgotten. The next
// one finds them in doubt, and would call all of them again only to lose what they come to
// in the same way: so it calls nobody of whom that is to be feared before a transaction
// with results in it has committed.
var errUncommitted = errors.New("a transaction failed")

const unproven = "the last transaction failed and none with results in it has committed since: requests that may have been called are called again when one has, and until then one at a time; look at the brokers' group and transaction coordinators, and at the leaders of the result topics, if this lasts"

// tellUnproven states that as a hold while a request waits for it.
func (s *session) tellUnproven() {
	for _, o := range s.windows.open {
		if o.unproven && !o.withheld {
			s.holds.Set(holdTransaction, whereFirst, unproven)
			return
		}
	}
	s.holds.Clear(holdTransaction, whereFirst)
}

// probe has one of those called who wait, once offsets alone have committed: there may be
// nobody else whose result could go into a transaction.
func (s *session) probe() {
	if !s.unproven || !s.restated {
		return
	}
	goesOn := func(o *owned) bool { return !o.withheld && o.notBefore.IsZero() }
	if o, ours := s.windows.Get(s.probed); ours && goesOn(o) {
		return
	}
	var first *owned
	for _, o := range s.windows.open {
		e := o.Oldest()
		waits := o.unproven && goesOn(o) && e != nil && e.offset < o.ceiling
		if waits && (first == nil || o.topic != s.cfg.Topics.Retry) { // what is parked may not be due
			first = o
		}
	}
	if first != nil {
		s.probed = first.assignment
		s.scheduler.Raise(first.assignment, first.Oldest().offset+1)
	}
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
	s.tellUnproven()
}
