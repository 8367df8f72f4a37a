package proof_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// figuresPage is where raw results are committed, and the page that shows their
// figures between two marks.
type figuresPage struct{ raw, path, begin, end string }

var guaranteesPage = figuresPage{
	raw: "../../docs/raw/chaos-*.json", path: "../../docs/guarantees.md",
	begin: "<!-- figures: chaos, made by `make figures` -->", end: "<!-- figures end -->",
}

var writeFigures = flag.Bool("figures", false, "write the figures into their pages instead of comparing them")

// chaosResult is what one chaos run leaves, as raw as it can be kept.
type chaosResult struct {
	Form       string         `json:"form"`
	Command    string         `json:"command"`
	Seed       uint64         `json:"seed"`
	Began      time.Time      `json:"began"`
	Seconds    float64        `json:"seconds"`
	Drained    float64        `json:"drained_seconds"` // from the end of the load to the last end
	Version    string         `json:"version"`
	Kafka      string         `json:"kafka"`
	Go         string         `json:"go"`
	Machine    string         `json:"machine"`
	Control    string         `json:"control,omitempty"` // the planted bug
	Settings   map[string]any `json:"settings"`
	Faults     []faultCount   `json:"faults"`
	Deaths     int            `json:"process_deaths"`
	Brokers    int            `json:"broker_deaths"`
	ByItself   int            `json:"exits_by_themselves"`
	Load       loadCounts     `json:"load"`
	Ends       endCounts      `json:"ends"`
	Calls      callCounts     `json:"calls"`
	Readers    readerCounts   `json:"readers"`
	Bounds     boundCounts    `json:"bounds"`
	TakeOvers  []takenOver    `json:"take_overs"`
	Survivor   *survivor      `json:"survivor,omitempty"` // of a soak
	Violations map[string]int `json:"violations"`
	Told       []string       `json:"told,omitempty"`
	Missing    []string       `json:"missing,omitempty"` // planned faults that did not happen
	Verdict    string         `json:"verdict"`
}

type faultCount struct {
	Fault    string `json:"fault"`
	Planned  int    `json:"planned"`
	Happened int    `json:"happened"`
}

type loadCounts struct {
	Rate     int   `json:"rate"`     // events a second
	Events   int   `json:"events"`   // meant to be seen
	Aborted  int   `json:"aborted"`  // in upstream transactions that were aborted
	Requests int64 `json:"requests"` // records in the input topics
	Repeats  int64 `json:"repeats"`
}

type endCounts struct {
	Granted     int64            `json:"granted"`
	Failed      map[string]int64 `json:"failed"`
	DeadLetters map[string]int64 `json:"dead_letters"`
	Unfinished  int64            `json:"unfinished"`
	ParkedEver  int              `json:"parked_ever"`
	LeftLanes   int              `json:"left_lanes_uncalled"` // parked behind one in trouble, before a first attempt
}

type callCounts struct {
	Made             int   `json:"made"`
	Grants           int64 `json:"grants"`
	Repeated         int64 `json:"of_granted_ids"`
	OverlapProcesses int   `json:"overlaps_of_processes"`
	OverlapAssigned  int   `json:"overlaps_of_assignments"`
}

type readerCounts struct {
	During  int  `json:"during"` // records read while the faults happened
	Late    int  `json:"late"`
	Samples int  `json:"offset_samples"`
	Behind  *int `json:"offset_samples_behind_without_require_stable,omitempty"` // nil: not compared with a look that has it
	Marks   int  `json:"watermarks"`
}

type boundCounts struct {
	Memory   int64 `json:"most_memory_bytes"`
	Routines int64 `json:"most_goroutines"`
	InFlight int64 `json:"most_calls_in_flight"`
	Scrapes  int   `json:"scrapes"`
	LogLines int   `json:"log_lines"`
}

