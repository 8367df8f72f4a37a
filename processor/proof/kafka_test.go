//go:build integration

package proof_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// patience bounds one exchange with a broker or registry that is up already.
const patience = 60 * time.Second

func TestKafkaHidesAbortedTransactions(t *testing.T) {
	brokers := startKafka(t)
	topic := testTopic(t, brokers, "records", 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	require.NoError(t, err)
	defer producer.Close()
	for _, tx := range []struct {
		value string
		end   kgo.TransactionEndTry
	}{
		{"first", kgo.TryCommit},
		{"aborted", kgo.TryAbort},
		{"second", kgo.TryCommit},
	} {
		require.NoError(t, producer.BeginTransaction())
		require.NoError(t, producer.ProduceSync(ctx, kgo.StringRecord(tx.value)).FirstErr())
		require.NoError(t, producer.EndTransaction(ctx, tx.end))
	}

	require.Equal(t, []string{"first", "second"}, readValues(ctx, t, brokers, topic, 2, kgo.ReadCommitted()))
	require.Equal(t, []string{"first", "aborted", "second"},
		readValues(ctx, t, brokers, topic, 3, kgo.ReadUncommitted()), "the aborted record was never written")
}

// readValues reads from the start until it has n values.
func readValues(ctx context.Context, t *testing.T, brokers []string, topic string, n int, level kgo.IsolationLevel) []string {
	t.Helper()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level))
	require.NoError(t, err)
	defer consumer.Close()
	var values []string
	for len(values) < n {
		fetches := consumer.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestKafkaTakesSettingsForOneTest(t *testing.T) {
	brokers := startKafkaWith(t, map[string]string{"KAFKA_OFFSET_METADATA_MAX_BYTES": "64"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	configs, err := adminClient(t, brokers).DescribeBrokerConfigs(ctx, 1)

	require.NoError(t, err)
	config, err := configs.On("1", nil)
	require.NoError(t, err)
	settings := map[string]string{}
	for _, c := range config.Configs {
		settings[c.Key] = c.MaybeValue()
	}
	require.Equal(t, "64", settings["offset.metadata.max.bytes"])
}

func TestRegistryRefusesAnIncompatibleSchema(t *testing.T) {
	registry, err := sr.NewClient(sr.URLs(startRegistry(t)))
	require.NoError(t, err)
	subject := t.Name() + time.Now().Format("-150405.000000")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	schema := func(field string) sr.Schema {
		return sr.Schema{Schema: `{"type": "record", "name": "R", "fields": [` + field + `]}`}
	}

	for _, set := range registry.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFullTransitive}, subject) {
		require.NoError(t, set.Err)
	}
	first, err := registry.CreateSchema(ctx, subject, schema(`{"name": "a", "type": "string"}`))
	require.NoError(t, err)
	again, err := registry.CreateSchema(ctx, subject, schema(`{"name": "a", "type": "string"}`))
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)

	_, err = registry.CreateSchema(ctx, subject, schema(`{"name": "b", "type": "string"}`))

	require.Error(t, err)
	var refused *sr.ResponseError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 409, refused.StatusCode, "the body's text is the registry's own business")
}

func TestProcessIsEndedAndItsOutputKept(t *testing.T) {
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	p := runProcess(t, []string{"WORD=heard"}, shell, "-c", `trap 'echo "$WORD"; exit 7' TERM; echo ready; while :; do sleep 0.1; done`)
	require.Eventually(t, func() bool { return p.stdout.String() != "" }, patience, 10*time.Millisecond)
	require.True(t, p.running())

	require.Equal(t, 7, p.stop(t, patience))

	require.Equal(t, "ready\nheard\n", p.stdout.String())
	require.False(t, processAlive(p.cmd.Process.Pid))
}

func TestBinaryTellsItsVersion(t *testing.T) {
	p := runProcess(t, nil, buildBinary(t), "version")

	require.Zero(t, p.wait(t, patience))
	require.NotEmpty(t, p.stdout.String())
}
