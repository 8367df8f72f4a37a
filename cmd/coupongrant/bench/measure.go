package bench

import (
	"fmt"
	"slices"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

// The ways in which runs become one number: always the median over the turns.
const (
	byLevel  = "level"  // of the figure itself
	byRatio  = "ratio"  // of a turn, kind to than
	byExcess = "excess" // of a turn, kind less Times than
)

// measure is one number that a case must show, and the runs it is made of.
type measure struct {
	What    string   `json:"what"`
	Line    int      `json:"line,omitempty"` // of the promises of the page that it belongs to
	Figure  string   `json:"figure"`
	Kind    string   `json:"kind"`
	Than    string   `json:"than,omitempty"`
	By      string   `json:"by"`
	Times   float64  `json:"times,omitempty"`
	Capped  bool     `json:"capped,omitempty"`   // than counts for no more than the slots of kind allow
	AtLeast *float64 `json:"at_least,omitempty"` // without a bound it is shown only
	AtMost  *float64 `json:"at_most,omitempty"`

	Value  float64 `json:"value"` // medians
	Base   float64 `json:"base,omitempty"`
	Result float64 `json:"result"`
	Least  float64 `json:"least"` // of the turns
	Most   float64 `json:"most"`
	Held   bool    `json:"held"`
}

func level(what, figure, kind string) measure {
	return measure{What: what, Figure: figure, Kind: kind, By: byLevel}
}

func ratio(what, figure, kind, than string) measure {
	return measure{What: what, Figure: figure, Kind: kind, Than: than, By: byRatio}
}

func excess(what, figure, kind string, times float64, than string) measure {
	return measure{What: what, Figure: figure, Kind: kind, Than: than, By: byExcess, Times: times}
}

// capped has the other kind count for no more than slots / mean time of a call: faster
// the first cannot be, however fast the machine.
func (m measure) capped() measure {
	m.Capped = true
	return m
}

func (m measure) atLeast(v float64) measure {
	m.AtLeast = &v
	return m
}

func (m measure) atMost(v float64) measure {
	m.AtMost = &v
	return m
}

// of says which line of the page's list the measure belongs to.
func (m measure) of(line int) measure {
	m.Line = line
	return m
}

// turns are the number of each turn, and the figures that it is made of.
func (m measure) turns(runs []run) (values, base, results []float64) {
	kind, than := figures(runs, m.Kind, m.Figure), figures(runs, m.Than, m.Figure)
	shares := figures(runs, m.Kind, ofIdeal)
	for turn, v := range kind {
		values = append(values, v)
		other, ok := than[turn]
		if share := shares[turn]; m.Capped && share > 0 {
			other = min(other, v/share)
		}
		if ok {
			base = append(base, other)
		}
		switch {
		case m.By == byLevel:
			results = append(results, v)
		case ok && m.By == byExcess:
			results = append(results, v-m.Times*other)
		case ok && other != 0:
			results = append(results, v/other)
		}
	}
	return values, base, results
}

// within says that a number keeps the bound.
func (m measure) within(v float64) bool {
	return (m.AtLeast == nil || v >= *m.AtLeast) && (m.AtMost == nil || v <= *m.AtMost)
}

// over computes the number from all runs of a case.
func (m measure) over(runs []run) measure {
	values, base, results := m.turns(runs)
	m.Value, m.Base = figure.Median(values), figure.Median(base)
	if len(results) == 0 {
		m.Held = false // what nobody has measured does not hold
		return m
	}
	m.Result, m.Least, m.Most = figure.Median(results), slices.Min(results), slices.Max(results)
	m.Held = m.within(m.Result)
	return m
}

// figures are those of one kind of runs, by turn.
func figures(runs []run, kind, figure string) map[int]float64 {
	of := map[int]float64{}
	for _, r := range runs {
		if v, ok := r.Figures[figure]; ok && r.Kind == kind {
			of[r.Turn] = v
		}
	}
	return of
}

// how the number was made, as people read it.
func (m measure) how() string {
	switch m.By {
	case byRatio:
		if m.Capped {
			return fmt.Sprintf("%s / min(%s, slots / call)", m.Kind, m.Than)
		}
		return m.Kind + " / " + m.Than
	case byExcess:
		if m.Times == 1 {
			return m.Kind + " - " + m.Than
		}
		return fmt.Sprintf("%s - %s x %s", m.Kind, figure.Text(m.Times), m.Than)
	default:
		return m.Kind
	}
}
