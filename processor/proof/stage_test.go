//go:build apart

package proof_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// measuredBrokers is one broker with the memory and the collector of Kafka's own
// start script. More of them would share two processors with what is measured.
func measuredBrokers() brokerSetup {
	return brokerSetup{count: 1, jvm: []string{"-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"}}
}

// grounds are what all runs of a test share.
type grounds struct {
	brokers *realBrokers
	planted string // the bug that the program has; empty: none
	warmUp  bool   // the run is not measured, and may be short
}

// staging says what one measured run needs.
type staging struct {
	partitions int32 // of each topic
	replicas   int
	slots      int           // calls in flight of each replica
	latency    time.Duration // of the gateway
	settings   map[string]string
	relayed    bool // calls pass a relay that notes their times
	noGateway  bool // it is not there yet
}

// stage is what one measured run has to itself, on brokers that all runs share:
// topics, a gateway and replicas, each a process of its own, a feeder and a
// reader.
type stage struct {
	*system
	plan     staging
	planted  string
	crew     *crew
	calls    *callLog // nil: calls are not relayed
	arrivals *arrivals
	gauges   *gauges
	feeder   *kgo.Client
	address  string // of the gateway
	sent     int    // requests
	began    time.Time
	busy     float64 // of the processors, before
	ticks    float64
}

// newStage returns once every replica is ready and has granted something.
func newStage(t *testing.T, on grounds, plan staging) *stage {
	t.Helper()
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	t.Cleanup(registry.Close)
	t.Setenv("COUPONGRANT_TEST_REGISTRY_URL", registry.URL)
	s := &stage{plan: plan, planted: on.planted, address: freeAddress(t)}
	s.system = newSystem(t, on.brokers.direct, &gateway{url: "http://" + s.address})
	s.settings["kafka.brokers"] = strings.Join(on.brokers.inner, ",")
	s.settings["kafka.session_timeout"] = "10s"
	s.settings["gateway.max_in_flight"] = strconv.Itoa(plan.slots)
	maps.Copy(s.settings, plan.settings)
	s.createTopics(int(plan.partitions))
	if !plan.noGateway {
		s.openGateway()
	}
	s.openFeeder()
	s.watch(t)
	s.open(t)
	s.began = time.Now()
	s.busy, s.ticks = processorTimes()
	return s
}

func (s *stage) openGateway() {
	s.t.Helper()
	startGateway(s.t, "--listen", s.address, "--latency", s.plan.latency.String())
}

func (s *stage) openFeeder() {
	s.t.Helper()
	var err error
	s.feeder, err = kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(1<<20), kgo.ProducerLinger(0))...)
	require.NoError(s.t, err)
	s.t.Cleanup(s.feeder.Close)
}

// watch begins to read the results and the gauges.
func (s *stage) watch(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	require.NoError(t, os.MkdirAll(logs, 0o700))
	binary := buildBinary(t)
	if s.planted != "" {
		binary = buildWith(t, s.planted)
	}
	if s.plan.relayed {
		s.calls = &callLog{trap: &trap{}}
	}
	s.crew = &crew{
		system: s.system, binary: binary, logs: logs, calls: s.calls, journal: newJournal(t, dir), target: s.address,
	}
	s.arrivals, s.gauges = newArrivals(s.system), &gauges{crew: s.crew}
	watching, stop := context.WithCancel(context.Background())
	watched := inBackground(watching, s.arrivals.run, s.gauges.run)
	t.Cleanup(func() {
		stop()
		require.NoError(t, watched())
	})
	t.Cleanup(s.crew.close)
}

// open starts the replicas, and has them do what is only done once.
func (s *stage) open(t *testing.T) {
	t.Helper()
	for i := range s.plan.replicas {
		_, err := s.crew.start(slotName(i))
		require.NoError(t, err)
	}
	for _, m := range s.crew.living("") {
		require.NoError(t, within(readyWithin, m.name+" is not ready", m.ready))
	}
	if s.plan.noGateway {
		return
	}
	s.pour(
		stream{name: "warm-store", topic: s.store(), parts: upTo(s.plan.partitions), count: 300, rate: 150},
		stream{name: "warm-loyalty", topic: s.loyalty(), parts: upTo(s.plan.partitions), count: 300, rate: 150},
	).ended(settleLimit)
}

func (s *stage) store() string   { return s.topics.Inputs[0] }
func (s *stage) loyalty() string { return s.topics.Inputs[1] }

// timeFor is what so many requests may take on a machine that is much slower
// than their calls.
func (s *stage) timeFor(requests int) time.Duration {
	return 3*settleLimit + time.Duration(requests/s.plan.slots)*s.plan.latency*5
}

// misbehave puts a rule in force and returns how to end it and to learn how many
// calls it struck, which must be some.
func (s *stage) misbehave(fault, outID string) (end func() float64) {
	s.t.Helper()
	imposed, err := s.gateway.impose(map[string]any{"fault": fault, "out_id": outID})
	require.NoError(s.t, err)
	return func() float64 {
		s.t.Helper()
		struck, err := imposed.struck()
		require.NoError(s.t, err)
		require.NoError(s.t, imposed.end())
		require.Positive(s.t, struck, "%s struck no call: the run proves nothing", fault)
		return float64(struck)
	}
}

// counted is a counter's sum over the living replicas.
func (s *stage) counted(name string) (sum float64) {
	s.t.Helper()
	for _, m := range s.crew.living("") {
		text, _, err := m.get("/metrics")
		require.NoError(s.t, err)
		sum += metricOf(text, name)
	}
	return sum
}

// settle waits until every request has its end, and holds all that is in the
// topics against the promises.
func (s *stage) settle(into map[string]float64) {
	s.t.Helper()
	if s.planted != "" {
		return // it is known that something is wrong
	}
	busy, ticks := processorTimes()
	into["processors busy"] = (busy - s.busy) / (ticks - s.ticks)
	into["calls in flight, most"] = most(s.gauges.between(s.began, time.Now()), func(g gaugeSample) float64 { return g.inFlight })
	require.NoError(s.t, within(s.timeFor(s.sent), "not every request has its end", func() bool {
		s.arrivals.mu.Lock()
		defer s.arrivals.mu.Unlock()
		return len(s.arrivals.ends) >= s.sent
	}))
	require.NoError(s.t, within(settleLimit, "call slots are lost", func() bool {
		for _, g := range s.lookAtAll() {
			if g.inFlight > 0 {
				return false
			}
		}
		return true
	}))
	report := s.balanced(s.sent)
	require.Equal(s.t, proof.Balanced, report.Verdict())
	require.Zero(s.t, s.arrivals.double)
	for _, m := range s.crew.all() {
		require.NotEqual(s.t, "by itself", m.endedBy(), "%s ended", m.name)
		if peak, err := m.peakResident(); err == nil { // else it has been stopped
			into["memory, most MiB"] = max(into["memory, most MiB"], peak/(1<<20))
		}
	}
	for _, state := range []string{"committed", "aborted", "unknown", "error"} {
		into["transactions "+state] = s.counted(`coupongrant_transactions_total{state="` + state + `"}`)
	}
}
