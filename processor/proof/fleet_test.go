//go:build integration

package proof_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// TestTwoReplicasSurviveAKill is the promise as a user can try it, with nothing
// but the program's own commands.
func TestTwoReplicasSurviveAKill(t *testing.T) {
	const count = 10_000
	brokers := startKafka(t)
	s := newSystem(t, brokers, startGateway(t, "--latency", "20ms"))
	s.createTopics(4)
	foreign := foreignLines()
	newForeign(brokers, s.registry).produce(t, s.topics.Inputs[0], foreign)
	s.settings["gateway.max_in_flight"] = "32"
	victim, other := s.replica("a", nil), s.replica("b", nil)
	victim.becomesReady()
	other.becomesReady()

	s.do("produce", "--count", strconv.Itoa(count))
	s.eventually("a fifth must be granted", func() bool { return s.gateway.counts(t).Grants >= count/5 })
	victim.kill()
	before := s.gateway.counts(t)
	s.replica("a", nil)

	audit := s.audit("--wait", settleLimit.String())
	require.Equal(t, proof.Balanced, audit.Verdict())
	require.EqualValues(t, count+len(foreign), audit.Requests)
	require.Equal(t, audit.Requests, audit.Granted)
	require.Less(t, before.Grants, audit.Granted, "the kill came when all was over")
	after := s.gateway.counts(t)
	require.Positive(t, after.Replays, "the kill met no call in flight and no grant that was not committed")
	require.Zero(t, after.Violations)
	ledger := s.gateway.entries(t)
	require.Len(t, ledger, count+len(foreign))
	for id, e := range ledger {
		require.Equal(t, 1, e.Grants, id)
	}
	for _, line := range foreign {
		require.Contains(t, ledger, line["value"].(map[string]any)["request_id"])
	}
}

// audit runs the command, which must find nothing wrong, and returns its report.
func (s *system) audit(args ...string) proof.Report {
	s.t.Helper()
	var report proof.Report
	out := s.do(append([]string{"audit", "--json", "--ledger", s.gateway.url}, args...)...)
	require.NoError(s.t, json.Unmarshal([]byte(out), &report))
	return report
}
