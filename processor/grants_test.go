package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// gateway.idempotency_window counts from the first call that anybody told us of, in
// whatever order they were told.
func TestEarliestTimeOfAGrantCounts(t *testing.T) {
	g, at := newGrants(64), time.UnixMilli(1_762_848_000_000)
	for _, since := range []time.Time{at, at.Add(-time.Hour), at.Add(time.Hour)} {
		g.note("id", since)
	}
	since, known := g.since("id")
	require.True(t, known)
	require.Equal(t, at.Add(-time.Hour), since)
	_, known = g.since("other")
	require.False(t, known)
}
