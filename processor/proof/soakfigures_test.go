package proof_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// soakPage shows whether what a process holds grows with its age.
var soakPage = figuresPage{
	raw: "../../docs/raw/chaos-soak-*.json", path: "../../docs/guarantees.md",
	begin: "<!-- figures: soak, made by `make figures` -->", end: "<!-- figures end -->",
}

const (
	soakDrawing = "../../docs/soak.svg"
	soakSlices  = 120     // of the whole time: each vital sign is kept as its mean in each
	unmeasured  = 1.0 / 3 // of the time, at its start: what is remembered fills up, and every fault is met once
	soakBlocks  = 9       // of what is measured after the warm-up: neighbouring samples are not independent, such means nearly are
	flatBelow   = 0.05    // growth over what is measured, of all of it
)

// survivor is the one process that the faults of a soak do not end, and what it
// held in equal slices of the time.
type survivor struct {
	Process       string    `json:"process"`
	Seconds       float64   `json:"seconds"`
	Memory        []float64 `json:"resident_mib"`
	MemoryOfFiles []float64 `json:"resident_of_files_mib,omitempty"` // older runs have none
	HeapGoal      []float64 `json:"heap_goal_mib"`
	Routines      []float64 `json:"goroutines"`
	Files         []float64 `json:"file_descriptors"`
	OfCalls       []float64 `json:"goroutines_of_calls"`
	Calling       []float64 `json:"gateway_connections"`
}

// vitals are its lines, by name. The heap's goal is twice what the last collection left, and
// tells of memory that is kept without the runtime's slack, which the resident set has. Callers
// and connections to the gateway come with the faults, as many as calls wait, and go again. So
// what there is beyond them is looked at: that they go, chaos.rest sees.
func (s survivor) vitals() []vital {
	beyond := func(name, color string, values, come []float64) vital {
		rest := slices.Clone(values)
		for i := range rest {
			rest[i] -= come[i]
		}
		return vital{name, color, rest, mean(values)}
	}
	return []vital{
		{"resident set, MiB", "#1a73e8", s.Memory, mean(s.Memory)},
		{"heap goal, MiB", "#9334e6", s.HeapGoal, mean(s.HeapGoal)},
		beyond("goroutines beyond those of calls", "#e8710a", s.Routines, s.OfCalls),
		beyond("file descriptors beyond the gateway's connections", "#188038", s.Files, s.Calling),
	}
}

type vital struct {
	name, color string
	values      []float64
	all         float64 // what its growth is a share of
}

// drift is how much a vital sign grew while it was measured, after the warm-up, as
// a share of all: a line through the means of blocks, and half of its confidence
// interval (95%).
type drift struct{ mean, growth, margin float64 }

func (d drift) flat() bool { return d.growth+d.margin <= flatBelow }

func (v vital) drift() drift { return commonDrift([]vital{v}) }

// commonDrift is the growth that several runs have in common: one slope of the lines through
// the blocks of each, which have levels of their own.
func commonDrift(runs []vital) drift {
	var level, spread, along, residual float64
	var offs []float64 // of each block from the level of its run
	for _, v := range runs {
		means := blocks(v.values)
		own := mean(means)
		level += own / float64(len(runs))
		for _, y := range means {
			offs = append(offs, (y-own)/v.all)
		}
	}
	at := func(i int) float64 { return (float64(i%soakBlocks)+0.5)/soakBlocks - 0.5 } // from the middle of what is measured
	for i, y := range offs {
		spread, along = spread+at(i)*at(i), along+at(i)*y
	}
	slope := along / spread
	for i, y := range offs {
		residual += (y - slope*at(i)) * (y - slope*at(i))
	}
	free := len(offs) - len(runs) - 1
	return drift{level, slope, student(len(runs)) * math.Sqrt(residual/float64(free)/spread)}
}

// blocks are the means of what is measured after the warm-up.
func blocks(values []float64) []float64 {
	return sliced(values[int(unmeasured*float64(len(values))):], soakBlocks, mean)
}

// student is the 97.5% quantile of Student's t with the degrees of freedom that as many runs
// leave; of more than it knows it is that of the most, which is on the safe side.
func student(runs int) float64 {
	quantiles := []float64{2.365, 2.131, 2.069, 2.040} // 7, 15, 23, 31
	return quantiles[min(runs, len(quantiles))-1]
}

