//go:build apart

package proof_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	parkedSlots   = 64
	parkedLatency = 20 * time.Millisecond

	waiting = "waiting"
)

// parkedSize is how many are parked, how many a second, and for how long: until
// after the last of them is.
func parkedSize() (requests int, rate float64, delay time.Duration) {
	if testing.Short() {
		return 5000, 500, 30 * time.Second
	}
	return 100_000, 1000, 3 * time.Minute
}

// TestApartParkedAreCalledWhenTheyAreDue has many requests wait in the retry topic,
// far more than the windows hold.
func TestApartParkedAreCalledWhenTheyAreDue(t *testing.T) {
	size, rate, delay := parkedSize()
	settings := map[string]string{"retry.doubtful_attempts": "1", "retry.delay": delay.String()}
	trial{
		name: "parked", about: "requests parked at a steady rate, all of them before the first is due",
		kinds: []string{waiting}, settings: settings,
		sizes: map[string]any{
			"parked": size, "rate": rate, "slots": parkedSlots, "latency": parkedLatency.String(), "replicas": 1,
		},
		measures: []caseMeasure{
			lowest("parked at once", "parked").in(waiting).atLeast(float64(size)),
			highest("seconds from due to its call, the latest of all", "late max s").in(waiting).atMost(5),
			highest("calls before they were due", "early").in(waiting).atMost(0),
			highest("calls beyond two each", "calls too many").in(waiting).atMost(0),
			highest("most memory of the replica, MiB", "memory, most MiB").in(waiting).atMost(backlogMemory),
		},
		run: func(t *testing.T, on grounds, _ string) map[string]float64 {
			return runParked(t, on, settings)
		},
	}.hold(t)
}

func runParked(t *testing.T, on grounds, settings map[string]string) map[string]float64 {
	size, rate, _ := parkedSize()
	s := newStage(t, on, staging{partitions: 3, replicas: 1, slots: parkedSlots, latency: parkedLatency, settings: settings})
	figures := map[string]float64{}
	endDoubt := s.misbehave("business -9999", "parked*")
	events := s.pour(stream{name: "parked", topic: s.store(), parts: upTo(3), count: size, rate: rate}).written()["parked"]
	require.NoError(t, within(s.timeFor(size), "not all are parked", func() bool { return s.arrivals.parkedSources() == size }))
	for _, e := range events {
		if s.arrivals.parkedOf(e)[0].due.After(time.Now()) {
			figures["parked"]++
		}
	}
	figures["calls struck"] = endDoubt()
	require.NoError(t, s.arrivals.ended(events, s.timeFor(size)))
	s.lateness(events, figures)
	s.settle(figures)
	return figures
}

// parkedSources is how many requests have been parked.
func (a *arrivals) parkedSources() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.parked)
}

// lateness is how long after it was due each parked request was called: the
// gateway keeps when the call came that it granted.
func (s *stage) lateness(events []*event, figures map[string]float64) {
	s.t.Helper()
	var late []float64
	ledger := s.gateway.entries(s.t)
	for _, e := range events {
		copies, entry := s.arrivals.parkedOf(e), ledger[e.id]
		require.NotNil(s.t, entry.GrantedAt, e.id)
		after := entry.GrantedAt.Sub(copies[0].due).Seconds()
		late = append(late, after)
		if after < 0 {
			figures["early"]++
		}
		figures["calls too many"] += float64(entry.Calls - 2)
	}
	slices.Sort(late)
	figures["late p50 s"], figures["late p99 s"], figures["late max s"] = percentile(late, 0.5), percentile(late, 0.99), percentile(late, 1)
	figures["early"] += 0 // that nobody was is a figure too
}