// takenOver is a kill and how long its partitions had no outcome.
type takenOver struct {
	Fault   string  `json:"fault"`
	AtOnce  bool    `json:"restarted_at_once"`
	Seconds float64 `json:"seconds"`
}

// percentile of sorted or unsorted values, 0 to 1; 0 of none.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func (r chaosResult) takeOverTimes(atOnce bool) (seconds []float64) {
	for _, t := range r.TakeOvers {
		if t.AtOnce == atOnce {
			seconds = append(seconds, t.Seconds)
		}
	}
	return seconds
}

// summary is a result in a few lines.
func (r chaosResult) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Form, r.Verdict)
	fmt.Fprintf(&b, "  seed %d, %s, %s, %s, %.0f s\n", r.Seed, r.Version, r.Kafka, r.Began.UTC().Format("2006-01-02"), r.Seconds)
	fmt.Fprintf(&b, "  %d requests, %d granted, %v failed, %v dead letters, %d calls for %d grants\n",
		r.Load.Requests, r.Ends.Granted, r.Ends.Failed, r.Ends.DeadLetters, r.Calls.Made, r.Calls.Grants)
	fmt.Fprintf(&b, "  %d process deaths, %d broker deaths; faults:", r.Deaths, r.Brokers)
	for _, f := range r.Faults {
		fmt.Fprintf(&b, " %s %d/%d;", f.Fault, f.Happened, f.Planned)
	}
	for _, atOnce := range []bool{true, false} {
		times := r.takeOverTimes(atOnce)
		fmt.Fprintf(&b, "\n  take-over, %s: %d, p50 %.1f s, most %.1f s", restarted(atOnce), len(times),
			percentile(times, 0.5), percentile(times, 1))
	}
	fmt.Fprintf(&b, "\n  %d looks at the committed offsets", r.Readers.Samples)
	if r.Readers.Behind != nil {
		fmt.Fprintf(&b, ", %d answers without RequireStable were behind", *r.Readers.Behind)
	}
	fmt.Fprintf(&b, "\n  violations: %v\n", r.Violations)
	for _, line := range slices.Concat(r.Told, r.Missing) {
		fmt.Fprintln(&b, "   ", line)
	}
	return b.String()
}

func restarted(atOnce bool) string {
	if atOnce {
		return "restarted at once"
	}
	return "by the others"
}

// renderFigures is a table of runs, a row each, and one of their faults.
func renderFigures(results []chaosResult) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| run | date | seed | requests | process deaths | broker deaths | verdict | lost, double, untrue, leaks, other | take-over p50 / most, restarted at once | by the others |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|")
	faults, order, looks, behind := map[string]int{}, []string{}, 0, 0
	for _, r := range results {
		fmt.Fprintf(&b, "| %s on %s, %s | %s | %d | %d | %d | %d | %s | %s | %s | %s |\n", r.Form, r.Kafka, r.Version,
			r.Began.UTC().Format("2006-01-02"), r.Seed, r.Load.Requests, r.Deaths, r.Brokers, r.Verdict,
			violationsText(r.Violations), timesText(r.takeOverTimes(true)), timesText(r.takeOverTimes(false)))
		for _, f := range r.Faults {
			if _, known := faults[f.Fault]; !known {
				order = append(order, f.Fault)
			}
			faults[f.Fault] += f.Happened
		}
		if r.Readers.Behind != nil {
			looks, behind = looks+r.Readers.Samples, behind+*r.Readers.Behind
		}
	}
	fmt.Fprint(&b, "\nFaults of these runs together: ")
	for i, f := range order {
		if i > 0 {
			fmt.Fprint(&b, ", ")
		}
		fmt.Fprintf(&b, "%s %d", f, faults[f])
	}
	fmt.Fprintf(&b, ".\n\nLooks at committed offsets with RequireStable and without it: %d, of which without were told less than with: %d.\n", looks, behind)
	renderSlices(&b, results)
	return b.String()
}

// slice begins the name of the form that `make chaos` makes again and again.
const slice = "slice on Kafka"

