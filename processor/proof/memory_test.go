package proof

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// One million requests with their ends and their ledger, in 200 bytes each at most (140 measured).
func TestCheckerMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const n = 1_000_000
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