// sliced is what each of n equal parts comes to.
func sliced(values []float64, n int, come func([]float64) float64) (to []float64) {
	for i := range n {
		to = append(to, come(values[i*len(values)/n:(i+1)*len(values)/n]))
	}
	return to
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func renderSoak(results []chaosResult) string {
	var b strings.Builder
	fmt.Fprint(&b, "![What a process holds over the time of a soak](soak.svg)\n\n")
	fmt.Fprintln(&b, "| run | what | mean | growth while measured, of all, 95% confidence | an hour | bound of the interval's upper end | held |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	row := func(run string, hours float64, name string, d drift) {
		fmt.Fprintf(&b, "| %s | %s | %s | %+.2f%% ± %.2f%% in %.2f h | %+.2f%% ± %.2f%% | %.0f%% | %s |\n", run, name,
			figure.Text(d.mean), 100*d.growth, 100*d.margin, hours, 100*d.growth/hours, 100*d.margin/hours, 100*flatBelow,
			map[bool]string{true: "yes", false: "**no**"}[d.flat()])
	}
	all, hours := map[string][]vital{}, 0.0
	for _, r := range results {
		measured := r.Survivor.Seconds / 3600 * (1 - unmeasured)
		hours += measured / float64(len(results))
		for _, v := range r.Survivor.vitals() {
			row(fmt.Sprintf("%s, %s, %s", r.Form, r.Version, r.Began.UTC().Format("2006-01-02")), measured, v.name, v.drift())
			all[v.name] = append(all[v.name], v)
		}
	}
	if len(results) > 1 {
		for _, v := range results[0].Survivor.vitals() {
			row(fmt.Sprintf("these %d runs together", len(results)), hours, v.name, commonDrift(all[v.name]))
		}
	}
	for _, r := range results {
		happened := 0
		for _, f := range r.Faults {
			happened += f.Happened
		}
		fmt.Fprintf(&b, "\n%s: %d requests in %.2f h, %d faults, %d process deaths, %d broker deaths; %s; %s, %s, %s; `%s`\n", r.Form, r.Load.Requests,
			r.Survivor.Seconds/3600, happened, r.Deaths, r.Brokers, r.Verdict, r.Kafka, r.Go, r.Machine, r.Command)
		fmt.Fprint(&b, r.Survivor.pagesOfFiles())
	}
	return b.String()
}

// pagesOfFiles says how many of the resident set are of files: a program comes into memory
// page by page as it is used, and of that nothing is kept by anybody.
func (s survivor) pagesOfFiles() string {
	if len(s.MemoryOfFiles) == 0 {
		return ""
	}
	means := blocks(s.MemoryOfFiles)
	return fmt.Sprintf("Of its resident set pages of files: %.1f MiB in the first ninth of what is measured, %.1f MiB in the last.\n", means[0], means[soakBlocks-1])
}

// soakPlot is of the newest run.
func soakPlot(r chaosResult) string {
	p := figure.Plot{Title: "What a process holds over the time of a soak, of its mean", Unit: "%"}
	for i := range soakSlices {
		place := ""
		if i%(soakSlices/8) == soakSlices/16 {
			place = strconv.Itoa(int(math.Round(r.Survivor.Seconds/60*(float64(i)+0.5)/soakSlices))) + " min"
		}
		p.Places = append(p.Places, place)
	}
	for _, v := range r.Survivor.vitals() {
		level := mean(v.values)
		line := figure.Series{Name: v.name, Color: v.color}
		for _, value := range v.values {
			line.Values = append(line.Values, 100*value/level)
		}
		p.Lines = append(p.Lines, line)
	}
	return p.SVG()
}

func TestSoakFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, soakPage, func(texts [][]byte) string {
		var results []chaosResult
		for _, text := range texts {
			var r chaosResult
			require.NoError(t, json.Unmarshal(text, &r))
			results = append(results, r)
		}
		drawing := soakPlot(results[len(results)-1])
		if *writeFigures {
			require.NoError(t, os.WriteFile(filepath.FromSlash(soakDrawing), []byte(drawing), 0o600))
		}
		kept, err := os.ReadFile(soakDrawing)
		require.NoError(t, err)
		require.Equal(t, drawing, string(kept), "run `make figures`")
		return renderSoak(results)
	})
}