// renderSlices is what slices come to together, beside what was asked of them: those
// that held, since the last that broke a promise. One that only lacked a fault of its
// plan broke none, and counts for nothing.
func renderSlices(b *strings.Builder, results []chaosResult) {
	results = slices.DeleteFunc(slices.Clone(results), func(r chaosResult) bool { return !strings.HasPrefix(r.Form, slice) })
	var since time.Time
	for _, r := range results {
		if len(r.Violations) > 0 && r.Began.After(since) {
			since = r.Began
		}
	}
	results = slices.DeleteFunc(results, func(r chaosResult) bool { return !r.Began.After(since) })
	newer := len(results)
	results = slices.DeleteFunc(results, func(r chaosResult) bool { return len(r.Missing) > 0 })
	if len(results) == 0 {
		return
	}
	consumer, kills, requests, faults := 0, 0, int64(0), map[string]int{}
	for _, r := range results {
		if strings.HasSuffix(r.Form, "consumer protocol") {
			consumer++
		}
		kills, requests = kills+r.Deaths, requests+r.Load.Requests
		for _, f := range r.Faults {
			faults[f.Fault] += f.Happened
		}
	}
	fmt.Fprintf(b, "\nSlices that held since the last that broke a promise: %d, of them under the consumer protocol: %d. Lacked a fault of their plan and do not count: %d.\n\n", len(results), consumer, newer-len(results))
	fmt.Fprint(b, "| what | in all | asked |\n|---|---|---|\n")
	fmt.Fprintf(b, "| requests | %d | 1000000 |\n| kills of processes | %d | 300 |\n", requests, kills)
	for _, at := range slices.Sorted(maps.Keys(faults)) {
		if strings.HasPrefix(at, "kill -9 at: ") {
			fmt.Fprintf(b, "| %s | %d | 20 |\n", at, faults[at])
		}
	}
	for _, of := range []struct {
		what   string
		faults []string
		asked  int
	}{
		{"brokers killed or stopped", []string{"broker kill -9", "broker clean stop"}, 60},
		{"zombies: stopped beyond the session, or two under one id", []string{"SIGSTOP beyond the session", "second process under one transactional id"}, 60},
		{"rolling restarts", []string{"rolling restart"}, 20},
	} {
		sum := 0
		for _, f := range of.faults {
			sum += faults[f]
		}
		fmt.Fprintf(b, "| %s | %d | %d |\n", of.what, sum, of.asked)
	}
	fmt.Fprintln(b, "| lost, double, untrue, leaks, other | 0, 0, 0, 0, 0 | 0, 0, 0, 0, 0 |") // or they would not have held
}

func violationsText(v map[string]int) string {
	other := 0
	for kind, n := range v {
		if !slices.Contains([]string{"lost", "doubled", "untrue", "leak"}, kind) {
			other += n
		}
	}
	return fmt.Sprintf("%d, %d, %d, %d, %d", v["lost"], v["doubled"], v["untrue"], v["leak"], other)
}

func timesText(seconds []float64) string {
	if len(seconds) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f / %.1f s of %d", percentile(seconds, 0.5), percentile(seconds, 1), len(seconds))
}

func TestFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, guaranteesPage, func(texts [][]byte) string {
		var results []chaosResult
		for _, text := range texts {
			var r chaosResult
			require.NoError(t, json.Unmarshal(text, &r))
			results = append(results, r)
		}
		return renderFigures(results)
	})
}

