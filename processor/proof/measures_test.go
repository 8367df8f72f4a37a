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

func (r *apartResult) judge(measures []apartMeasure, complete bool) {
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
func (r *apartResult) keep(page string) (string, error) {
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

func ratio(what, figure string) apartMeasure {
	return apartMeasure{What: what, Figure: figure, Kind: with, Than: without, By: byRatio}
}

func difference(what, figure string) apartMeasure {
	return apartMeasure{What: what, Figure: figure, Kind: with, Than: without, By: byDifference}
}

func highest(what, figure string) apartMeasure {
	return apartMeasure{What: what, Figure: figure, Kind: with, By: byMost}
}

func lowest(what, figure string) apartMeasure {
	return apartMeasure{What: what, Figure: figure, Kind: with, By: byLeast}
}

func (m apartMeasure) atLeast(v float64) apartMeasure {
	m.AtLeast = &v
	return m
}

func (m apartMeasure) atMost(v float64) apartMeasure {
	m.AtMost = &v
	return m
}

func (m apartMeasure) quietly() apartMeasure {
	m.Quiet = true
	return m
}

func (m apartMeasure) in(kind string) apartMeasure {
	m.Kind = kind
	return m
}

func (m apartMeasure) of(kind, than string) apartMeasure {
	m.Kind, m.Than = kind, than
	return m
}
