//go:build apart

package proof_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The settings under which one request is never answered.
const (
	silenceTimeout = 2 * time.Second
	silencePark    = 5 * time.Second
	silenceSlots   = 64
	silenceLatency = 50 * time.Millisecond
)

func silenceSettings() map[string]string {
	return map[string]string{
		"gateway.timeout": silenceTimeout.String(), "breaker.interval": "10s", "stop_timeout": "10s",
		"retry.park_after": silencePark.String(), "retry.delay": "10s",
	}
}

// silenceOthers is how many requests share the partition, and how many of them
// come in a second: half of what the slots can do. They last until the silent one
// must be parked: it stays where it is while nobody else is answered.
func silenceOthers() (requests int, rate float64) {
	if testing.Short() {
		return 3000, 200
	}
	return 10_000, 600
}

func silenceSizes() map[string]any {
	others, rate := silenceOthers()
	return map[string]any{"others": others, "rate": rate, "slots": silenceSlots, "latency": silenceLatency.String(), "replicas": 1}
}

// TestApartFromASilentRequest has one request in a partition of many that is
// never answered: at a steady rate, and again with all of them there at once.
func TestApartFromASilentRequest(t *testing.T) { silenceTrial().hold(t) }

func silenceTrial() trial {
	return trial{
		name: "silence", about: "one request that is never answered, in one partition with the others; at a steady rate, then with all there at once",
		kinds: []string{without, with}, settings: silenceSettings(),
		sizes: silenceSizes(),
		measures: []caseMeasure{
			ratio("throughput of the others, all there at once", "at once per s").atLeast(0.95),
			ratio("p99 of the others, all there at once", "at once p99 s").atMost(1.5),
			ratio("throughput of the others at a steady rate", "steady per s").atLeast(0.95),
			ratio("p99 of the others at a steady rate", "steady p99 s").atMost(1.5),
			highest("seconds until the silent request is parked", "parked after s").
				atMost((silencePark + silenceTimeout + 2*time.Second).Seconds()), // a call may be under way, then the next look
			lowest("calls of the silent request", "calls struck").atLeast(2),
		},
		run: runSilence,
	}
}

func runSilence(t *testing.T, on grounds, kind string) map[string]float64 {
	s := newStage(t, on, staging{
		partitions: 3, replicas: 1, slots: silenceSlots, latency: silenceLatency, settings: silenceSettings(),
	})
	figures := map[string]float64{}
	endSilence := func() float64 { return 0 }
	if kind == with {
		endSilence = s.misbehave("stall", "silent*")
	}
	count, rate := silenceOthers()
	others := stream{name: "steady", topic: s.store(), parts: []int32{0}, count: count, rate: rate}
	silent := stream{name: "silent-of-steady", topic: s.store(), parts: []int32{0}, count: 1}
	steady := s.pour(others, silent)
	s.endsOf("steady", steady, figures)
	if kind == with {
		figures["parked after s"] = s.parkedAfter(steady.events["silent-of-steady"][0])
	}
	if s.planted != "" {
		return figures // what comes next might never end
	}
	others.name, others.rate, others.after = "at once", 0, 20*time.Millisecond // the silent one is the first
	silent.name = "silent-of-at-once"
	s.endsOf("at once", s.pour(others, silent), figures)
	figures["calls struck"] = endSilence()
	s.settle(figures)
	return figures
}

// endsOf waits until a stream is ended and takes its figures.
func (s *stage) endsOf(name string, p *pouring, figures map[string]float64) {
	s.t.Helper()
	events := p.written()[name]
	require.NoError(s.t, s.arrivals.ended(events, s.timeFor(len(events))))
	s.arrivals.figures(s, name, events, figures)
}

// parkedAfter is the time from when an event was due to be sent until a reader
// could see it parked.
func (s *stage) parkedAfter(e *event) float64 {
	s.t.Helper()
	_, ended := s.arrivals.endOf(e)
	require.False(s.t, ended, "%s was answered: the run proves nothing", e.id)
	require.NoError(s.t, within(settleLimit, e.id+" is not parked", func() bool { return len(s.arrivals.parkedOf(e)) > 0 }))
	return s.arrivals.parkedOf(e)[0].seen.Sub(e.due).Seconds()
}
