//go:build chaos

package proof_test

import (
	"fmt"

	"github.com/stretchr/testify/require"
)

// troubled is what is known of a case when its run has been judged.
func (c *chaos) troubled(name string, r chaosResult, runs []caseRun) *caseResult {
	settings := map[string]string{}
	for key, value := range r.Settings {
		settings[key] = fmt.Sprint(value)
	}
	return &caseResult{
		Case: name, About: troubles[name], Command: r.Command, Began: r.Began, Seconds: r.Seconds, Version: r.Version,
		Kafka: fmt.Sprintf("%s, brokers: %d", r.Kafka, c.form.brokers), Go: r.Go, Machine: r.Machine, Pairs: len(runs),
		Settings: settings, Sizes: map[string]any{"seed": c.seed, "rate": c.form.rate}, Runs: runs, Chaos: &r,
	}
}

// conclude keeps the result where -results says, but for the short form's, and
// requires that it holds.
func (c *chaos) conclude(r *caseResult, measures []caseMeasure, dir string) {
	c.t.Helper()
	r.judge(measures, len(r.Chaos.Missing) == 0)
	path, err := "not kept", error(nil)
	if !r.Short {
		path, err = r.keep("trouble")
		require.NoError(c.t, err)
	}
	if r.Verdict != "held" {
		_, err = r.Chaos.keep(dir)
		require.NoError(c.t, err)
	}
	c.t.Logf("%s\nresult: %s", r.summary(), path)
	require.Equal(c.t, "held", r.Verdict)
}
