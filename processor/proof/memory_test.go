package proof

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A request that has its end takes half a byte for ever, and a few more on disk.
// One that has none takes what a record and its place in a map do.
func TestCheckerMemoryIsBounded(t *testing.T) {
	const n, batch = 240_000, 20_000
	s := &system{Checker: NewChecker(testTopics())}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	s.AddRange(Range{Topic: "store", End: n, Committed: n})
	var ended int64
	next := func(upTo int64) {
		for ; ended < upTo; ended += batch {
			for i := range int64(batch) {
				s.AddRequest(requestRecord(ended+i), request(ended+i), nil)
			}
			for i := range int64(batch) {
				s.grant(ended + i)
			}
		}
	}
	next(n / 2)
	before := heap()
	next(n)
	used := float64(heap()) - float64(before)
	t.Logf("%.2f bytes of memory and %d on disk for a request that ended", used/(n/2), s.facts.end/n)
	require.Less(t, used, 1.5*n/2)
	require.Less(t, s.facts.end, int64(50*n))

	s.AddRange(Range{Topic: "store", End: 2 * n})
	before = heap()
	for i := range int64(100_000) {
		s.AddRequest(requestRecord(n+i), request(n+i), nil)
	}
	used = float64(heap()) - float64(before)
	t.Logf("%.0f bytes for one that has not", used/100_000)
	require.Less(t, used, 150.0*100_000)
	r := s.Report()
	require.NoError(t, s.Err())
	require.EqualValues(t, n, r.Granted)
	require.EqualValues(t, 100_000, r.Unfinished)
	runtime.KeepAlive(s)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
