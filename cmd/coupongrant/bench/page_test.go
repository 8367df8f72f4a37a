package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

const (
	docs      = "../../../docs/"
	pageBegin = "<!-- figures: bench, made by `make figures` -->\n"
	pageEnd   = "<!-- figures end -->"
)

var writeFigures = flag.Bool("figures", false, "write the figures and plots of docs/raw instead of comparing them")

// TestPerformanceFiguresAreThoseOfTheRawResults keeps page, plots and raw files
// together: a figure that nobody can trace is none.
func TestPerformanceFiguresAreThoseOfTheRawResults(t *testing.T) {
	results := rawResults(t)
	if len(results) == 0 {
		t.Skip("no raw result is committed yet")
	}
	page, err := os.ReadFile(docs + "performance.md")
	require.NoError(t, err)
	before, rest, begins := bytes.Cut(page, []byte(pageBegin))
	_, after, ends := bytes.Cut(rest, []byte(pageEnd))
	require.True(t, begins && ends, "the page must hold %q and %q", pageBegin, pageEnd)
	want := map[string]string{
		"performance.md":  string(before) + pageBegin + render(results) + pageEnd + string(after),
		"throughput.svg":  throughputPlot(results),
		"percentiles.svg": percentilesPlot(results),
	}
	for name, text := range want {
		if *writeFigures {
			require.NoError(t, os.WriteFile(docs+name, []byte(text), 0o600))
			continue
		}
		is, err := os.ReadFile(docs + name)
		require.NoError(t, err)
		require.Equal(t, text, string(is), "run `make figures`")
	}
}

// rawResults in the order of the cases.
func rawResults(t *testing.T) (results []result) {
	t.Helper()
	for _, e := range experiments() {
		text, err := os.ReadFile(filepath.Join(docs, "raw", "bench-"+e.name+".json"))
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		var r result
		require.NoError(t, json.Unmarshal(text, &r))
		require.Empty(t, r.Engine, "%s: figures are of the engine as it is", r.Case)
		for _, m := range r.Measures {
			require.Equal(t, m, m.over(r.Runs), "%s: %s", r.Case, m.What)
		}
		results = append(results, r)
	}
	return results
}

// render is what every case shows, what its runs were like, and where and how
// each was made.
func render(results []result) string {
	var b strings.Builder
	fmt.Fprint(&b, "\n![Events a second by the time of a call](throughput.svg)\n\n![Percentiles of latency at half load](percentiles.svg)\n")
	fmt.Fprint(&b, "\n| line | case | what | how | medians | result | least to most | bound | held | turns within |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		for _, m := range r.Measures {
			line := "-"
			if m.Line > 0 {
				line = fmt.Sprint(m.Line)
			}
			held := heldText(m)
			if held == "NO" {
				held = "**no**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s to %s | %s | %s | %s |\n", line, r.Case, m.What, m.how(), m.medians(),
				figure.Text(m.Result), figure.Text(m.Least), figure.Text(m.Most), figure.Bound(m.AtLeast, m.AtMost), held, turnsWithin(m, r.Runs))
		}
	}
	fmt.Fprint(&b, "\nThe runs, medians over the turns:\n\n| case | run | events a second | CPU of an event, µs | p50 / p99 beyond the call, ms | most memory, MiB | processors busy |\n|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		for _, s := range r.Specs {
			of := func(figure string) string { return medianText(r, s.Kind, figure) }
			times := "-"
			if of(p50) != "-" {
				times = of(p50) + " / " + tail(r, s.Kind)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Case, s.Kind, of(perSecond), of(cpu), times, of(memory), of("processors busy"))
		}
	}
	fmt.Fprint(&b, "\nThe cases:\n\n")
	var origins []string
	cases := map[string][]string{} // by their origin
	for _, r := range results {
		fmt.Fprintf(&b, "- **%s**: %s.\n", r.Case, r.About)
		from := origin(r)
		if cases[from] == nil {
			origins = append(origins, from)
		}
		cases[from] = append(cases[from], r.Case)
	}
	fmt.Fprint(&b, "\nWhere and how they were measured:\n\n")
	for _, from := range origins {
		fmt.Fprintf(&b, "- %s: %s\n", strings.Join(cases[from], ", "), from)
	}
	return b.String() + "\n"
}

// origin is where and how a result was measured.
func origin(r result) string {
	return fmt.Sprintf("%d turns, %s, %s, %d broker(s), %s, %s, %s; `%s`", r.Pairs, r.Version, r.Kafka, r.Brokers, r.Go,
		r.Machine, r.Began.UTC().Format("2006-01-02"), r.Command)
}

