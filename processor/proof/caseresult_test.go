package proof_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// caseResult is what one case leaves, as raw as it can be kept.
type caseResult struct {
	Case     string            `json:"case"`
	About    string            `json:"about"`
	Short    bool              `json:"short,omitempty"` // sizes and number of runs are no figures
	Command  string            `json:"command"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"`
	Version  string            `json:"version"`
	Kafka    string            `json:"kafka"`
	Go       string            `json:"go"`
	Machine  string            `json:"machine"`
	Pairs    int               `json:"pairs"`
	Settings map[string]string `json:"settings"`
	Sizes    map[string]any    `json:"sizes"`
	Runs     []caseRun         `json:"runs"` // in the order in which they were made
	Measures []caseMeasure     `json:"measures"`
	Chaos    *chaosResult      `json:"chaos,omitempty"` // of a case that is judged as the chaos runs are
	Verdict  string            `json:"verdict"`
}

// caseRun is one run of a case, of one kind.
type caseRun struct {
	Pair    int                `json:"pair"`
	Kind    string             `json:"kind"`
	Began   time.Time          `json:"began"`
	Figures map[string]float64 `json:"figures"`
}

// The ways in which runs become one number.
const (
	byRatio      = "ratio"      // of a pair, with to without: the median
	byDifference = "difference" // of a pair, with less without: the median
	byMost       = "most"       // of all runs with it
	byLeast      = "least"      // of all runs with it
)

// caseMeasure is one number that a case must show, and the runs it is made of.
type caseMeasure struct {
	What    string   `json:"what"`
	Figure  string   `json:"figure"`
	Kind    string   `json:"kind"`           // of the runs with the fault
	Than    string   `json:"than,omitempty"` // of the runs without it
	By      string   `json:"by"`
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
	Quiet   bool     `json:"quiet,omitempty"` // it depends on what else the machine does

	Without float64 `json:"without"` // medians
	With    float64 `json:"with"`
	Result  float64 `json:"result"`
	Held    bool    `json:"held"`
}

// paired says that the number is made of pairs, so that it needs several of them.
func (m caseMeasure) paired() bool { return m.By == byRatio || m.By == byDifference }

// fragile says that one run on a busy machine proves nothing of it.
func (m caseMeasure) fragile() bool { return m.paired() || m.Quiet }

// over computes the number from all runs of a case.
func (m caseMeasure) over(runs []caseRun) caseMeasure {
	without, with := map[int]float64{}, map[int]float64{}
	for _, r := range runs {
		v, ok := r.Figures[m.Figure]
		switch {
		case !ok:
		case r.Kind == m.Kind:
			with[r.Pair] = v
		case r.Kind == m.Than:
			without[r.Pair] = v
		}
	}
	var results, base, those []float64
	for pair, v := range with {
		those = append(those, v)
		other, ok := without[pair]
		if ok {
			base = append(base, other)
		}
		switch {
		case !m.paired():
			results = append(results, v)
		case ok && m.By == byDifference:
			results = append(results, v-other)
		case ok && other != 0:
			results = append(results, v/other)
		}
	}
	m.Without, m.With = figure.Median(base), figure.Median(those)
	m.Held = len(results) > 0 // what nobody has measured does not hold
	if m.Held {
		m.Result = m.combine(results)
	}
	m.Held = m.Held && (m.AtLeast == nil || m.Result >= *m.AtLeast) && (m.AtMost == nil || m.Result <= *m.AtMost)
	return m
}

func (m caseMeasure) combine(results []float64) float64 {
	switch m.By {
	case byMost:
		return slices.Max(results)
	case byLeast:
		return slices.Min(results)
	default:
		return figure.Median(results)
	}
}

// summary is a result in a few lines.
func (r caseResult) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s, %s, %d runs, %.0f s)\n", r.Case, r.Verdict, r.Version, r.Kafka, len(r.Runs), r.Seconds)
	for _, m := range r.Measures {
		mark := map[bool]string{true: "  ", false: "! "}[m.Held]
		fmt.Fprintf(&b, "  %s%s [%s]: without %s, with %s; %s %s, %s\n", mark, m.What, m.Kind,
			figure.Text(m.Without), figure.Text(m.With), m.By, figure.Text(m.Result), figure.Bound(m.AtLeast, m.AtMost))
	}
	for _, run := range r.Runs {
		fmt.Fprintf(&b, "    pair %d, %s:", run.Pair, run.Kind)
		for _, name := range sortedKeys(run.Figures) {
			fmt.Fprintf(&b, " %s %s;", name, figure.Text(run.Figures[name]))
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func sortedKeys(m map[string]float64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestMeasuresAreMadeOfPairs(t *testing.T) {
	half, two := 0.5, 2.0
	runs := []caseRun{
		{Pair: 1, Kind: "without", Figures: map[string]float64{"p99": 1}},
		{Pair: 1, Kind: "with", Figures: map[string]float64{"p99": 2}},
		{Pair: 2, Kind: "with", Figures: map[string]float64{"p99": 30}},
		{Pair: 2, Kind: "without", Figures: map[string]float64{"p99": 10}},
		{Pair: 3, Kind: "without", Figures: map[string]float64{"p99": 4}},
		{Pair: 3, Kind: "with", Figures: map[string]float64{"p99": 4}},
	}
	for _, c := range []struct {
		give   caseMeasure
		result float64
		held   bool
	}{
		{caseMeasure{By: byRatio, AtMost: &two}, 2, true},
		{caseMeasure{By: byDifference, AtMost: &half}, 1, false},
		{caseMeasure{By: byMost, AtMost: &two}, 30, false},
		{caseMeasure{By: byLeast, AtLeast: &two}, 2, true},
	} {
		c.give.Figure, c.give.Kind, c.give.Than = "p99", "with", "without"
		got := c.give.over(runs)
		require.InDelta(t, c.result, got.Result, 1e-9, c.give.By)
		require.Equal(t, c.held, got.Held, c.give.By)
	}
	nobody := caseMeasure{Figure: "none", Kind: "with", By: byMost, AtMost: &two}
	require.False(t, nobody.over(runs).Held, "what nobody has measured does not hold")
}
