//go:build apart

package proof_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	burstSlots   = 64
	burstLatency = 50 * time.Millisecond
	burstLoyalty = 10 // requests a second

	// The kinds of runs.
	evenly = "evenly" // the requests of the burst, spread over the whole time
	burst  = "burst"
	alone  = "alone" // the burst without any loyalty request
)

// burstSize is how many store requests there are, and how long a run takes: half
// as long again as the slots need for them.
func burstSize() (requests int, window time.Duration) {
	requests = 100_000
	if testing.Short() {
		requests = 10_000
	}
	return requests, time.Duration(requests) * burstLatency / burstSlots * 3 / 2
}

// TestApartFromABurst has many store requests there at once while loyalty
// requests come steadily; without the burst the same number of them comes evenly.
func TestApartFromABurst(t *testing.T) { burstTrial().hold(t) }

func burstTrial() trial {
	size, window := burstSize()
	return trial{
		name: "burst", about: "store requests all at once, against as many spread evenly over the same time; loyalty at a steady rate",
		kinds: []string{evenly, burst, alone},
		sizes: map[string]any{
			"burst": size, "window": window.String(), "loyalty per s": burstLoyalty,
			"slots": burstSlots, "latency": burstLatency.String(), "replicas": 1,
		},
		measures: []caseMeasure{
			ratio("p99 of loyalty requests that came while the burst was worked off", "loyalty p99 s").of(burst, evenly).atMost(2),
			ratio("throughput of the burst, against the burst alone", "store per s").of(burst, alone).atLeast(0.95),
			lowest("share of the slots in use while there is only the burst", "slots used").in(alone).atLeast(0.95).quietly(),
			lowest("loyalty requests that met the burst", "loyalty count").in(burst).atLeast(10),
		},
		run: runBurst,
	}
}

func runBurst(t *testing.T, on grounds, kind string) map[string]float64 {
	size, window := burstSize()
	s := newStage(t, on, staging{partitions: 3, replicas: 1, slots: burstSlots, latency: burstLatency})
	store := stream{name: "store", topic: s.store(), parts: upTo(3), count: size}
	loyalty := stream{name: "loyalty", topic: s.loyalty(), parts: upTo(3), count: int(window.Seconds() * burstLoyalty), rate: burstLoyalty}
	figures := map[string]float64{}
	switch kind {
	case evenly:
		store.rate = float64(size) / window.Seconds()
		p := s.pour(store, loyalty)
		s.endsOf("store", p, figures)
		s.endsOf("loyalty", p, figures)
	case burst:
		p := s.pour(store, loyalty)
		s.endsOf("store", p, figures)
		over := s.arrivals.lastOf(p.events["store"])
		events := p.written()["loyalty"]
		require.NoError(t, s.arrivals.ended(events, settleLimit))
		s.arrivals.figures(s, "loyalty", dueBefore(events, over), figures)
	case alone:
		from := s.lookAtAll()
		s.endsOf("store", s.pour(store), figures)
		figures["slots used"] = s.slotUse(from, s.lookAtAll())
	}
	s.settle(figures)
	return figures
}

// lastOf is when the last of some events had its end.
func (a *arrivals) lastOf(events []*event) (last time.Time) {
	for _, e := range events {
		if at, _ := a.endOf(e); at.After(last) {
			last = at
		}
	}
	return last
}

func dueBefore(events []*event, moment time.Time) (some []*event) {
	for _, e := range events {
		if e.due.Before(moment) {
			some = append(some, e)
		}
	}
	return some
}
