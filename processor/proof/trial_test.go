//go:build apart

package proof_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

var (
	pairsFlag  = flag.Int("pairs", 5, "pairs of runs of each case, one without and one with its fault")
	lengthFlag = flag.Duration("length", time.Minute, "of each run of the case with poisoned keys")
)

// trial is one case: the same run without its fault and with it, in turns.
type trial struct {
	name     string // of the result
	about    string
	kinds    []string // of runs; the first is without the fault
	settings map[string]string
	sizes    map[string]any
	measures []caseMeasure
	run      func(t *testing.T, on grounds, kind string) map[string]float64
}

// hold makes all runs of a trial on one cluster. The short form makes too few of them for medians: it requires
// what one run must show.
func (c trial) hold(t *testing.T) {
	t.Helper()
	on := grounds{brokers: startBrokers(t, t.TempDir(), measuredBrokers())}
	r := c.result(t, on.brokers.name())
	buildBinary(t)                            // as it is now
	if !testing.Short() && len(c.kinds) > 1 { // the broker gets faster with use: the first of a pair would pay for it
		cold := on
		cold.warmUp = true
		t.Run("warm-up", func(t *testing.T) { c.run(t, cold, c.kinds[0]) })
	}
	for pair := 1; pair <= *pairsFlag && !t.Failed(); pair++ {
		for _, kind := range c.order(pair) {
			t.Run(fmt.Sprintf("%d %s", pair, kind), func(t *testing.T) {
				began := time.Now().UTC()
				r.Runs = append(r.Runs, caseRun{pair, kind, began, c.run(t, on, kind)})
			})
		}
	}
	c.finish(t, r)
}

// result is what is known before the first run.
func (c trial) result(t *testing.T, kafka string) *caseResult {
	return &caseResult{
		Case: c.name, About: c.about, Short: testing.Short(), Command: c.command(t),
		Began: time.Now().UTC().Truncate(time.Second), Version: sourceVersion(), Kafka: kafka, Go: runtime.Version(),
		Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Pairs:   *pairsFlag, Settings: c.settings, Sizes: c.sizes,
	}
}

// finish judges all runs, keeps the result, and requires that it holds.
func (c trial) finish(t *testing.T, r *caseResult) {
	t.Helper()
	r.Seconds = time.Since(r.Began).Seconds()
	r.judge(c.measures, !t.Failed())
	path, err := r.keep("apart")
	require.NoError(t, err)
	t.Logf("%s\nresult: %s", r.summary(), path)
	for _, m := range r.Measures {
		require.True(t, m.Held || m.fragile() && r.Short, "%s: %s, %s", m.What, figure.Text(m.Result), figure.Bound(m.AtLeast, m.AtMost))
	}
}

// order changes from pair to pair, so that a machine that gets slower or faster
// favours neither.
func (c trial) order(pair int) []string {
	kinds := slices.Clone(c.kinds)
	if pair%2 == 0 {
		slices.Reverse(kinds)
	}
	return kinds
}

func (c trial) command(t *testing.T) string {
	text := fmt.Sprintf("go test -tags apart -run '^%s$' ./processor/proof -args -pairs %d", t.Name(), *pairsFlag)
	if *lengthFlag != time.Minute {
		text += " -length " + lengthFlag.String()
	}
	return text
}
