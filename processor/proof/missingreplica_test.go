//go:build chaos

package proof_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// A topic of results asks for more replicas than there are (NOT_ENOUGH_REPLICAS), while
// the topics of the coordinators have all that they need. It takes no results then, and no
// marker of the abort of those either, for much longer than a transaction may take. The
// gateway refuses whoever is called a second time.
func TestResultsAreKeptWhileAReplicaIsMissing(t *testing.T) {
	const requests = 20
	b := startBrokers(t, t.TempDir(), brokerSetup{count: brokerCount, jvm: smallJVM()})
	t.Setenv("COUPONGRANT_TEST_REGISTRY_URL", newRegistrySwitch(t).url)
	s := newSystem(t, b.direct, newGateway(t, func(c *topsim.Config) { c.Replay = topsim.ReplayRefuse }))
	s.createTopics(1)
	all := "3"
	altered, err := b.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.insync.replicas", Value: &all}}, s.topics.Granted)
	require.NoError(t, err)
	for _, topic := range altered {
		require.NoError(t, topic.Err)
	}
	r := s.replica("a", nil)
	r.becomesReady()
	s.send(s.topics.Inputs[0], "", someRequests("before", 1, nil)...)
	s.balanced(1)

	require.NoError(t, b.kill(2))
	require.NoError(t, within(leaderMoveTime, "the broker is not missed", func() bool {
		return b.allPartitions(func(p kmsg.MetadataResponseTopicPartition) bool {
			return p.ErrorCode == 0 && len(p.ISR) == brokerCount-1
		})
	}))
	s.send(s.topics.Inputs[0], "", someRequests("without it", requests, nil)...)
	held := func() bool { // by a transaction whose marker is missing, or by results that are not taken
		_, holds := r.readiness()
		return slices.ContainsFunc(holds, func(h hold) bool {
			return strings.Contains(h.Reason, "min.insync.replicas")
		})
	}
	s.eventually("a hold must say why", held)
	time.Sleep(12 * transactionTimeout)
	require.True(t, held())
	require.NoError(t, b.start(2))

	require.EqualValues(t, 1+requests, s.balanced(1+requests).Granted)
	require.EqualValues(t, 1+requests, s.gateway.counts(t).Calls, "each is called once")
	r.becomesReady()
}
