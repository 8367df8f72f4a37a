package proof

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

// fate is what a test lets become of one record, and what must be found of it.
type fate struct {
	name string
	let  func(s *system, i int64)
	find func(*Report)
}

func fates() []fate {
	breach := func(k Kind) func(*Report) {
		return func(r *Report) { r.Violations[k] = Findings{Total: r.Violations[k].Total + 1} }
	}
	return []fate{
		{"granted", func(s *system, i int64) { s.grant(i); s.ledger(i) }, func(r *Report) { r.Granted++ }},
		{"failed", func(s *system, i int64) { s.fail(i) }, func(r *Report) { r.Failed["OUT_OF_STOCK"]++ }},
		{"dead", func(s *system, i int64) { s.AddDeadLetter(s.deadRecord(i, schemas.GrantUnknown)) }, func(r *Report) { r.DeadLetters["grant-unknown"]++ }},
		{"parked", func(s *system, i int64) { s.park(i, 100+i) }, func(r *Report) { r.Parked++; r.Unfinished++ }},
		{"parked, then granted", func(s *system, i int64) { s.park(i, i%100); s.grant(i); s.ledger(i) }, func(r *Report) { r.Granted++ }},
		{"lost", func(*system, int64) {}, breach(Lost)},
		{"lost after parking", func(s *system, i int64) { s.park(i, i%100) }, breach(Lost)},
		{"failed, but granted", func(s *system, i int64) { s.fail(i); s.ledger(i) }, func(r *Report) { r.Failed["OUT_OF_STOCK"]++; breach(Untrue)(r) }},
		{"granted, but not", func(s *system, i int64) { s.grant(i) }, func(r *Report) { r.Granted++; breach(Untrue)(r) }},
		{"doubled", func(s *system, i int64) { s.grant(i); s.grant(i); s.ledger(i) }, func(r *Report) { r.Granted += 2; breach(Doubled)(r) }},
	}
}

// TestCheckerFindsEveryFateAmongManyRecords gives records at random offsets,
// with gaps wider than a page, random fates.
func TestCheckerFindsEveryFateAmongManyRecords(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		s := &system{Checker: NewChecker(testTopics())}
		s.AddRange(Range{Topic: "store", End: 1 << 40, Committed: 1 << 40})
		s.AddRange(Range{Topic: "retry", End: 1 << 41, Committed: 100})
		want, all := newReport(), fates()
		var offsets []int64
		for at := int64(0); len(offsets) < 300; at += 1 + int64(rnd.ExpFloat64()*float64(rnd.IntN(5000))) {
			offsets = append(offsets, at)
			s.AddRequest(requestRecord(at), request(at), nil)
		}
		rnd.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
		s.startLedger()
		for _, at := range offsets {
			f := all[rnd.IntN(len(all))]
			f.let(s, at)
			f.find(&want)
		}
		got := s.Report()
		require.EqualValues(t, 300, got.Requests)
		require.Equal(t, counts(want), counts(got), "seed %d", seed)
		require.Equal(t, []any{want.Granted, want.Failed, want.DeadLetters, want.Parked, want.Unfinished},
			[]any{got.Granted, got.Failed, got.DeadLetters, got.Parked, got.Unfinished}, "seed %d", seed)
	}
}
