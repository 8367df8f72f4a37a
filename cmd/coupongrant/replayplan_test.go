package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

func TestReplayIsDecidedByWhatIsKnown(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	const source = "store/1/17"
	put := []earlier{{"store/1/30", now.Add(-2 * time.Hour)}, {"store/1/40", now.Add(-time.Hour)}}
	attempt := now.Add(-3 * time.Hour)
	long := now.Add(-25 * time.Hour)
	for name, row := range map[string]struct {
		give   func(*letter, *replayPlan)
		action string
		why    string    // part of it; empty: none
		doubt  time.Time // in which it is put back
	}{
		"one that never was called":        {func(*letter, *replayPlan) {}, actionReplay, "", time.Time{}},
		"in doubt":                         {func(l *letter, _ *replayPlan) { l.InDoubt, l.FirstAttemptAt = true, &attempt }, actionReplay, "", attempt},
		"in doubt since nobody knows when": {func(l *letter, _ *replayPlan) { l.InDoubt = true }, actionReplay, "", now.Add(-time.Minute)},
		"in doubt for too long": {
			func(l *letter, _ *replayPlan) { l.InDoubt, l.FirstAttemptAt = true, &long },
			actionLeave, "longer ago than gateway.idempotency_window (24h0m0s)", long,
		},
		"in doubt for too long, and again": {
			func(l *letter, p *replayPlan) { l.InDoubt, l.FirstAttemptAt, p.again = true, &long, true },
			actionLeave, "a repeat might grant again", long,
		},
		"put back before": {
			func(_ *letter, p *replayPlan) { p.known[source] = put },
			actionLeave, "it was put back already, as store/1/40 at ", put[0].Written,
		},
		"again": {func(_ *letter, p *replayPlan) { p.known[source], p.again = put, true }, actionReplay, "", put[0].Written},
		"again, and in doubt before": {
			func(l *letter, p *replayPlan) {
				l.InDoubt, l.FirstAttemptAt, p.known[source], p.again = true, &attempt, put, true
			},
			actionReplay, "", attempt,
		},
		"again after too long": {
			func(_ *letter, p *replayPlan) { p.known[source], p.again = []earlier{{"store/1/30", long}}, true },
			actionLeave, "longer ago than gateway.idempotency_window", long,
		},
		"not sure":        {func(_ *letter, p *replayPlan) { p.unsure[source] = true }, actionLeave, "cannot be seen any more, as store/1 does not reach back", time.Time{}},
		"not sure, again": {func(_ *letter, p *replayPlan) { p.unsure[source], p.again = true, true }, actionReplay, "", time.Time{}},
		"of an id used before": {
			func(l *letter, p *replayPlan) { l.Reason = string(schemas.ConflictingRequest); p.again = true },
			actionLeave, "must send it anew with an id of its own",
			time.Time{},
		},
		"value not kept":    {func(l *letter, _ *replayPlan) { l.ValueLost, l.ValueBytes = true, 3e6 }, actionLeave, "its value of 3000000 bytes fitted no topic", time.Time{}},
		"no value":          {func(l *letter, _ *replayPlan) { l.ValueBytes = 0 }, actionLeave, "it has no value", time.Time{}},
		"too large to read": {func(l *letter, _ *replayPlan) { l.ValueBytes = 300_000 }, actionLeave, "its value takes 300000 bytes", time.Time{}},
		"another topic":     {func(l *letter, _ *replayPlan) { l.Source = "elsewhere/0/1" }, actionLeave, "its source is no partition of an input topic", time.Time{}},
		"another partition": {func(l *letter, _ *replayPlan) { l.Source = "store/2/1" }, actionLeave, "its source is no partition of an input topic", time.Time{}},
		"no source":         {func(l *letter, _ *replayPlan) { l.Source = "" }, actionLeave, "its source is no partition of an input topic", time.Time{}},
		"a crooked source":  {func(l *letter, _ *replayPlan) { l.Source = "store/01/17" }, actionLeave, "its source is no partition of an input topic", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			one := letter{view: view{Source: source, Written: now.Add(-time.Minute)}, ValueBytes: 100}
			p := replayPlan{
				window: day, now: now, known: map[string][]earlier{}, unsure: map[string]bool{},
				inputs: []proof.Range{{Topic: "store", Partition: 1, End: 50}},
			}
			row.give(&one, &p)
			got := p.decide(one)
			require.Equal(t, row.action, got.Action, got.Why)
			require.Contains(t, got.Why, row.why)
			require.Equal(t, row.why == "", got.Why == "")
			require.Equal(t, row.doubt, got.doubtAt)
			if got.Action == actionLeave {
				return
			}
			record := got.record(&kgo.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
				head("tracestate", "x"), head(headerReason, "r"), head(headerInDoubt, "x"),
			}})
			require.Equal(t, "store", record.Topic)
			require.EqualValues(t, 1, record.Partition)
			require.Equal(t, "k", string(record.Key))
			require.Equal(t, "v", string(record.Value))
			want := []kgo.RecordHeader{head(headerReplayOf, source)}
			if !row.doubt.IsZero() {
				want = append(want, head(headerInDoubt, "true"), head(headerFirstAttempt, rfc3339(row.doubt)))
			}
			require.Equal(t, append(want, head("tracestate", "x")), record.Headers)
		})
	}
}
