package proof

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Requests with their ends and their ledger take 200 bytes each at most, 140 as
// measured with a million of them.
func TestCheckerMemoryIsBounded(t *testing.T) {
	const n = 200_000
	before := heap()
	s := newSystem(n)
	for i := range int64(n) {
		s.grant(i)
		s.ledger(i)
	}
	used := heap() - before
	require.Equal(t, Balanced, s.Report().Verdict())
	t.Logf("%d bytes a request", used/n)
	require.Less(t, used, uint64(200*n))
	runtime.KeepAlive(s)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
