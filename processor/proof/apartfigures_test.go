package proof_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// isolationPage shows the figures of how little one request is felt by others.
var isolationPage = figuresPage{
	raw: "../../docs/raw/apart-*.json", path: "../../docs/isolation.md",
	begin: "<!-- figures: apart, made by `make figures` -->", end: "<!-- figures end -->",
}

// renderApart is a table of what each case must show, a row each.
func renderApart(results []caseResult) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| case | what | without | with | result | bound | held |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	for _, r := range results {
		for _, m := range r.Measures {
			without, result := figure.Text(m.Without), m.By+" "+figure.Text(m.Result)
			if !m.paired() {
				without = "-"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Case, m.What, without, figure.Text(m.With), result, figure.Bound(m.AtLeast, m.AtMost),
				map[bool]string{true: "yes", false: "**no**"}[m.Held])
		}
	}
	fmt.Fprintln(&b)
	for _, r := range results {
		pairs := "1 pair"
		if r.Pairs != 1 {
			pairs = fmt.Sprint(r.Pairs, " pairs")
		}
		fmt.Fprintf(&b, "- **%s**: %s. %s, %s, %s, %s, %s; `%s`\n", r.Case, r.About, pairs, r.Version, r.Kafka, r.Machine,
			r.Began.UTC().Format("2006-01-02"), r.Command)
	}
	return b.String()
}

func TestIsolationFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, isolationPage, func(texts [][]byte) string {
		var results []caseResult
		for _, text := range texts {
			var r caseResult
			require.NoError(t, json.Unmarshal(text, &r))
			require.False(t, r.Short, "%s: the short form's figures are none", r.Case)
			require.NotEqual(t, "incomplete", r.Verdict, "%s: a run that failed has no figures", r.Case)
			for _, m := range r.Measures {
				require.Equal(t, m, m.over(r.Runs), "%s: %s", r.Case, m.What)
			}
			results = append(results, r)
		}
		return renderApart(results)
	})
}

func TestIsolationFiguresTellEveryMeasure(t *testing.T) {
	most := 1.5
	text := renderApart([]caseResult{{Case: "silence", About: "one is silent", Pairs: 5, Measures: []caseMeasure{
		{What: "p99", By: byRatio, AtMost: &most, Without: 0.1, With: 0.2, Result: 2},
		{What: "repeats", By: byMost, AtMost: &most, Result: 0, Held: true},
	}}})

	require.Contains(t, text, "| silence | p99 | 0.1 | 0.2 | ratio 2 | at most 1.5 | **no** |")
	require.Contains(t, text, "| silence | repeats | - | 0 | most 0 | at most 1.5 | yes |")
}
