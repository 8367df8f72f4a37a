package proof

import (
	"context"
	"encoding/binary"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/schemas"
)

// scanned reads what is stable in t.
func (k *kafka) scanned(s *Source) (values []string, err error) {
	k.Helper()
	reader := NewReader(s)
	ranges, err := reader.Stable(k.Context(), "t")
	require.NoError(k, err)
	err = reader.Scan(k.Context(), ranges, func(r *kgo.Record) error {
		values = append(values, string(r.Value))
		return nil
	})
	return values, err
}

func TestReaderIsNotHeldUpByAnOpenTransaction(t *testing.T) {
	k := newKafka(t, "t")
	k.produce(k.client(), "first")
	k.abort(k.begin("gone", "aborted"))
	open := k.begin("open", "undecided")
	k.produce(k.client(), "behind it")
	var progress [][2]int64
	source := &Source{Options: k.opts, Patience: enough, Progress: func(read, total int64) { progress = append(progress, [2]int64{read, total}) }}

	values, err := k.scanned(source)
	require.NoError(t, err)
	require.Equal(t, []string{"first"}, values)
	require.Equal(t, [2]int64{3, 3}, progress[len(progress)-1], "the aborted record and its marker count as read")

	k.commit(open)
	values, err = k.scanned(source)
	require.NoError(t, err)
	require.Equal(t, []string{"first", "undecided", "behind it"}, values)
}

func TestReaderOfWhatIsWrittenDoesNotPassOverAnOpenTransaction(t *testing.T) {
	k := newKafka(t, "t")
	open := k.begin("open", "undecided")
	k.commit(k.begin("other", "behind it"))
	var values []string
	read := func(patience time.Duration) error {
		reader := NewReader(&Source{Options: k.opts, Patience: patience})
		ranges, err := reader.Written(t.Context(), "t")
		require.NoError(t, err)
		return reader.Scan(t.Context(), ranges, func(r *kgo.Record) error {
			values = append(values, string(r.Value))
			return nil
		})
	}
	require.ErrorContains(t, read(time.Second), "t/0 cannot be read from offset 0 on: nothing came for 1s, which an open transaction")
	require.Empty(t, values)

	k.abort(open)
	require.NoError(t, read(enough))
	require.Equal(t, []string{"behind it"}, values)
}

func TestReaderTellsOfWhatItCouldNotRead(t *testing.T) {
	k := newKafka(t, "t")
	k.produce(k.client(), "first")
	reader := NewReader(&Source{Options: k.opts, Patience: time.Second})
	err := reader.Scan(t.Context(), []Range{{Topic: "t", End: 2}}, func(*kgo.Record) error { return nil })
	require.ErrorContains(t, err, "t/0 cannot be read from offset 1 on")
}

func TestReaderOfAnAbsentTopic(t *testing.T) {
	k := newKafka(t, "t")
	_, err := NewReader(&Source{Options: k.opts}).Stable(t.Context(), "absent")
	require.ErrorContains(t, err, "listing offsets of absent")
}

func TestListingWaitsForLeadersThatChange(t *testing.T) {
	for name, row := range map[string]struct {
		told  []error // each time that it asks, and the last for ever
		err   error
		times int
	}{
		"leaders change":   {[]error{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.OffsetNotAvailable, nil}, nil, 4},
		"all is well":      {[]error{nil}, nil, 1},
		"no leader comes":  {[]error{kerr.LeaderNotAvailable}, kerr.LeaderNotAvailable, int(defaultPatience/leaderChange) + 2},
		"it is not there":  {[]error{kerr.UnknownTopicOrPartition}, kerr.UnknownTopicOrPartition, 1},
		"it is not for us": {[]error{kerr.TopicAuthorizationFailed}, kerr.TopicAuthorizationFailed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				times := 0
				_, err := new(Source).listed(t.Context(), nil, func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error) {
					told := row.told[min(times, len(row.told)-1)]
					times++
					return kadm.ListedOffsets{"t": {0: {Topic: "t"}, 1: {Topic: "t", Partition: 1, Err: told}}}, nil
				}, "t")
				require.ErrorIs(t, err, row.err)
				require.Equal(t, row.times, times)
			})
		})
	}
}

// Whoever makes up ids of schemas has each asked for, and takes no memory by it.
func TestReaderRemembersFewAbsentSchemas(t *testing.T) {
	server := httptest.NewServer(srfake.NewRegistry().Handler())
	defer server.Close()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: server.URL})
	require.NoError(t, err)
	r := NewReader(&Source{Registry: registry, Codec: schemas.NewCodec(registry, schemas.Rules{}), Patience: enough})
	for id := range uint32(maxAbsent + 2) {
		_, bad, err := r.Request(t.Context(), binary.BigEndian.AppendUint32([]byte{0}, id+1))
		require.NoError(t, err)
		require.Equal(t, schemas.UnknownSchema, reasonOf(bad))
		require.LessOrEqual(t, len(r.absent), maxAbsent)
	}
	require.NotEmpty(t, r.absent)
}
