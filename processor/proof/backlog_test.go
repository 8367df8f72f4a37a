//go:build apart

package proof_test

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	backlogSlots     = 64
	backlogLatency   = 20 * time.Millisecond
	backlogWindow    = 4 << 20 // bytes: what one partition may have taken in
	backlogNeighbour = 30      // requests a second on the other partitions, of each topic
	backlogPrompt    = 5 * time.Second
)

func backlogSettings() map[string]string {
	return map[string]string{
		"window.bytes": strconv.Itoa(backlogWindow), "breaker.open_for": "500ms", "retry.max_backoff": "1s", "gateway.timeout": "2s", "breaker.interval": "10s", "stop_timeout": "10s",
	}
}

// backlogSize is the backlog, and for how long the neighbours' requests come.
func backlogSize() (requests int, neighbours time.Duration) {
	if testing.Short() {
		return 20_000, 25 * time.Second
	}
	return 300_000, 75 * time.Second
}

// TestApartFromABacklog has one partition full to the brim while the gateway is
// away, and looks at the others when it is back.
func TestApartFromABacklog(t *testing.T) { backlogTrial().hold(t) }

func backlogTrial() trial {
	size, neighbours := backlogSize()
	return trial{
		name: "backlog", about: "a backlog on one partition while the gateway is away, then worked off; the other partitions' requests come steadily",
		kinds: []string{without, with}, settings: backlogSettings(),
		sizes: map[string]any{
			"backlog": size, "bytes each": backlogExtra, "neighbours per s": 2 * backlogNeighbour, "neighbours for": neighbours.String(),
			"slots": backlogSlots, "latency": backlogLatency.String(), "replicas": 1,
		},
		measures: []caseMeasure{
			highest("most memory of the replica, MiB", "memory, most MiB").atMost(backlogMemory),
			highest("MiB in its windows", "window, most MiB").atMost((backlogWindow + (1000+1000)*backlogRecord) / float64(1<<20)), // one poll, and the neighbours'
			lowest("records of the backlog that were not taken in when the gateway came back", "backlog left").atLeast(float64(size) / 2),
			highest("seconds after the gateway's return until the last neighbour that waited has its end", "waiting max s").atMost(backlogPrompt.Seconds()),
			difference("p99 of neighbours in the same topic that come while the backlog is worked off, s", "neighbours p99 s").atMost(1),
			difference("p99 of requests of the other topic that come meanwhile, s", "loyalty p99 s").atMost(1),
			lowest("neighbours that came meanwhile", "neighbours count").atLeast(50),
			lowest("throughput of the backlog", "backlog per s").atLeast(1),
		},
		run: runBacklog,
	}
}

const (
	backlogExtra  = 4000                  // bytes: large enough that bytes fill the window, not records
	backlogRecord = 2*backlogExtra + 2000 // as the windows count them
	backlogMemory = 256                   // MiB
)

func runBacklog(t *testing.T, on grounds, kind string) map[string]float64 {
	size, lasting := backlogSize()
	s := newStage(t, on, staging{
		partitions: 3, replicas: 1, slots: backlogSlots, latency: backlogLatency, settings: backlogSettings(), noGateway: true,
	})
	figures := map[string]float64{}
	backlog := &pouring{stage: s}
	if kind == with {
		backlog = s.pour(stream{name: "backlog", topic: s.store(), parts: []int32{0}, count: size, extra: backlogExtra})
		backlog.written()
	}
	began := time.Now()
	count := int(backlogNeighbour * lasting.Seconds())
	others := s.pour(
		stream{name: "neighbours", topic: s.store(), parts: []int32{1, 2}, count: count, rate: backlogNeighbour},
		stream{name: "loyalty", topic: s.loyalty(), parts: upTo(3), count: count, rate: backlogNeighbour},
	)
	s.outage(kind, began, figures)
	s.openGateway()
	back := time.Now()
	if kind == with {
		figures["backlog left"] = float64(size) - s.counted(`coupongrant_records_polled_total{topic="`+s.store()+`"}`)
	}
	all := others.ended(s.timeFor(s.sent))
	over := time.Now()
	if kind == with {
		s.endsOf("backlog", backlog, figures)
		over = s.arrivals.lastOf(backlog.events["backlog"])
		figures["backlog per s"] = float64(size) / over.Sub(back).Seconds()
	}
	figures["window, most MiB"] = most(s.gauges.between(began, time.Now()), func(g gaugeSample) float64 { return g.windowBytes }) / (1 << 20)
	for name, events := range maps.All(all) {
		waiting := s.arrivals.lastOf(dueBefore(events, back)).Sub(back)
		figures["waiting max s"] = max(figures["waiting max s"], waiting.Seconds())
		s.arrivals.figures(s, name, dueBetween(events, back.Add(backlogPrompt), over), figures)
	}
	s.settle(figures)
	return figures
}

// outage lasts until the neighbours wait, and the window of the backlog is full.
func (s *stage) outage(kind string, began time.Time, figures map[string]float64) {
	s.t.Helper()
	full := 0.0
	if kind == with {
		full = backlogWindow
	}
	require.NoError(s.t, within(settleLimit, "the windows do not fill", func() bool {
		figures["outage s"] = time.Since(began).Seconds()
		now := s.lookAtAll()[0]
		return now.windowBytes >= full && now.unfinished >= backlogNeighbour && figures["outage s"] >= 5
	}))
	require.Empty(s.t, s.arrivals.snapshot(), "a gateway that is away has answered")
}

func dueBetween(events []*event, from, to time.Time) (some []*event) {
	for _, e := range dueBefore(events, to) {
		if !e.due.Before(from) {
			some = append(some, e)
		}
	}
	return some
}
