package processor

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"
)

// blockedSupply has tasks at every offset from the ceiling on.
func blockedSupply(ceiling int64, tasks int) *supply {
	s := newSupply(assignment{}, ceiling)
	for i := range int64(tasks) {
		s.block(&task{offset: ceiling + i})
	}
	return s
}

func TestCeilingIsWishedForWhereSomeoneWaits(t *testing.T) {
	_, ok := newSupply(assignment{}, 10).wish(256)
	require.False(t, ok, "nobody waits")

	ceiling, ok := blockedSupply(10, 3).wish(256)
	require.True(t, ok)
	require.Equal(t, int64(13), ceiling, "no more than there is")
}

func TestCeilingIsWishedForOnce(t *testing.T) {
	s := blockedSupply(10, 3)
	_, ok := s.wish(256)
	require.True(t, ok)
	_, ok = s.wish(256)
	require.False(t, ok, "it is on its way")
	s.block(&task{offset: 13})
	ceiling, ok := s.wish(256)
	require.True(t, ok, "one more waits")
	require.Equal(t, int64(14), ceiling)
}

// A crash leaves in doubt what is below the ceiling: it runs ahead of the calls
// as far as it must and no further.
func TestCeilingRunsAheadByTheCallsToCome(t *testing.T) {
	for name, row := range map[string]struct {
		calls, maxInFlight int
		want               int64
	}{
		"from rest":                      {calls: 0, maxInFlight: 256, want: leastAhead},
		"twice the calls since the last": {calls: 50, maxInFlight: 256, want: 100},
		"never more than calls at once":  {calls: 5000, maxInFlight: 256, want: 256},
		"a few at the least":             {calls: 5000, maxInFlight: 1, want: leastAhead},
	} {
		t.Run(name, func(t *testing.T) {
			s := blockedSupply(10, 1000)
			s.calls = row.calls
			ceiling, ok := s.wish(row.maxInFlight)
			require.True(t, ok)
			require.Equal(t, 10+row.want, ceiling)
		})
	}
}

func TestNoCeilingIsWishedForWhileThereIsEnoughToCall(t *testing.T) {
	s := blockedSupply(10, 100)
	var below []*task
	for offset := range int64(leastAhead/2 + 1) {
		below = append(below, &task{offset: offset})
		s.enter(below[offset])
	}
	_, ok := s.wish(256)
	require.False(t, ok)
	s.forget(below[0])
	_, ok = s.wish(256)
	require.True(t, ok)
}

func TestRaisedCeilingFreesWhatIsBelowInOrder(t *testing.T) {
	s := newSupply(assignment{}, 10)
	for _, offset := range []int64{14, 11, 17, 12} { // lanes come up out of order
		s.block(&task{offset: offset})
	}
	var freed []int64
	for _, task := range s.raise(14) {
		freed = append(freed, task.offset)
	}
	require.Equal(t, []int64{11, 12}, freed)
	require.Empty(t, s.raise(14), "it is there already")
	require.Empty(t, s.raise(12), "it never falls")
	require.Len(t, s.raise(100), 2)
}

func TestSupplyCountsATaskOnce(t *testing.T) {
	s, called := newSupply(assignment{}, 10), &task{offset: 3}
	s.enter(called)
	s.enter(called) // it waited for a time, and its turn came again
	require.Equal(t, 1, s.available)
	s.firstCall(called)
	called.called = true
	s.enter(called) // a later attempt is not in need of the ceiling
	s.forget(called)
	require.Zero(t, s.available)
}

func TestSupplyKnowsWhoWasCalledAndHasNoEnd(t *testing.T) {
	s := newSupply(assignment{}, 10)
	first, second := &task{offset: 3}, &task{offset: 4}
	s.admit(first)
	s.admit(second)
	s.firstCall(first)
	s.firstCall(second)
	s.ended(first)
	require.NotContains(t, s.called, int64(3))
	require.Contains(t, s.called, int64(4))
}

// What a raised ceiling frees is held by whoever calls it, and not by who waits behind it.
func TestFreedTasksCanGo(t *testing.T) {
	s := blockedSupply(0, 100)
	first := weak.Make(s.blocked[0])
	require.Len(t, s.raise(50), 50)
	runtime.GC()
	require.Nil(t, first.Value())
	require.Len(t, s.blocked, 50)
	require.EqualValues(t, 50, s.blocked[0].offset)
}