// checkFigures keeps a page and the raw files together: a figure that nobody can
// trace is none.
func checkFigures(t *testing.T, p figuresPage, render func(raw [][]byte) string) {
	t.Helper()
	files, err := filepath.Glob(p.raw)
	require.NoError(t, err)
	page, err := os.ReadFile(p.path)
	if len(files) == 0 || os.IsNotExist(err) {
		t.Skip("no raw result or no page is committed yet")
	}
	require.NoError(t, err)
	var raw [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		raw = append(raw, text)
	}
	before, rest, begins := bytes.Cut(page, []byte(p.begin))
	_, after, ends := bytes.Cut(rest, []byte(p.end))
	require.True(t, begins && ends, "%s must hold %q and %q", p.path, p.begin, p.end)
	want := slices.Concat(before, []byte(p.begin+"\n"+render(raw)), []byte(p.end), after)
	if *writeFigures {
		require.NoError(t, os.WriteFile(p.path, want, 0o600))
		return
	}
	require.Equal(t, string(want), string(page), "run `make figures`")
}

func TestFiguresTellEveryRun(t *testing.T) {
	text := renderFigures([]chaosResult{
		{Form: "short", Kafka: "kfake", Version: "v1", Seed: 7, Deaths: 20, Verdict: "violated", Violations: map[string]int{"lost": 2, "lane": 3}, Readers: readerCounts{Samples: 10}, Faults: []faultCount{{"pause", 2, 1}}},
		{Form: "long", Seed: 8, Readers: readerCounts{Samples: 20, Behind: new(1)}, TakeOvers: []takenOver{{AtOnce: true, Seconds: 2}, {AtOnce: true, Seconds: 4}}, Faults: []faultCount{{"pause", 4, 4}}},
	})

	require.Contains(t, text, "| short on kfake, v1 | 0001-01-01 | 7 | 0 | 20 | 0 | violated | 2, 0, 0, 0, 3 | none | none |")
	require.Contains(t, text, "| 4.0 / 4.0 s of 2 | none |")
	require.Contains(t, text, "without it: 20, of which without were told less than with: 1.", "the short run did not compare")
	require.Contains(t, text, "together: pause 5.")
	require.NotContains(t, text, "slices")
}

func TestFiguresSumUpTheSlices(t *testing.T) {
	at := func(hours int) time.Time { return time.Date(2026, 11, 26, hours, 0, 0, 0, time.UTC) }
	faults := []faultCount{{"kill -9 at: ended", 10, 10}, {"broker kill -9", 15, 15}, {"broker clean stop", 5, 4}, {"SIGSTOP beyond the session", 9, 9}}
	text := renderFigures([]chaosResult{
		{Form: slice, Began: at(2), Deaths: 100, Load: loadCounts{Requests: 400_000}, Faults: faults},
		{Form: slice + ", consumer protocol", Began: at(3), Deaths: 90, Load: loadCounts{Requests: 500_000}, Faults: faults},
		{Form: slice, Began: at(0), Deaths: 1000, Faults: faults, Violations: map[string]int{"lost": 1}},
		{Form: slice, Began: at(4), Deaths: 1000, Faults: faults, Missing: []string{"one"}},
		{Form: "short", Deaths: 7, Faults: faults},
	})

	for _, row := range []string{
		"Slices that held since the last that broke a promise: 2, of them under the consumer protocol: 1. Lacked a fault of their plan and do not count: 1.",
		"| requests | 900000 | 1000000 |", "| kills of processes | 190 | 300 |",
		"| kill -9 at: ended | 20 | 20 |", "| brokers killed or stopped | 38 | 60 |", "or two under one id | 18 | 60 |",
	} {
		require.Contains(t, text, row)
	}
}

// Outside of the table, where nobody would look for why.
func TestRunsThatDidNotHoldAreTold(t *testing.T) {
	page, err := os.ReadFile(guaranteesPage.path)
	require.NoError(t, err)
	_, list, found := strings.Cut(string(page), guaranteesPage.end)
	require.True(t, found)
	files, err := filepath.Glob(guaranteesPage.raw)
	require.NoError(t, err)
	for _, file := range files {
		var r chaosResult
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &r))
		if r.Verdict != "held" {
			require.Contains(t, list, "`"+r.Version+"`", file)
			require.Contains(t, list, strconv.FormatUint(r.Seed, 10), file)
		}
	}
}
