//go:build apart

package proof_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// killed is a run in which a process is killed.
const killed = "killed"

func silenceKilledSettings() map[string]string {
	all := silenceSettings()
	all["retry.park_after"] = "20s" // it must stay unparked until the kill
	return all
}

// TestApartFromASilentRequestThroughAKill kills the process while the ends of
// others are committed above the silent request, which holds the watermark.
func TestApartFromASilentRequestThroughAKill(t *testing.T) { silenceKilledTrial().hold(t) }

func silenceKilledTrial() trial {
	return trial{
		name: "silence killed", about: "kill -9 while a request is silent and the ends of others are committed above it",
		kinds: []string{killed}, settings: silenceKilledSettings(),
		sizes: silenceSizes(),
		measures: []caseMeasure{
			highest("calls repeated of requests whose end was committed before the kill", "repeated of ended").in(killed).atMost(0),
			lowest("ends committed above the silent request, at the kill", "ended above").in(killed).atLeast(1000),
			highest("calls repeated of requests without a committed end", "repeated of others").in(killed).atMost(2 * silenceSlots), // what can be on its way
		},
		run: func(t *testing.T, on grounds, _ string) map[string]float64 {
			return runSilenceKilled(t, on)
		},
	}
}

func runSilenceKilled(t *testing.T, on grounds) map[string]float64 {
	s := newStage(t, on, staging{
		partitions: 3, replicas: 1, slots: silenceSlots, latency: silenceLatency, settings: silenceKilledSettings(),
	})
	admin := adminClient(t, s.brokers)
	endSilence := s.misbehave("stall", "silent*")
	count, rate := silenceOthers()
	p := s.pour(
		stream{name: "others", topic: s.store(), parts: []int32{0}, count: count, rate: rate, after: time.Second},
		stream{name: "silent", topic: s.store(), parts: []int32{0}, count: 1},
	)
	require.NoError(t, within(settleLimit, "too few ends", func() bool { return len(s.arrivals.snapshot()) >= s.sent-count*2/3 }))
	s.crew.living("")[0].kill("kill -9")
	require.NoError(t, s.arrivals.caughtUp(t.Context(), admin, settleLimit))
	ended, before := s.arrivals.snapshot(), s.gateway.entries(t)
	watermark := s.watermark(admin, s.store(), 0)
	_, err := s.crew.start(slotName(0))
	require.NoError(t, err)

	events := p.written()
	silent := events["silent"][0]
	require.LessOrEqual(t, watermark, silent.source.offset, "the silent request did not hold the watermark: the run proves nothing")
	require.NoError(t, s.arrivals.ended(events["others"], settleLimit))
	after := s.gateway.entries(t)
	figures := map[string]float64{"repeated of ended": 0, "repeated of others": 0, "ended above": 0}
	for _, e := range events["others"] {
		calls := after[e.id].Calls
		switch _, over := ended[e.source]; {
		case over && e.source.offset > silent.source.offset:
			figures["ended above"]++
			fallthrough
		case over:
			figures["repeated of ended"] += float64(calls - before[e.id].Calls)
		default:
			figures["repeated of others"] += float64(calls - 1)
		}
	}
	figures["calls struck"] = endSilence()
	s.settle(figures)
	return figures
}

// snapshot is what has its end by now.
func (a *arrivals) snapshot() map[position]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.ends)
}

// watermark is what the group has committed of a partition.
func (s *stage) watermark(admin *kadm.Client, topic string, partition int32) int64 {
	s.t.Helper()
	offsets, err := admin.FetchOffsets(s.t.Context(), s.group)
	require.NoError(s.t, err)
	at, ok := offsets.Lookup(topic, partition)
	require.True(s.t, ok)
	return at.At
}
