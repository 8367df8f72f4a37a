package proof

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
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

// flaky is a registry in this process that answers questions for schemas as it is
// told, the last way for ever: 200 is what it knows.
type flaky struct {
	http.Handler
	told  []int
	asked int
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	status := http.StatusOK
	if strings.HasPrefix(r.URL.Path, "/schemas/ids/") {
		status = f.told[min(f.asked, len(f.told)-1)]
		f.asked++
	}
	switch status {
	case http.StatusOK:
		f.ServeHTTP(answer, r)
	case http.StatusNotFound:
		answer.WriteHeader(status)
		_, _ = answer.WriteString(`{"error_code":40403}`)
	default:
		answer.WriteHeader(status)
	}
	return answer.Result(), nil
}

// The registry stands behind a balancer, and not every server of it is well.
func TestReaderTakesNoFailureOfTheRegistryForAnAbsence(t *testing.T) {
	const (
		fails, denies, knows = http.StatusInternalServerError, http.StatusNotFound, http.StatusOK
		patience             = enough - fetchEvery/2 // ends while nothing is asked
	)
	for name, row := range map[string]struct {
		told    []int
		outcome bool
		bad     schemas.DeadLetterReason
		err     error
		asked   int
		takes   time.Duration
	}{
		"it fails twice":                         {told: []int{fails, fails, knows}, outcome: true, asked: 3, takes: 2 * fetchEvery},
		"it fails twice, for a request":          {told: []int{fails, fails, knows}, asked: 3, takes: 2 * fetchEvery},
		"it denies and fails, for a request":     {told: []int{denies, fails, knows}, asked: 3, takes: fetchEvery},
		"it fails for ever":                      {told: []int{fails}, outcome: true, err: schemas.ErrRegistryDown, asked: 60, takes: patience},
		"it fails for ever, for a request":       {told: []int{fails}, err: schemas.ErrRegistryDown, asked: 60, takes: patience},
		"one server lags behind":                 {told: []int{denies, denies, knows}, outcome: true, asked: 3, takes: 2 * fetchEvery},
		"one server lags behind, for a request":  {told: []int{denies, knows}, asked: 2},
		"it is absent":                           {told: []int{denies}, outcome: true, bad: schemas.UnknownSchema, asked: 3, takes: 2 * fetchEvery},
		"it is absent, and one server fails":     {told: []int{fails, denies}, outcome: true, bad: schemas.UnknownSchema, asked: 4, takes: 3 * fetchEvery},
		"it is absent, for a request":            {told: []int{denies}, bad: schemas.UnknownSchema, asked: 2},
		"it is absent, and fails, for a request": {told: []int{fails, denies}, bad: schemas.UnknownSchema, asked: 3, takes: fetchEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				road := &flaky{Handler: srfake.NewRegistry().Handler(), told: row.told}
				registry := func() *schemas.Registry {
					r, err := schemas.NewRegistry(schemas.RegistryConfig{URL: "http://registry", Transport: road})
					require.NoError(t, err)
					return r
				}
				writer := registry()
				require.NoError(t, writer.Register(t.Context(), schemas.Topics{Inputs: []string{"store"}, Failed: "failed"}))
				codec := schemas.NewCodec(writer, schemas.Rules{})
				reader := registry()
				r := NewReader(&Source{Registry: reader, Codec: schemas.NewCodec(reader, schemas.Rules{}), Patience: patience})

				began := time.Now()
				var bad, err error
				if row.outcome {
					value, failure := codec.EncodeOutcome(&schemas.Failed{Ending: ending(0), Reason: schemas.ReasonLimitReached})
					require.NoError(t, failure)
					_, bad, err = r.Outcome(t.Context(), value)
				} else {
					value, failure := codec.EncodeRequest("store", request(0))
					require.NoError(t, failure)
					_, bad, err = r.Request(t.Context(), value)
				}
				require.ErrorIs(t, err, row.err)
				require.Equal(t, row.bad, reasonOf(bad))
				require.Equal(t, row.asked, road.asked)
				require.Equal(t, row.takes, time.Since(began))
			})
		})
	}
}
