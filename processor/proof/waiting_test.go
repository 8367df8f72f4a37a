//go:build integration

package proof_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
)

// warnings is how many lines of warnings a replica may log in one of these
// tests: some for each outage, and none that repeats while it lasts.
const warnings = 25

// quiet requires that the log says so often, and no more, that the replica waits
// for something, and that it tells nothing over and over.
func (r *replica) quiet(kind string, times int) {
	r.s.t.Helper()
	require.Equal(r.s.t, times, r.waits(kind), "lines that say it waits for %s", kind)
	n := 0
	for _, line := range r.log() {
		if line["level"] != "INFO" {
			n++
		}
	}
	require.LessOrEqual(r.s.t, n, warnings, "a flood of warnings")
}

// waitingSystem has topics already, and a breaker that opens soon.
func waitingSystem(t *testing.T, brokers []string, partitions int) *system {
	t.Helper()
	s := newSystem(t, brokers, newGateway(t, nil))
	s.settings["gateway.timeout"], s.settings["breaker.interval"] = "2s", "10s"
	s.settings["breaker.min_calls"], s.settings["breaker.open_for"] = "5", "500ms"
	s.settings["retry.max_backoff"] = "1s"
	s.createTopics(partitions)
	return s
}

func TestItWaitsForTopicsAndSaysWhy(t *testing.T) {
	s := newSystem(t, startKafka(t), newGateway(t, nil))
	r := s.replica("a", nil)

	reason := r.comesToHold("topic")
	require.Contains(t, reason, s.topics.Inputs[0])
	require.Contains(t, reason, "topics create")
	s.createTopics(1)
	r.becomesReady()
	r.quiet("topic", 1)
	s.send(s.topics.Inputs[0], "", someRequests("first", 10, nil)...)
	require.EqualValues(t, 10, s.balanced(10).Granted)
}

func TestItWaitsForAResultTopicAndSaysWhy(t *testing.T) {
	s := waitingSystem(t, startKafka(t), 1)
	deleted, err := adminClient(t, s.brokers).DeleteTopics(t.Context(), s.topics.Granted)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	r := s.replica("a", nil)

	reason := r.comesToHold("topic")
	require.Contains(t, reason, s.topics.Granted+" missing")
	require.NotContains(t, reason, s.topics.Inputs[0])
	s.createTopics(1)
	r.becomesReady()
	r.quiet("topic", 1)
	s.send(s.topics.Inputs[0], "", someRequests("first", 10, nil)...)
	require.EqualValues(t, 10, s.balanced(10).Granted)
}

func TestItWaitsForTheRegistryAndSaysWhy(t *testing.T) {
	s := waitingSystem(t, startKafka(t), 1)
	base, err := url.Parse(s.registry)
	require.NoError(t, err)
	way := newRelay(t, base.Host)
	base.Host = way.address()
	s.settings["registry.url"] = base.String()
	way.cut()
	r := s.replica("a", nil)

	require.Contains(t, r.comesToHold("registry"), "registry.url")
	require.Positive(t, way.resets.Load())
	way.mend()
	r.becomesReady()
	s.send(s.topics.Inputs[0], "", someRequests("known", 5, nil)...)
	s.balanced(5)
	r.quiet("registry", 1)

	way.cut()
	before := way.resets.Load()
	newForeign(s.brokers, s.registry).produce(t, s.topics.Inputs[0], []foreignLine{{"writer": "newer", "value": foreignRequest("newer")}})
	require.Contains(t, r.comesToHold("registry"), "others go on")
	s.send(s.topics.Inputs[0], "", someRequests("meanwhile", 5, nil)...)
	s.eventually("known schemas must go on", func() bool { return s.report().Granted == 10 })
	require.Greater(t, way.resets.Load(), before)
	way.mend()
	require.EqualValues(t, 11, s.balanced(11).Granted)
	r.becomesReady()
	r.quiet("registry", 2)
}

func TestItWaitsForTheGatewayAndSaysWhy(t *testing.T) {
	s := waitingSystem(t, startKafka(t), 1)
	way := newRelay(t, strings.TrimPrefix(s.gateway.url, "http://"))
	s.settings["gateway.url"] = "http://" + way.address() + "/router/rest"
	way.cut()
	s.send(s.topics.Inputs[0], "", someRequests("down-at-start", 20, nil)...)
	r := s.replica("a", nil)

	for outage := 1; outage <= 2; outage++ {
		require.Contains(t, r.comesToHold("gateway"), "gateway.url")
		before := way.resets.Load()
		s.eventually("the gateway must be probed", func() bool { return way.resets.Load() >= before+3 })
		way.mend()
		require.EqualValues(t, 20*outage, s.balanced(20*outage).Granted)
		r.becomesReady()
		r.quiet("gateway", outage)
		way.cut()
		s.send(s.topics.Inputs[0], "", someRequests(fmt.Sprint("outage-", outage), 20, nil)...)
	}
	way.mend()
	require.EqualValues(t, 60, s.balanced(60).Granted)
}

func TestItWaitsForBrokersAndSaysWhy(t *testing.T) {
	b := startFreezable(t)
	s := waitingSystem(t, b.brokers, 1)
	b.freeze()
	r := s.replica("a", nil)

	require.Contains(t, r.comesToHold("kafka"), "kafka.brokers")
	b.thaw()
	r.becomesReady()
	r.quiet("kafka", 1)
	s.send(s.topics.Inputs[0], "", someRequests("first", 10, nil)...)
	s.balanced(10)

	b.freeze()
	require.NotEmpty(t, r.comesToHold("kafka"))
	b.thaw()
	r.becomesReady()
	r.quiet("kafka", 2)
	s.send(s.topics.Inputs[0], "", someRequests("second", 10, nil)...)
	require.EqualValues(t, 20, s.balanced(20).Granted)
}

// freezable is a broker of a test's own that can be stopped in its tracks:
// connections stay, and nothing is answered.
type freezable struct {
	t       *testing.T
	id      string
	brokers []string
	engine  *testcontainers.DockerClient
}

func startFreezable(t *testing.T) *freezable {
	t.Helper()
	if os.Getenv("COUPONGRANT_TEST_BROKERS") != "" {
		t.Skip("the brokers of COUPONGRANT_TEST_BROKERS are not ours to stop")
	}
	container, brokers, err := runKafka(t.Context(), nil)
	testcontainers.CleanupContainer(t, container)
	require.NoError(t, err, "starting real Kafka")
	engine, err := testcontainers.NewDockerClientWithOpts(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = engine.Close() })
	b := &freezable{t: t, id: container.GetContainerID(), brokers: brokers, engine: engine}
	t.Cleanup(func() { // a frozen container cannot be removed everywhere
		_, _ = engine.ContainerUnpause(context.Background(), b.id, client.ContainerUnpauseOptions{})
	})
	return b
}

func (b *freezable) freeze() {
	b.t.Helper()
	_, err := b.engine.ContainerPause(b.t.Context(), b.id, client.ContainerPauseOptions{})
	require.NoError(b.t, err)
}

func (b *freezable) thaw() {
	b.t.Helper()
	_, err := b.engine.ContainerUnpause(b.t.Context(), b.id, client.ContainerUnpauseOptions{})
	require.NoError(b.t, err)
}
