//go:build integration

package proof_test

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// testTopics makes one input and two result topics and registers our schemas.
func testTopics(t *testing.T, brokers []string, registry string) (schemas.Topics, *schemas.Registry) {
	t.Helper()
	topics := schemas.Topics{
		Inputs:  []string{testTopic(t, brokers, "requested", 1)},
		Granted: testTopic(t, brokers, "granted", 1),
		Failed:  testTopic(t, brokers, "failed", 1),
	}
	reg, err := schemas.NewRegistry(schemas.RegistryConfig{URL: registry})
	require.NoError(t, err)
	t.Cleanup(reg.Close)
	require.NoError(t, reg.Register(t.Context(), topics))
	return topics, reg
}

func TestCodecReadsWhatForeignProducersWrite(t *testing.T) {
	brokers, registry := startKafka(t), startRegistry(t)
	topics, reg := testTopics(t, brokers, registry)
	team, codec := newForeign(brokers, registry), schemas.NewCodec(reg, schemas.Rules{})
	writers := []string{"current", "older", "newer"}
	var lines []foreignLine
	for _, writer := range writers {
		lines = append(lines, foreignLine{"writer": writer, "value": foreignRequest(writer)})
	}
	team.produce(t, topics.Inputs[0], lines)

	for i, record := range team.consume(t, len(writers), patience, topics.Inputs[0]) {
		require.NoError(t, reg.Fetch(t.Context(), int(binary.BigEndian.Uint32(record.Raw[1:5]))))
		got, err := codec.Decode(record.Raw)
		require.NoError(t, err, writers[i])
		require.Equal(t, schemas.Request{
			RequestID: writers[i], OccurredAt: time.UnixMilli(1_700_000_000_123).UTC(), BizCode: "biz",
			OpenID: schemas.NewOpenID("AAF-" + writers[i]), Channel: "store", CouponCode: "c0ffee", CouponType: 276,
		}, got)
	}
}

func TestForeignReadersUnderstandOutcomes(t *testing.T) {
	brokers, registry := startKafka(t), startRegistry(t)
	topics, reg := testTopics(t, brokers, registry)
	codec := schemas.NewCodec(reg, schemas.Rules{})
	ending := schemas.Ending{
		RequestID: "r1", OccurredAt: time.UnixMilli(1).UTC(), EndedAt: time.UnixMilli(2).UTC(), BizCode: "biz",
		Channel: "store", CouponCode: "c0ffee", CouponType: 247, Attempts: 1,
		AttemptLog: []schemas.Attempt{{At: time.UnixMilli(2).UTC(), Code: "-7", About: "request"}},
	}
	granted, err := codec.EncodeOutcome(&schemas.Granted{Ending: ending, Coupon: schemas.Coupon{InstanceID: 7091800003790954041}})
	require.NoError(t, err)
	failed, err := codec.EncodeOutcome(&schemas.Failed{Ending: ending, Reason: schemas.ReasonLimitReached})
	require.NoError(t, err)
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer producer.Close()
	require.NoError(t, producer.ProduceSync(t.Context(),
		&kgo.Record{Topic: topics.Granted, Value: granted},
		&kgo.Record{Topic: topics.Failed, Value: failed}).FirstErr())

	read := map[string]map[string]any{}
	for _, r := range newForeign(brokers, registry).consume(t, 2, patience, topics.Granted, topics.Failed) {
		read[r.Topic[strings.LastIndex(r.Topic, ".")+1:]] = r.Value
	}

	require.Equal(t, "r1", read["granted"]["request_id"])
	require.Equal(t, json.Number("2"), read["granted"]["granted_at"])
	require.Equal(t, json.Number("7091800003790954041"), read["granted"]["coupon"].(map[string]any)["instance_id"])
	require.Equal(t, json.Number("2"), read["failed"]["failed_at"])
	require.Equal(t, "LIMIT_REACHED", read["failed"]["reason"])
	require.Equal(t, "-7", read["failed"]["attempt_log"].([]any)[0].(map[string]any)["code"])
}