// turnsWithin is how many turns keep a bound by themselves.
func turnsWithin(m measure, runs []run) string {
	if m.AtLeast == nil && m.AtMost == nil {
		return "-"
	}
	_, _, results := m.turns(runs)
	return fmt.Sprintf("%d of %d", len(slices.DeleteFunc(slices.Clone(results), func(v float64) bool { return !m.within(v) })), len(results))
}

// tail is the 99th percentile, if that is more than the slowest request.
func tail(r result, kind string) string {
	if medianOf(r, kind, "count") < 100 {
		return "-"
	}
	return medianText(r, kind, p99)
}

func medianText(r result, kind, name string) string {
	if len(figures(r.Runs, kind, name)) == 0 {
		return "-"
	}
	return figure.Text(medianOf(r, kind, name))
}

func medianOf(r result, kind, name string) float64 {
	return figure.Median(slices.Collect(maps.Values(figures(r.Runs, kind, name))))
}

// throughputPlot is over the time of a call.
func throughputPlot(results []result) string {
	p := figure.Plot{Title: "Events a second, by the time of a call and how many at once", Unit: "events/s"}
	lines := []figure.Series{
		{Name: "calls alone", Color: "#9aa0a6"},
		{Name: "loop without promises", Color: "#e8710a"},
		{Name: "coupongrant", Color: "#1a73e8"},
		{Name: "what the calls' time allows", Color: "#188038", Dashed: true},
	}
	for _, r := range results {
		if !strings.HasPrefix(r.Case, "call-") || !slices.ContainsFunc(r.Specs, func(s spec) bool { return s.Arm == armHTTP }) {
			continue
		}
		engine := r.Specs[len(r.Specs)-1]
		p.Places = append(p.Places, fmt.Sprintf("%d ms, %d", int(1000*engine.Call.seconds()), engine.InFlight))
		values := []float64{medianOf(r, armHTTP, perSecond), medianOf(r, armLoop, perSecond), medianOf(r, armEngine, perSecond), engine.ideal()}
		for i := range lines {
			lines[i].Values = append(lines[i].Values, values[i])
		}
	}
	most := slices.Max(slices.Concat(lines[0].Values, lines[1].Values, lines[2].Values))
	for i, v := range lines[3].Values { // what no machine here comes near to is left out
		if v > 1.5*most {
			lines[3].Values[i] = 0
		}
	}
	p.Lines = lines
	return p.SVG()
}

// percentilesPlot is of half load.
func percentilesPlot(results []result) string {
	p := figure.Plot{Title: "From due to visible, less the call, at half load", Unit: "ms"}
	i := slices.IndexFunc(results, func(r result) bool { return r.Case == "half-load" })
	lines := []figure.Series{{Name: "bare transactions", Color: "#e8710a"}, {Name: "coupongrant", Color: "#1a73e8"}}
	for _, of := range percentiles() {
		if i < 0 || of.of == 100 {
			continue
		}
		p.Places = append(p.Places, strings.TrimSuffix(of.name, " ms"))
		for n, arm := range []string{armTx, armEngine} {
			lines[n].Values = append(lines[n].Values, medianOf(results[i], arm, of.name))
		}
	}
	p.Lines = lines
	return p.SVG()
}

func TestPageTellsEveryMeasureAndRun(t *testing.T) {
	r := result{Case: "call-0ms", About: "a backlog", Pairs: 1, Specs: []spec{base(armHTTP, 0, 64), base(armLoop, 0, 64), base(armEngine, 0, 64)}}
	r.Runs = slices.Concat(turns("http", perSecond, 200), turns("engine", perSecond, 80), turns("loop", perSecond, 100))
	r.judge([]measure{ratio("throughput", perSecond, "engine", "loop").atLeast(0.9).of(1)})
	text := render([]result{r})

	require.Contains(t, text, "| 1 | call-0ms | throughput | engine / loop | 80, 100 | 0.8 | 0.8 to 0.8 | at least 0.9 | **no** | 0 of 1 |")
	require.Contains(t, text, "| call-0ms | loop | 100 | - | - | - | - |")
	require.Contains(t, throughputPlot([]result{r}), ">0 ms, 64<")
	require.Contains(t, percentilesPlot([]result{{Case: "half-load", Runs: turns("tx", p99, 12)}}), ">p99<")
}
