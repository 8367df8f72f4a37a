package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// A process that was stopped between the look at the clock and the look at a repeat: the
// repeat waits as any does, and the pass ends. (Where it did not, this test would not.)
func TestRepeatWaitsThoughTheClockHasMovedOn(t *testing.T) {
	topics := DefaultConfig().Topics
	a := assignment{partition{topics.Store, 0}, 1}
	q := schemas.Request{RequestID: "id"}
	s := &scheduler{
		supplies: map[assignment]*supply{a: newSupply(a, 10)}, turns: newTurns(4, topics),
		calling: map[string]struct{}{q.RequestID: {}}, grants: newGrants(8),
	}
	s.turns.push(&task{assignment: a, request: q, record: &kgo.Record{}})
	s.dispatch(t.Context(), time.Now().Add(-time.Minute))
	next, waits := s.timers.next()
	require.True(t, waits)
	require.True(t, next.After(time.Now()))
}
