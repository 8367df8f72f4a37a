package processor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A finished set that was committed may seem too large at the next look, by a byte:
// that holds nobody up before there is something to commit with it.
func TestSetThatDoesNotFitIsAHoldOnlyWhereSomethingIsToBeCommitted(t *testing.T) {
	s := leaving()
	o := s.windows.Assign(partition{"store", 0}, position{ceiling: 10, finished: []int64{3}})
	for offset := range int64(3) {
		o.Admit(offset, 1, 0)
	}
	o.Finish(1, &end{})
	s.commits.budget = 1
	o.dirty = true

	require.Empty(t, s.nextBatch(false).positions)
	require.Empty(t, s.holds.Current(), "the end of offset 1 waits for offset 0, as with less room it would")
	require.False(t, o.dirty)

	o.dirty, o.wish = true, 20
	require.Empty(t, s.nextBatch(false).positions)
	require.Len(t, s.holds.Current(), 1)
	require.Contains(t, s.holds.Current()[0].Reason, "does not fit")
	require.True(t, o.dirty, "it is tried again")

	o.wish = 0
	s.nextBatch(false)
	require.Empty(t, s.holds.Current())
}
