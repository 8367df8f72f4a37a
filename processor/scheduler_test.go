package processor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// While a request that was called waits for its next call, and its partition for the
// hand-over, another request of the partition may come to its end: its schema has
// come, and it is a dead letter. The session reads meanwhile what it was told of calls.
func TestWhatIsToldOfCallsIsTheSessions(t *testing.T) {
	a := storeAssignment(1)
	s := &scheduler{reports: newMailbox[report](newBell())}
	sup := newSupply(a, 3)
	called, undecoded := keyed(a, 1), keyed(a, 2)
	called.inDoubt = true
	sup.admit(called)
	sup.admit(undecoded)
	sup.firstCall(called)
	sup.released = true

	s.reportDrained(a, sup)
	told := s.reports.take()
	require.Len(t, told, 1)
	sup.ended(undecoded)
	sup.ended(called)
	require.True(t, told[0].drained.doubtful(called.offset))
	require.Empty(t, sup.called)
}
