//go:build integration

package proof_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// What docs/operations.md says of things that are lost, where it is Kafka's
// behaviour.

// leaveOpen is what a replica leaves that dies within a transaction: a record in
// the granted topic and an offset of the group, and nobody who ends it.
func (s *system) leaveOpen(transactionalID string, timeout time.Duration) {
	s.t.Helper()
	client, err := kgo.NewClient(append(s.options(), kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(timeout))...)
	require.NoError(s.t, err)
	s.t.Cleanup(client.Close) // which ends no transaction
	require.NoError(s.t, client.BeginTransaction())
	require.NoError(s.t, client.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Granted, Value: []byte("half")}).FirstErr())
	topics, err := adminClient(s.t, s.brokers).ListTopics(s.t.Context(), s.topics.Inputs[0])
	require.NoError(s.t, err)
	id, epoch, err := client.ProducerID(s.t.Context())
	require.NoError(s.t, err)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = transactionalID, s.group, id, epoch
	topic, at := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
	topic.Topic, topic.TopicID = s.topics.Inputs[0], topics[s.topics.Inputs[0]].ID
	topic.Partitions = append(topic.Partitions, at)
	req.Topics = append(req.Topics, topic)
	answer, err := req.RequestWith(s.t.Context(), client)
	require.NoError(s.t, err)
	require.Zero(s.t, answer.Topics[0].Partitions[0].ErrorCode)
}

// transaction is the state of the one that was left open.
func (s *system) transaction(id string) string {
	s.t.Helper()
	described, err := adminClient(s.t, s.brokers).DescribeTransactions(s.t.Context(), id)
	require.NoError(s.t, err)
	return described[id].State
}

func TestKafkaEndsWhatALostTransactionalIDLeftOpen(t *testing.T) {
	t.Run("when its time is up", func(t *testing.T) {
		s := newSystem(t, startKafka(t), newGateway(t, nil))
		s.createTopics(1)
		s.leaveOpen(s.group+".lost", 5*time.Second)
		s.send(s.topics.Inputs[0], "", someRequests("waits", 10, nil)...)
		s.replica("new", nil)
		s.eventually("all must be called", func() bool { return s.gateway.Stats().Grants == 10 })
		require.NotEqual(t, "Ongoing", s.transaction(s.group+".lost"), "nobody is called before it is over")
		require.EqualValues(t, 10, s.balanced(10).Granted)
	})
	t.Run("at once when the old name comes back", func(t *testing.T) {
		s := newSystem(t, startKafka(t), newGateway(t, nil))
		s.createTopics(1)
		s.leaveOpen(s.group+".lost", 10*time.Minute)
		s.send(s.topics.Inputs[0], "", someRequests("waits", 10, nil)...)
		s.replica("new", nil).becomesReady()
		require.Never(t, func() bool { return s.gateway.Stats().Calls > 0 }, 10*time.Second, lookEvery)
		require.Equal(t, "Ongoing", s.transaction(s.group+".lost"))
		s.replica("lost", nil)
		require.EqualValues(t, 10, s.balanced(10).Granted)
	})
}

// An idle fleet keeps its group for longer than offsets.retention.minutes, and goes
// on although its transactional ids have expired; a stopped one loses the group.
// Then what the page says is done as it stands there.
func TestGroupOfAStoppedFleetExpiresAndIsGoneOnFromAsThePageSays(t *testing.T) {
	if testing.Short() {
		t.Skip("brokers keep offsets for whole minutes: this takes several")
	}
	const retention = time.Minute
	brokers := startKafkaWith(t, map[string]string{
		"KAFKA_OFFSETS_RETENTION_MINUTES": "1", "KAFKA_OFFSETS_RETENTION_CHECK_INTERVAL_MS": "1000",
		"KAFKA_TRANSACTIONAL_ID_EXPIRATION_MS": "20000", "KAFKA_TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
	})
	s := newSystem(t, brokers, newGateway(t, nil))
	s.createTopics(2)
	r := s.replica("a", nil)
	r.becomesReady()
	s.send(s.topics.Inputs[0], "", someRequests("before", 5, nil)...)
	s.balanced(5)
	forgotten := func() bool {
		offsets, err := adminClient(t, brokers).FetchOffsets(t.Context(), s.group)
		require.NoError(t, err)
		return len(offsets) == 0
	}
	require.Never(t, forgotten, retention+15*time.Second, time.Second, "a member is there")
	require.Empty(t, s.transaction(s.group+".a"), "its transactional id must have expired")
	s.send(s.topics.Inputs[0], "", someRequests("idle", 5, nil)...)
	s.balanced(10)
	require.Zero(t, r.stop(t, settleLimit))
	require.NoError(t, within(3*retention, "nobody is there, and its offsets must have expired", forgotten))

	s.runPage()
	held := s.replica("a", nil)
	require.Contains(t, held.comesToHold("metadata"), "if nothing else commits for this group, start with --accept-foreign-offsets to go on at offset 0 without it")
	calls := s.gateway.Stats().Calls
	require.Zero(t, held.stop(t, settleLimit))
	require.Equal(t, calls, s.gateway.Stats().Calls)
	s.replica("a", nil, "--accept-foreign-offsets").becomesReady()
	s.eventually("all must end again", func() bool { return s.report().Granted == 20 })
	require.EqualValues(t, 10, s.report().Violations[proof.Doubled].Total)
	require.EqualValues(t, 10, s.gateway.Stats().Grants, "one coupon each")
}

// runPage runs what docs/operations.md has for a lost group, with the names of this
// system.
func (s *system) runPage() {
	s.t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(s.t, err)
	script := regexp.MustCompile(`(?s)python3 - <<'PY'[^\n]*\n(.*?)\nPY\n`).FindSubmatch(page)
	require.NotNil(s.t, script)
	text := string(script[1])
	for there, here := range map[string]string{
		`"BROKER"`: `"` + strings.Join(s.brokers, ",") + `"`, `"coupongrant"`: `"` + s.group + `"`,
		`"coupon-grant-requested.store"`: `"` + s.topics.Inputs[0] + `"`, `"coupon-grant-requested.loyalty"`: `"` + s.topics.Inputs[1] + `"`,
		`"coupon-grant-retry"`: `"` + s.topics.Retry + `"`,
	} {
		require.Equal(s.t, 1, strings.Count(text, there), there)
		text = strings.ReplaceAll(text, there, here)
	}
	p := runProcess(s.t, nil, python(s.t), "-c", text)
	require.Zero(s.t, p.wait(s.t, settleLimit), p.stderr.String())
	offsets, err := adminClient(s.t, s.brokers).FetchOffsets(s.t.Context(), s.group)
	require.NoError(s.t, err)
	var told []string
	for _, o := range offsets.Sorted() {
		require.Contains(s.t, o.Metadata, "lost") // that client writes a zero behind it
		told = append(told, o.Topic)
	}
	require.Len(s.t, told, 6, "every partition of the three that are read")
	require.Len(s.t, slices.Compact(told), 3)
}
