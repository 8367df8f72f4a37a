package processor

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
)

// rawRecord is one as it stands in a batch.
func rawRecord(value []byte, headers int) []byte {
	body := []byte{0}                     // attributes
	body = binary.AppendVarint(body, 0)   // of the timestamp
	body = binary.AppendVarint(body, 300) // of the offset
	body = binary.AppendVarint(body, -1)  // no key
	body = append(binary.AppendVarint(body, int64(len(value))), value...)
	body = binary.AppendVarint(body, int64(headers))
	for range headers {
		body = append(body, 0, 1) // an empty name, no value
	}
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func TestCostOfABatchIsWhatItsRecordsTakeInMemory(t *testing.T) {
	one := rawRecord([]byte("value"), 3)
	size := int64(len(one))
	for name, tt := range map[string]struct {
		give []byte
		want int64
	}{
		"nothing":              {nil, 0},
		"one":                  {one, size + recordCost + 3*headerCost},
		"ten":                  {bytes.Repeat(one, 10), 10 * (size + recordCost + 3*headerCost)},
		"then garbage":         {append(bytes.Clone(one), 0x80), size + 1 + recordCost + 3*headerCost},
		"cut short":            {one[:size-1], size - 1},
		"a length below 0":     {[]byte{1, 1, 1}, 3},
		"no more than is":      {[]byte{14, 0, 0, 0, 1, 1, 0xfe, 0x7f, 0, 0}, 10 + 3*recordCost}, // it says that it has 8,191 headers
		"a key beyond its end": {[]byte{8, 0, 0, 0, 0x7e}, 5 + recordCost},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, costOf(tt.give)) })
	}
}

func TestAttackBatchesThatGrowAreRefusedForTheMomentOrForGood(t *testing.T) {
	i, err := newInflation(maxInflated, handedOver)
	require.NoError(t, err)
	zstd, err := kgo.DefaultCompressor(kgo.ZstdCompression())
	require.NoError(t, err)
	packed := func(records []byte) []byte {
		out, codec := zstd.Compress(new(bytes.Buffer), records)
		require.Equal(t, kgo.CodecZstd, codec)
		return bytes.Clone(out)
	}
	grow := func(records []byte) error {
		out, err := i.Decompress(packed(records), kgo.CodecZstd)
		if err == nil {
			require.Equal(t, records, out)
		}
		return err
	}
	large := rawRecord(make([]byte, MaxDecompressed-1000), 0)
	for range maxInflated / MaxDecompressed {
		require.NoError(t, grow(large))
	}
	require.ErrorIs(t, grow(large), errInflated)
	i.polled(true) // from now on it must have been polled after handedOver
	i.since = time.Now().Add(time.Hour)
	i.polled(true)
	require.ErrorIs(t, grow(large), errInflated, "kgo may not have handed over what it has decompressed")
	record := kgo.Record{Value: make([]byte, MaxDecompressed-1000)}
	i.OnFetchRecordUnbuffered(&record, true)
	require.ErrorIs(t, grow(large), errInflated, "it came as it is")
	record.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Codec: kgo.CodecZstd})
	i.OnFetchRecordUnbuffered(&record, true)
	require.NoError(t, grow(large), "one has been polled")
	require.ErrorIs(t, grow(large), errInflated)
	gone := func() { // of aborted transactions, say
		for range 2 {
			i.since = time.Now().Add(-2 * handedOver)
			i.polled(true)
		}
	}
	i.since = time.Now().Add(-2 * handedOver)
	i.polled(false)
	require.ErrorIs(t, grow(large), errInflated, "there is more to poll")
	gone()
	require.Zero(t, i.held)
	require.NoError(t, grow(large))

	for name, bomb := range map[string][]byte{
		"bytes":   rawRecord(make([]byte, MaxDecompressed), 0),
		"records": bytes.Repeat(rawRecord(nil, 0), maxInflated/recordCost),
		"headers": rawRecord(nil, maxInflated/headerCost),
	} {
		gone()
		require.ErrorIs(t, grow(bomb), kgo.ErrMaxDecompress, name)
		require.NoError(t, grow(large), "it costs the others nothing: %s", name)
	}
}

// What a record is counted for when it is decompressed, it gives back when it is polled,
// but for the few bytes in which a batch says how long its parts are.
func TestPolledRecordsGiveBackWhatTheirBatchTook(t *testing.T) {
	raw := rawRecord(make([]byte, 300), 3)
	record := &kgo.Record{Value: make([]byte, 300), Headers: make([]kgo.RecordHeader, 3)}
	left := costOf(bytes.Repeat(raw, 1000)) - 1000*costOfRecord(record)
	require.GreaterOrEqual(t, left, int64(0))
	require.LessOrEqual(t, left, int64(1000*20))
}

// Producers that do not compress send batches whose records are read where they stand in
// the answer of a broker, which is megabytes.
func TestRecordThatWaitsDoesNotKeepItsFetch(t *testing.T) {
	s := leaving()
	m, err := newMetrics(prometheus.NewRegistry(), breaker.New(breaker.DefaultConfig(), nil), nil)
	require.NoError(t, err)
	s.metrics, s.undecoded = m, newUndecoded()
	o := s.windows.Assign(partition{"store", 0}, position{})
	gone := make(chan struct{})
	poll := kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "store", Partitions: make([]kgo.FetchPartition, 1)}}}}
	func() {
		answer := make([]byte, 4<<20)
		runtime.AddCleanup(&answer[0], func(gone chan struct{}) { close(gone) }, gone)
		copy(answer[100:], "key and value")
		record := &kgo.Record{Topic: "store", Key: answer[100:103], Value: answer[108:113], Headers: []kgo.RecordHeader{{Key: "h", Value: answer[104:107]}}}
		poll[0].Topics[0].Partitions[0].Records = []*kgo.Record{record}
		require.NoError(t, s.admit(poll))
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}, time.Minute, time.Millisecond)
	require.Len(t, poll[0].Topics[0].Partitions[0].Records, 1, "nor does the poll, for as long as others of it are moved")
	waiting := s.undecoded.take(1)
	require.Len(t, waiting, 1)
	require.Equal(t, "key", string(waiting[0].record.Key))
	require.Equal(t, "value", string(waiting[0].record.Value))
	require.Equal(t, "and", string(waiting[0].record.Headers[0].Value))
	require.Equal(t, o.assignment, waiting[0].assignment)
}

func TestMovedRecordSharesNothing(t *testing.T) {
	as := func() *kgo.Record {
		return &kgo.Record{Key: []byte("key"), Value: []byte("value"), Headers: []kgo.RecordHeader{{Key: "name", Value: []byte("of header")}}, Offset: 7}
	}
	there := as()
	own := moved(there)
	require.Equal(t, as(), there, "kgo may still read it")
	clear(there.Key)
	clear(there.Value)
	clear(there.Headers[0].Value)
	clear(there.Headers)
	require.Equal(t, as(), own)
	require.Nil(t, moved(&kgo.Record{}).Value, "a tombstone has no value")
}
