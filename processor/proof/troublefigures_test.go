package proof_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// troublePage shows the figures of what happens when the gateway is in trouble.
var troublePage = figuresPage{
	raw: "../../docs/raw/trouble-*.json", path: "../../docs/guarantees.md",
	begin: "<!-- figures: trouble, made by `make figures` -->", end: "<!-- figures end -->",
}

// troubles are the cases, and what happens in each.
var troubles = map[string]string{
	"outage":    "a gateway that resets every connection for a minute, and one that answers nothing for a minute, under a steady load",
	"quota":     "four replicas share 200 calls a second through a SIGTERM, a kill -9 and a SIGSTOP beyond the session, and as many returns",
	"repeats":   "gateways that lose answers and each answer repeats in its own way, under kills",
	"retention": "a gateway that loses answers, refuses repeats and forgets what it granted, under kills",
}

// renderTrouble is a table of what each case must show, what was counted in it,
// and how it is repeated.
func renderTrouble(results []caseResult) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| case | what | result | bound | held |")
	fmt.Fprintln(&b, "|---|---|---|---|---|")
	for _, r := range results {
		for _, m := range r.Measures {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Case, m.What, figure.Text(m.Result), figure.Bound(m.AtLeast, m.AtMost),
				map[bool]string{true: "yes", false: "**no**"}[m.Held])
		}
	}
	for _, r := range results {
		fmt.Fprintf(&b, "\n**%s**: %s. %s, %s, %s, %s, %s; `%s`\n\n", r.Case, troubles[r.Case], r.Version, r.Kafka, r.Go, r.Machine,
			r.Began.UTC().Format("2006-01-02"), r.Command)
		renderRuns(&b, r.Runs)
	}
	return b.String()
}

// renderRuns is a table of all figures, a row each.
func renderRuns(b *strings.Builder, runs []caseRun) {
	figures := map[string]float64{}
	fmt.Fprint(b, "| |")
	for _, run := range runs {
		fmt.Fprintf(b, " %s |", run.Kind)
		for name := range run.Figures {
			figures[name] = 0
		}
	}
	fmt.Fprintln(b, "\n|---|"+strings.Repeat("---|", len(runs)))
	for _, name := range sortedKeys(figures) {
		fmt.Fprintf(b, "| %s |", name)
		for _, run := range runs {
			v, ok := run.Figures[name]
			fmt.Fprintf(b, " %s |", map[bool]string{true: figure.Text(v), false: "-"}[ok])
		}
		fmt.Fprintln(b)
	}
}

func TestTroubleFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, troublePage, func(texts [][]byte) string {
		var results []caseResult
		for _, text := range texts {
			var r caseResult
			require.NoError(t, json.Unmarshal(text, &r))
			require.NotEqual(t, "incomplete", r.Verdict, "%s: a run that failed has no figures", r.Case)
			for _, m := range r.Measures {
				require.Equal(t, m, m.over(r.Runs), "%s: %s", r.Case, m.What)
			}
			results = append(results, r)
		}
		return renderTrouble(results)
	})
}

func TestTroubleFiguresTellEveryMeasureAndCount(t *testing.T) {
	most := 0.0
	text := renderTrouble([]caseResult{{
		Case: "outage", Measures: []caseMeasure{{What: "failed", By: byMost, AtMost: &most, Result: 3}},
		Runs: []caseRun{{Kind: "a", Figures: map[string]float64{"calls": 7}}, {Kind: "b", Figures: map[string]float64{"lost": 0.5}}},
	}})

	require.Contains(t, text, "| outage | failed | 3 | at most 0 | **no** |")
	require.Contains(t, text, "| | a | b |\n|---|---|---|\n| calls | 7 | - |\n| lost | - | 0.5 |")
}
