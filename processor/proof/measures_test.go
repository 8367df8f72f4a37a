//go:build chaos || apart

package proof_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// The kinds of most trials.
const (
	without = "without"
	with    = "with"
)

func (r *caseResult) judge(measures []caseMeasure, complete bool) {
	r.Verdict = "held"
	for _, m := range measures {
		r.Measures = append(r.Measures, m.over(r.Runs))
		if !r.Measures[len(r.Measures)-1].Held {
			r.Verdict = "broken"
		}
	}
	if !complete {
		r.Verdict = "incomplete"
	}
}

// keep writes the result where -results says, by the name of its page.
func (r *caseResult) keep(page string) (string, error) {
	if *resultFlag == "" {
		return "none was asked for", nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(*resultFlag, page+"-"+strings.ReplaceAll(r.Case, " ", "-")+".json")
	return path, os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // a figure is for everybody
}

// The measures of a case.

func ratio(what, figure string) caseMeasure {
	return caseMeasure{What: what, Figure: figure, Kind: with, Than: without, By: byRatio}
}

func difference(what, figure string) caseMeasure {
	return caseMeasure{What: what, Figure: figure, Kind: with, Than: without, By: byDifference}
}

func highest(what, figure string) caseMeasure {
	return caseMeasure{What: what, Figure: figure, Kind: with, By: byMost}
}

func lowest(what, figure string) caseMeasure {
	return caseMeasure{What: what, Figure: figure, Kind: with, By: byLeast}
}

func (m caseMeasure) atLeast(v float64) caseMeasure {
	m.AtLeast = &v
	return m
}

func (m caseMeasure) atMost(v float64) caseMeasure {
	m.AtMost = &v
	return m
}

func (m caseMeasure) quietly() caseMeasure {
	m.Quiet = true
	return m
}

func (m caseMeasure) in(kind string) caseMeasure {
	m.Kind = kind
	return m
}

func (m caseMeasure) of(kind, than string) caseMeasure {
	m.Kind, m.Than = kind, than
	return m
}