func TestDriftTellsWhatGrowsFromWhatWavers(t *testing.T) {
	wavering, growing := make([]float64, soakSlices), make([]float64, soakSlices)
	for i := range soakSlices {
		wave := 3 * math.Sin(float64(i)/2)
		wavering[i] = 100 + wave
		growing[i] = 100 + wave + float64(i)/6 // a tenth an hour, of two
	}
	settled := slices.Clone(wavering)
	clear(settled[:int(unmeasured*soakSlices)])

	require.True(t, vital{values: wavering, all: 100}.drift().flat())
	require.True(t, vital{values: settled, all: 100}.drift().flat(), "what happens in the warm-up is not measured")
	require.False(t, vital{values: growing, all: 100}.drift().flat())
	require.InDelta(t, 0.15, vital{values: growing, all: 100}.drift().growth, 0.02)
}

func TestSoakFiguresTellEveryVitalSign(t *testing.T) {
	same := make([]float64, soakSlices)
	for i := range same {
		same[i] = 50
	}
	r := chaosResult{Form: "soak", Verdict: "held", Survivor: &survivor{Seconds: 7200, Memory: same, HeapGoal: same, Routines: same, Files: same, OfCalls: make([]float64, soakSlices), Calling: make([]float64, soakSlices)}}
	text := renderSoak([]chaosResult{r})

	for _, name := range []string{"resident set, MiB", "heap goal, MiB", "goroutines beyond those of calls", "file descriptors beyond the gateway's connections"} {
		require.Contains(t, text, "| soak, , 0001-01-01 | "+name+" | 50 | +0.00% ± 0.00% in 1.33 h | +0.00% ± 0.00% | 5% | yes |")
	}
	require.Contains(t, soakPlot(r), "113 min")
	require.NotContains(t, text, "together")
	require.NotContains(t, text, "pages of files")
	r.Survivor.MemoryOfFiles = same
	require.Contains(t, renderSoak([]chaosResult{r}), "pages of files: 50.0 MiB in the first ninth of what is measured, 50.0 MiB in the last.")
	require.Contains(t, renderSoak([]chaosResult{r, r}), "| these 2 runs together | resident set, MiB | 50 | +0.00% ± 0.00% in 1.33 h | +0.00% ± 0.00% | 5% | yes |")
}

// More runs tell a small growth from none, where one cannot; what each grows stays.
func TestDriftOfRunsTogether(t *testing.T) {
	run := func(level, growth, phase float64) vital {
		v := vital{all: level}
		for i := range soakSlices {
			x := (float64(i)/soakSlices - unmeasured) / (1 - unmeasured)
			v.values = append(v.values, level*(1+growth*x+0.04*math.Sin(float64(i)/5+phase)))
		}
		return v
	}
	still := []vital{run(90, 0, 0), run(110, 0, 2), run(100, 0, 4)}
	growing := []vital{run(90, 0.1, 0), run(110, 0.1, 2), run(100, 0.1, 4)}

	require.Equal(t, still[0].drift(), commonDrift(still[:1]))
	for _, v := range still {
		require.False(t, v.drift().flat(), "alone it cannot be told")
	}
	require.True(t, commonDrift(still).flat())
	require.False(t, commonDrift(growing).flat())
	require.InDelta(t, 0.1, commonDrift(growing).growth, 0.01)
	require.InDelta(t, 100, commonDrift(still).mean, 2)
}

// What comes and goes with the faults hides no leak, and looks like none.
func TestSoakLooksBeyondCalls(t *testing.T) {
	still, leaks := survivor{}, survivor{}
	for i := range soakSlices {
		calling := float64(i * i % 40)
		leaked := float64(i) / 10
		still.Calling, leaks.Calling = append(still.Calling, calling), append(leaks.Calling, calling)
		still.OfCalls, leaks.OfCalls = append(still.OfCalls, 2*calling), append(leaks.OfCalls, 2*calling)
		still.Routines, leaks.Routines = append(still.Routines, 50+2*calling), append(leaks.Routines, 50+2*calling+leaked)
		still.Files, leaks.Files = append(still.Files, 30+calling), append(leaks.Files, 30+calling+leaked)
	}
	still.Memory, leaks.Memory = still.Files, leaks.Files
	still.HeapGoal, leaks.HeapGoal = still.Files, leaks.Files

	for i := 2; i < 4; i++ {
		require.True(t, still.vitals()[i].drift().flat(), still.vitals()[i].name)
		require.False(t, leaks.vitals()[i].drift().flat(), leaks.vitals()[i].name)
	}
	require.False(t, vital{values: still.Routines, all: mean(still.Routines)}.drift().flat(), "with them it could not be told")
}
