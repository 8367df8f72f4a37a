//go:build apart

package proof_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	poisonSlots   = 64
	poisonLatency = 50 * time.Millisecond
	poisonRate    = 600 // a second, of all keys: half of what the slots can do
	poisonKeys    = 10_000
	poisonShare   = 0.01
)

// poisonSettings let a poisoned request be parked, come back and be given up
// within a run, so that its memory is that of a service that has broken for good.
// The backoffs are those of every run by default: what attempts it takes, each of
// which has a slot for its time, the others do without.
func poisonSettings() map[string]string {
	return map[string]string{"retry.delay": "10s", "retry.give_up_after": "20s", "retry.park_after": "15s"}
}

func poisonLength() time.Duration {
	if testing.Short() {
		return 15 * time.Second
	}
	return *lengthFlag
}

// TestApartFromPoisonedKeys has one key in a hundred answered -9999 for as long
// as the load lasts, and after it a burst that shows whether every slot is left.
func TestApartFromPoisonedKeys(t *testing.T) {
	most := float64(poisonSlots)
	measures := []caseMeasure{
		ratio("throughput of the rest at a steady rate", "rest per s").atLeast(0.95),
		ratio("p99 of the rest at a steady rate", "rest p99 s").atMost(1.5),
		ratio("throughput of the rest, 10,000 there at once", "at once per s").atLeast(0.95),
		// What the rest lacks is either taken by attempts of poisoned requests, or lost.
		ratio("share of the slots in use, 10,000 there at once", "slots used, at once").atLeast(0.98),
		lowest("calls that were answered -9999", "calls struck").atLeast(poisonLength().Seconds()),
		highest("calls in flight", "calls in flight, most").atMost(most),
	}
	if poisonLength() >= time.Minute { // what is shorter is still warming up
		measures = append(measures, highest("growth of memory, last third against middle third", "memory growth").atMost(0.1),
			lowest("poisoned requests given up as grant-unknown", "given up").atLeast(1))
	}
	trial{
		name: "poison " + poisonLength().String(), about: "one key in a hundred is answered -9999 for ever",
		kinds: []string{without, with}, settings: poisonSettings(),
		sizes: map[string]any{
			"length": poisonLength().String(), "rate": poisonRate, "keys": poisonKeys, "poisoned": poisonShare,
			"slots": poisonSlots, "latency": poisonLatency.String(), "replicas": 1,
		},
		measures: measures,
		run: func(t *testing.T, on grounds, kind string) map[string]float64 {
			return runPoison(t, on, kind, poisonKeys*poisonShare, poisonSettings())
		},
	}.hold(t)
}

// hotSettings make the windows small, so that what piles up behind one key shows
// within a run: with the default it takes sixteen times as long.
func hotSettings() map[string]string {
	all := poisonSettings()
	all["window.records"] = "256"
	return all
}

// TestApartFromAHotPoisonedKey has all that is poisoned on one key, which gets
// more requests than its lane can try.
func TestApartFromAHotPoisonedKey(t *testing.T) {
	trial{
		name: "hot key", about: "one key that gets six requests a second is answered -9999 for ever; window.records is 256",
		kinds: []string{without, with}, settings: hotSettings(),
		sizes: map[string]any{
			"length": poisonLength().String(), "rate": poisonRate, "poisoned per s": poisonRate * poisonShare,
			"slots": poisonSlots, "latency": poisonLatency.String(), "replicas": 1,
		},
		measures: []caseMeasure{
			ratio("throughput of the rest at a steady rate", "rest per s").atLeast(0.95),
			ratio("p99 of the rest at a steady rate", "rest p99 s").atMost(1.5),
			lowest("calls that were answered -9999", "calls struck").atLeast(5),
		},
		run: func(t *testing.T, on grounds, kind string) map[string]float64 {
			return runPoison(t, on, kind, 1, hotSettings())
		},
	}.hold(t)
}

func runPoison(t *testing.T, on grounds, kind string, poisonedKeys int, settings map[string]string) map[string]float64 {
	s := newStage(t, on, staging{partitions: 3, replicas: 1, slots: poisonSlots, latency: poisonLatency, settings: settings})
	figures := map[string]float64{}
	endPoison := func() float64 { return 0 }
	if kind == with {
		endPoison = s.misbehave("business -9999", "poisoned*")
	}
	length := poisonLength()
	if on.warmUp {
		length = min(length, time.Minute)
	}
	all := int(poisonRate * length.Seconds())
	poisoned := int(float64(all) * poisonShare)
	rest := stream{
		name: "rest", topic: s.store(), parts: upTo(3), count: all - poisoned,
		keys: poisonKeys * (1 - poisonShare), rate: poisonRate * (1 - poisonShare),
	}
	began := time.Now()
	p := s.pour(rest, stream{
		name: "poisoned", topic: s.store(), parts: upTo(3), count: poisoned, keys: poisonedKeys, rate: poisonRate * poisonShare,
	})
	s.endsOf("rest", p, figures)
	figures["memory growth"] = residentGrowth(s.gauges.between(began, time.Now()))

	from := s.lookAtAll()
	rest.name, rest.rate, rest.count, rest.keys = "at once", 0, 10_000, 0
	s.endsOf("at once", s.pour(rest), figures)
	figures["slots used, at once"] = s.slotUse(from, s.lookAtAll())
	if kind == with {
		s.poisonedApart(p.events["poisoned"], figures)
	}
	figures["calls struck"] = endPoison()
	s.settle(figures)
	return figures
}

// poisonedApart: no poisoned request has an end but the one that says that
// nobody knows.
func (s *stage) poisonedApart(events []*event, figures map[string]float64) {
	s.t.Helper()
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	for _, e := range events {
		if _, ended := s.arrivals.ends[e.source]; ended {
			require.Equal(s.t, "grant-unknown", s.arrivals.reasons[e.source], e.id)
			figures["given up"]++
		}
		if len(s.arrivals.parked[e.source]) > 0 {
			figures["parked"]++
		}
	}
}
