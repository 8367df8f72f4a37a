package main

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// totals are what the processor has counted since it started, for people: the
// metrics say the same to machines.
type totals struct {
	Granted     int64            `json:"granted"`
	Failed      map[string]int64 `json:"failed"`       // by reason
	DeadLetters map[string]int64 `json:"dead_letters"` // by reason
	Parked      int64            `json:"parked"`
	Attempts    map[string]int64 `json:"attempts"`    // by about/code; "/": granted
	Calls       distribution     `json:"calls"`       // seconds a call of the gateway took
	OutcomeAge  distribution     `json:"outcome_age"` // seconds from the request to its outcome

	waiting int64 // taken in and not ended: Status says it better
}

// distribution is a histogram: how many were no longer than each bound.
type distribution struct {
	Count   uint64   `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []bucket `json:"buckets"` // without the last, infinite one: Count tells it
}

type bucket struct {
	LE    float64 `json:"le"`
	Count uint64  `json:"count"`
}

const (
	outcomesName   = "coupongrant_outcomes_total"
	grantedReason  = "granted" // of an outcome
	deadName       = "coupongrant_dead_letters_total"
	waitingName    = "coupongrant_requests_unfinished"
	parkedName     = "coupongrant_parked_total"
	attemptsName   = "coupongrant_attempts_total"
	callsName      = "coupongrant_call_duration_seconds"
	outcomeAgeName = "coupongrant_outcome_age_seconds"
)

// readTotals asks the processor's own metrics.
func readTotals(metrics prometheus.Gatherer) (totals, error) {
	t := totals{
		Failed: map[string]int64{}, DeadLetters: map[string]int64{}, Attempts: map[string]int64{},
		Calls: distribution{Buckets: []bucket{}}, OutcomeAge: distribution{Buckets: []bucket{}},
	}
	families, err := metrics.Gather()
	if err != nil {
		return t, fmt.Errorf("reading the metrics: %w", err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			t.add(family.GetName(), m)
		}
	}
	return t, nil
}

func (t *totals) add(name string, m *dto.Metric) {
	n := int64(m.GetCounter().GetValue())
	switch name {
	case outcomesName:
		if reason := label(m, "reason"); reason != grantedReason {
			t.Failed[reason] += n
		} else {
			t.Granted += n
		}
	case deadName:
		t.DeadLetters[label(m, "reason")] += n
	case waitingName:
		t.waiting = int64(m.GetGauge().GetValue())
	case parkedName:
		t.Parked += n
	case attemptsName:
		if about := label(m, "about"); n > 0 || about == "" { // of the others, those that there were
			t.Attempts[about+"/"+label(m, "code")] += n
		}
	case callsName:
		t.Calls.add(m.GetHistogram())
	case outcomeAgeName:
		t.OutcomeAge.add(m.GetHistogram())
	}
}

// add adds one histogram of several with the same bounds.
func (d *distribution) add(h *dto.Histogram) {
	d.Count += h.GetSampleCount()
	d.Sum += h.GetSampleSum()
	for i, b := range h.GetBucket() {
		if math.IsInf(b.GetUpperBound(), 0) {
			continue
		}
		if i == len(d.Buckets) {
			d.Buckets = append(d.Buckets, bucket{LE: b.GetUpperBound()})
		}
		d.Buckets[i].Count += b.GetCumulativeCount()
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
