//go:build integration

package proof_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// A broker that takes 64 bytes of commit metadata has no room for the finished
// set of many gaps. Ends behind requests without answers are published later
// then, but everybody is called as soon as ever.
func TestSmallCommitMetadataDelaysEndsAndNoCalls(t *testing.T) {
	const each = 120
	brokers := startKafkaWith(t, map[string]string{"KAFKA_OFFSET_METADATA_MAX_BYTES": "64"})
	s := newSystem(t, brokers, newGateway(t, nil))
	s.settings["gateway.timeout"], s.settings["stop_timeout"], s.settings["breaker.interval"] = "60s", "70s", "5m"
	s.createTopics(1)
	stalled := s.gateway.On(topsim.Match{OutID: "slow-*"}, topsim.Stall(20*time.Second)).Always()
	r := s.replica("a", nil)
	r.becomesReady()
	slow, quick := someRequests("slow", each, nil), someRequests("quick", each, nil)
	for i := range each {
		s.send(s.topics.Inputs[0], "", slow[i], quick[i])
	}

	s.eventually("everybody must be called while the slow hang", func() bool {
		return stalled.Count() == each && s.gateway.Stats().Grants >= each
	})
	s.eventually("the limit must be met", func() bool { return strings.Contains(r.stderr.String(), "the brokers refuse so much commit metadata") })
	require.Positive(t, s.gateway.Stats().Concurrent, "the slow ones must hang until now")

	require.EqualValues(t, 2*each, s.balanced(2*each).Granted)
	require.Zero(t, r.waits("metadata"), "there was room for less")
	for _, e := range s.gateway.Ledger().Entries() {
		require.EqualValues(t, 1, e.Calls, e.OutID)
	}
}

// Brokers before transaction version 2 are warned of, or refused if
// kafka.require_tv2 says so.
func TestOlderTransactionVersionIsToldOrRefused(t *testing.T) {
	const requests = 200
	brokers := startKafkaWith(t, nil)
	downgradeTransactions(t, brokers)
	s := newSystem(t, brokers, newGateway(t, nil))
	s.createTopics(2)

	refused := runProcess(t, s.environment(map[string]string{"kafka.require_tv2": "true"}), buildBinary(t), "run")
	require.Equal(t, 1, refused.wait(t, settleLimit))
	require.Contains(t, refused.stderr.String(), "kafka.require_tv2 is true")

	r := s.replica("a", nil)
	r.becomesReady()
	s.do("produce", "--count", "200")
	s.balanced(requests)
	require.Contains(t, r.stderr.String(), "the brokers do not run transaction version 2")
	require.Zero(t, r.stop(t, settleLimit))
}

// downgradeTransactions sets a broker back to the transactions of Kafka 3.
func downgradeTransactions(t *testing.T, brokers []string) {
	t.Helper()
	const safe = 2 // the upgrade type of KIP-584 that loses nothing
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	update.Feature, update.MaxVersionLevel, update.UpgradeType = "transaction.version", 1, safe
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.FeatureUpdates = append(req.FeatureUpdates, update)
	answer, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Zero(t, answer.ErrorCode, "%v", answer)
	require.Eventually(t, func() bool {
		versions, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), client)
		if err != nil {
			return false
		}
		for _, f := range versions.FinalizedFeatures {
			if f.Name == update.Feature {
				return f.MaxVersionLevel == 1
			}
		}
		return false
	}, patience, lookEvery, "the broker must take it up")
}

// The consumer group protocol of KIP-848: no hand-over, so calls may be
// repeated; nothing is lost or doubled.
func TestConsumerProtocolSurvivesAKill(t *testing.T) {
	const count = 4000
	brokers := startKafkaWith(t, map[string]string{
		"KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "1000", "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "3000",
		"KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "500", "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "500",
	})
	s := newSystem(t, brokers, startGateway(t, "--latency", "20ms"))
	s.settings["kafka.group_protocol"], s.settings["gateway.max_in_flight"] = "consumer", "32"
	s.createTopics(4)
	victim := s.replica("a", nil)
	victim.becomesReady()

	s.do("produce", "--count", "4000")
	s.eventually("a tenth must be granted", func() bool { return s.gateway.counts(t).Grants >= count/10 })
	s.replica("b", nil).becomesReady() // joins under load
	s.eventually("a fifth must be granted", func() bool { return s.gateway.counts(t).Grants >= count/5 })
	victim.kill()
	before := s.gateway.counts(t)
	require.Less(t, before.Grants, int64(count), "the kill came when all was over")

	report := s.balanced(count)
	require.EqualValues(t, count, report.Granted)
	require.Zero(t, s.gateway.counts(t).Violations)
	admin := adminClient(t, brokers)
	groups, err := admin.DescribeConsumerGroups(t.Context(), s.group)
	require.NoError(t, err)
	require.NoError(t, groups.Error())
	require.NotEmpty(t, groups[s.group].Members, "it must be a group of that protocol")
}
