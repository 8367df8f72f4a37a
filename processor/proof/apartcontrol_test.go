//go:build apart

package proof_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// TestApartSeesPlantedBugs is how the measures are known to see what they are
// for: with a bug in the program, the measure that is about it must not hold.
func TestApartSeesPlantedBugs(t *testing.T) {
	on := grounds{brokers: startBrokers(t, t.TempDir(), measuredBrokers())}
	for _, c := range []struct {
		patch  string
		trial  trial
		figure string // of the measure that must not hold
	}{
		{"late-ends", silenceTrial(), "steady p99 s"},
		{"finished-set", silenceKilledTrial(), "repeated of ended"},
		{"store-first", burstTrial(), "loyalty p99 s"},
		{"never-full", backlogTrial(), "window, most MiB"},
	} {
		t.Run(c.patch, func(t *testing.T) {
			m := c.trial.measureOf(t, c.figure)
			var runs []caseRun
			for kind, planted := range map[string]string{m.Than: "", m.Kind: c.patch} {
				if kind == "" {
					continue
				}
				t.Run(kind, func(t *testing.T) {
					runs = append(runs, caseRun{Kind: kind, Figures: c.trial.run(t, grounds{brokers: on.brokers, planted: planted}, kind)})
				})
			}
			seen := m.over(runs)
			t.Logf("%s: without %s, with %s; %s %s, %s", m.What, figure.Text(seen.Without), figure.Text(seen.With), m.By, figure.Text(seen.Result), figure.Bound(m.AtLeast, m.AtMost))
			require.False(t, t.Failed())
			for _, r := range runs {
				require.Contains(t, r.Figures, c.figure, "what was not measured shows nothing")
			}
			require.False(t, seen.Held, "the planted bug was not seen")
		})
	}
}

func (c trial) measureOf(t *testing.T, figure string) caseMeasure {
	t.Helper()
	for _, m := range c.measures {
		if m.Figure == figure {
			return m
		}
	}
	require.FailNow(t, "no such measure", figure)
	return caseMeasure{}
}
