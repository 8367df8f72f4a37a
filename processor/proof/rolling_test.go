//go:build apart

package proof_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	rollingReplicas   = 4
	rollingPartitions = 8
	rollingSlots      = 32
	rollingLatency    = 50 * time.Millisecond
	rollingRate       = 150              // requests a second, of each topic
	rollingBefore     = 5 * time.Second  // of quiet load
	rollingAfter      = 5 * time.Second  // from when the last is ready
	rollingLoad       = 60 * time.Second // it must outlast the restarts

	quietly = "quiet"
	rolled  = "rolling"
)

// TestApartFromARollingRestart restarts four replicas one after the other under
// a steady load.
func TestApartFromARollingRestart(t *testing.T) {
	trial{
		name: "rolling restart", about: "four replicas are restarted one after the other, under a steady load",
		kinds: []string{quietly, rolled}, settings: map[string]string{"kafka.heartbeat_interval": "500ms"},
		sizes: map[string]any{
			"replicas": rollingReplicas, "partitions": rollingPartitions, "rate": 2 * rollingRate,
			"slots": rollingSlots, "latency": rollingLatency.String(),
		},
		measures: []caseMeasure{
			difference("p99 of requests from the first SIGTERM to 5 s after the last is ready, s", "meanwhile p99 s").of(rolled, quietly).atMost(2),
			highest("calls begun after the request's end was visible", "called after end").in(rolled).atMost(0),
			lowest("replicas that were restarted", "restarts").in(rolled).atLeast(rollingReplicas),
			lowest("requests meanwhile", "meanwhile count").in(rolled).atLeast(100),
		},
		run: runRolling,
	}.hold(t)
}

func runRolling(t *testing.T, on grounds, kind string) map[string]float64 {
	s := newStage(t, on, staging{
		partitions: rollingPartitions, replicas: rollingReplicas, slots: rollingSlots, latency: rollingLatency, relayed: true,
	})
	figures := map[string]float64{}
	began := time.Now()
	count := int(rollingRate * rollingLoad.Seconds())
	p := s.pour(
		stream{name: "store", topic: s.store(), parts: upTo(rollingPartitions), count: count, rate: rollingRate, keys: 500},
		stream{name: "loyalty", topic: s.loyalty(), parts: upTo(rollingPartitions), count: count, rate: rollingRate, keys: 500},
	)
	time.Sleep(rollingBefore) // of load like that before it
	from, to := time.Now(), began.Add(rollingLoad)
	if kind == rolled {
		s.rollingRestart(figures)
		to = time.Now().Add(rollingAfter)
		require.True(t, to.Before(began.Add(rollingLoad)), "the load did not outlast the restarts: the run proves nothing")
	}
	events := p.ended(settleLimit)
	all := append(events["store"], events["loyalty"]...)
	s.arrivals.figures(s, "meanwhile", dueBetween(all, from, to), figures)
	s.calledAfterEnd(all, figures)
	s.settle(figures)
	return figures
}

// rollingRestart replaces one replica after the other, each when the one before
// is ready.
func (s *stage) rollingRestart(figures map[string]float64) {
	s.t.Helper()
	began := time.Now()
	for _, m := range s.crew.living("") {
		require.NoError(s.t, m.stop())
		next, err := s.crew.start(m.slot)
		require.NoError(s.t, err)
		require.NoError(s.t, within(readyWithin, next.name+" is not ready", next.ready))
		figures["restarts"]++
	}
	figures["restarting s"] = time.Since(began).Seconds()
}

// calledAfterEnd counts calls that began when a reader had seen the request's
// end already, and those beyond the first of each.
func (s *stage) calledAfterEnd(events []*event, figures map[string]float64) {
	ends := map[string]time.Time{}
	for _, e := range events {
		ends[e.id], _ = s.arrivals.endOf(e)
	}
	figures["called after end"], figures["called again"] = 0, 0
	calls := map[string]int{}
	for _, c := range s.calls.all() {
		end, ours := ends[c.outID]
		if !ours {
			continue
		}
		if calls[c.outID]++; calls[c.outID] > 1 {
			figures["called again"]++
		}
		if c.began.After(end) {
			figures["called after end"]++
		}
	}
	figures["calls seen"] = float64(len(calls))
}
