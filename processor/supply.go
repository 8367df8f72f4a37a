package processor

import (
	"slices"
	"sort"
)

// supply is what one assignment can give the callers: which first tasks are
// below the committed ceiling, and which wait for it to be raised. The
// scheduler goroutine owns it.
//
// The ceiling runs ahead by no more than the calls about to be made, since a
// crash leaves everything below it in doubt; but far enough that no slot waits
// for a transaction.
type supply struct {
	assignment
	touched bool // since the last look at what it wishes for

	ceiling   int64
	blocked   []*task // first of their lanes, at or above the ceiling, by offset
	available int     // first of their lanes, below the ceiling, never called
	calls     int     // first calls since the ceiling was last raised
	wished    int64
	newest    int64 // offset handed over
	roll      roll  // handed over, without an end

	inFlight int
	released bool            // on its way to another replica: no more calls
	called   map[int64]*task // by offset, those that were called and have no end yet
}

func newSupply(a assignment, ceiling int64) *supply {
	return &supply{assignment: a, ceiling: ceiling, called: map[int64]*task{}}
}

// leastAhead is how many tasks a ceiling is raised by at least: enough for a
// start from rest, few enough to be in doubt after a crash.
const leastAhead = 16

func (s *supply) block(t *task) {
	i := sort.Search(len(s.blocked), func(i int) bool { return s.blocked[i].offset > t.offset })
	s.blocked = append(s.blocked, nil)
	copy(s.blocked[i+1:], s.blocked[i:])
	s.blocked[i] = t
}

// enter counts a task that can be called now.
func (s *supply) enter(t *task) {
	if !t.called && !t.counted {
		t.counted = true
		s.available++
	}
}

// firstCall counts the first call of a task.
func (s *supply) firstCall(t *task) {
	s.forget(t)
	s.calls++
	s.called[t.offset] = t
}

// admit counts a task that was handed over.
func (s *supply) admit(t *task) {
	s.newest = t.offset
	s.roll.add(t)
}

// ended forgets a task that has its end.
func (s *supply) ended(t *task) {
	delete(s.called, t.offset)
	s.roll.remove(t)
}

// doubtful tells, as of now, for which offsets without an end a grant may have happened:
// they were called, and not every answer said that there was none.
func (s *supply) doubtful() func(offset int64) bool {
	doubtful := map[int64]struct{}{}
	for offset, t := range s.called {
		if t.inDoubt || !t.began.IsZero() {
			doubtful[offset] = struct{}{}
		}
	}
	return func(offset int64) bool {
		_, doubts := doubtful[offset]
		return doubts
	}
}

// forget takes a task out of what is available: it is called, or ended without a call.
func (s *supply) forget(t *task) {
	if t.counted {
		t.counted = false
		s.available--
	}
}

// raise moves the ceiling and returns the tasks that it frees.
func (s *supply) raise(ceiling int64) []*task {
	if ceiling <= s.ceiling {
		return nil
	}
	s.ceiling, s.calls = ceiling, 0
	n := sort.Search(len(s.blocked), func(i int) bool { return s.blocked[i].offset >= ceiling })
	freed := slices.Clone(s.blocked[:n])
	s.blocked = slices.Delete(s.blocked, 0, n) // or they would stay in memory for as long as others wait behind them
	return freed
}

// wish is the ceiling to ask for, if what is available will not last until the
// next transaction: twice what was called since the last one.
func (s *supply) wish(maxInFlight int) (ceiling int64, ok bool) {
	ahead := min(max(2*s.calls, leastAhead), max(maxInFlight, leastAhead))
	if s.released || len(s.blocked) == 0 || s.available > ahead/2 {
		return 0, false
	}
	ceiling = s.blocked[min(ahead, len(s.blocked))-1].offset + 1
	if ceiling <= s.wished {
		return 0, false
	}
	s.wished = ceiling
	return ceiling, true
}
