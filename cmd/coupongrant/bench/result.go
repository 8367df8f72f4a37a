package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// result is what one case leaves, as raw as it can be kept.
type result struct {
	Case     string            `json:"case"`
	About    string            `json:"about"`
	Command  string            `json:"command"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"`
	Version  string            `json:"version"`
	Kafka    string            `json:"kafka"`
	Brokers  int               `json:"brokers"`
	Go       string            `json:"go"`
	Machine  string            `json:"machine"`
	Pairs    int               `json:"pairs"`
	Length   span              `json:"length"`
	Engine   map[string]string `json:"engine,omitempty"` // settings of it that the command line gave
	HalfOf   float64           `json:"half_of,omitempty"`
	Specs    []spec            `json:"specs"`
	Runs     []run             `json:"runs"` // in the order in which they were made
	Measures []measure         `json:"measures"`
	Verdict  string            `json:"verdict"`
}

// run is one run of a case.
type run struct {
	Turn    int                `json:"turn"`
	Kind    string             `json:"kind"`
	Began   time.Time          `json:"began"`
	Figures map[string]float64 `json:"figures"`
}

// The verdicts.
const (
	verdictHeld    = "held"
	verdictNotHeld = "not held"
)

// judge makes the measures' numbers and the verdict from the runs.
func (r *result) judge(measures []measure) {
	r.Verdict, r.Measures = verdictHeld, nil
	for _, m := range measures {
		m = m.over(r.Runs)
		if !m.Held {
			r.Verdict = verdictNotHeld
		}
		r.Measures = append(r.Measures, m)
	}
}

// keep writes the result into a folder.
func (r *result) keep(folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "bench-"+r.Case+".json"), append(text, '\n'), 0o644) //nolint:gosec // a figure is for everybody
}

// table is the result as a person at a terminal reads it.
func (r *result) table(w io.Writer) error {
	fmt.Fprintf(w, "\n%s: %s\n%s; %s, %d runs, %.0f s\n\n", r.Case, r.Verdict, r.About, r.Kafka, len(r.Runs), r.Seconds)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "WHAT\tHOW\tMEDIANS\tRESULT\tLEAST TO MOST\tBOUND\tHELD")
	for _, m := range r.Measures {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s to %s\t%s\t%s\n", m.What, m.how(), m.medians(), figure.Text(m.Result),
			figure.Text(m.Least), figure.Text(m.Most), figure.Bound(m.AtLeast, m.AtMost), heldText(m))
	}
	fmt.Fprintln(out, "\nRUN\tFIGURES")
	for _, run := range r.Runs {
		fmt.Fprintf(out, "%d %s\t", run.Turn, run.Kind)
		for _, name := range slices.Sorted(maps.Keys(run.Figures)) {
			fmt.Fprintf(out, "%s %s; ", name, figure.Text(run.Figures[name]))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

func (m measure) medians() string {
	if m.By == byLevel {
		return "-"
	}
	return figure.Text(m.Value) + ", " + figure.Text(m.Base)
}

func heldText(m measure) string {
	switch {
	case m.AtLeast == nil && m.AtMost == nil:
		return "-"
	case m.Held:
		return "yes"
	default:
		return "NO"
	}
}
