package processor

import (
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkCommitPass is what one look at a partition costs whose oldest request
// has no end, while everything above ends in any order and is committed.
func BenchmarkCommitPass(b *testing.B) {
	for name, ended := range map[string]int{"nothing above": 0, "half above": 5000, "all above": 9900} {
		b.Run(name, func(b *testing.B) {
			w := newWindow(position{}, 10_000, 1<<30)
			var open []int64
			for offset := range int64(10_000) {
				w.Admit(offset, 1000, 1)
				if offset > 0 {
					open = append(open, offset)
				}
			}
			random := rand.New(rand.NewPCG(1, 2))
			random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
			s := &session{tx: &transaction{nonce: newNonce()}, commits: commits{budget: metadataBudget}}
			commit := func(offsets []int64) int {
				for _, offset := range offsets {
					w.Finish(offset, endOf(offset))
				}
				pos, ends, ok := w.Ready(s.fits(time.Time{}))
				if !ok {
					b.Fatal("does not fit")
				}
				w.Committed(pos)
				return len(ends)
			}
			commit(open[:ended])
			open = open[ended:]
			b.ResetTimer()
			out := 0
			for i := range b.N {
				if i*50%len(open) > len(open)-50 || i >= len(open)/50 {
					w.Ready(s.fits(time.Time{}))
					continue
				}
				out += commit(open[i*50 : i*50+50])
			}
			b.ReportMetric(float64(len(w.entries)), "entries")
		})
	}
}

// BenchmarkCommitPassWithoutRoom is one look at a partition whose finished set has
// grown to the budget: how many more ends fit has to be found out.
func BenchmarkCommitPassWithoutRoom(b *testing.B) {
	w := newWindow(position{}, 4096, 1<<30)
	s := &session{tx: &transaction{nonce: newNonce()}, commits: commits{budget: metadataBudget}}
	random := rand.New(rand.NewPCG(1, 2))
	for offset := range int64(maxSpan * 4096) {
		w.Admit(offset, 1000, 1)
	}
	for offset := int64(1); offset < maxSpan*4096; offset++ {
		if random.IntN(2) == 0 {
			w.Finish(offset, endOf(offset))
		}
	}
	pos, _, ok := w.Ready(s.fits(time.Time{}))
	if !ok {
		b.Fatal("nothing fits")
	}
	w.Committed(pos)
	for b.Loop() {
		if _, ends, ok := w.Ready(s.fits(time.Time{})); !ok || len(ends) > 100 {
			b.Fatal("there is room")
		}
	}
}
