package processor

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
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
	i, err := newInflation(maxInflated)
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
	require.NotZero(t, i.stretched.Load())
	stretchedAt := func(ago time.Duration) { i.stretched.Store(time.Now().Add(-ago).UnixNano()) }
	stretchedAt(-time.Hour) // a slow machine takes longer than handedOver between two lines
	require.True(t, i.polled(false), "they hold on to more than their bytes")
	require.ErrorIs(t, grow(large), errInflated, "there is more to poll")
	require.True(t, i.polled(true))
	require.True(t, i.polled(true), "another may be on its way to where polls find it")
	stretchedAt(2 * handedOver)
	require.True(t, i.polled(true), "until it must have come")
	require.False(t, i.polled(true))
	require.NoError(t, grow(large))

	for name, bomb := range map[string][]byte{
		"bytes":   rawRecord(make([]byte, MaxDecompressed), 0),
		"records": bytes.Repeat(rawRecord(nil, 0), maxInflated/recordCost),
		"headers": rawRecord(nil, maxInflated/headerCost),
	} {
		i.polled(true)
		require.ErrorIs(t, grow(bomb), kgo.ErrMaxDecompress, name)
		require.NoError(t, grow(large), "it costs the others nothing: %s", name)
	}
	stretchedAt(2 * handedOver)
	i.polled(true)
	var unlike []byte // requests are that
	for n := range 1000 {
		unlike = append(unlike, rawRecord(bytes.Repeat([]byte{byte(n), byte(n >> 2), byte(n * 7)}, 3), 0)...)
	}
	require.NoError(t, grow(unlike))
	require.False(t, i.polled(true), "ordinary batches are not copied")
}

func TestMovedRecordLeavesNothingBehindAndSharesNothing(t *testing.T) {
	slab := []kgo.Record{{Key: []byte("key"), Value: []byte("value"), Headers: []kgo.RecordHeader{{Key: "name", Value: []byte("of header")}}, Offset: 7}}
	want := kgo.Record{Key: []byte("key"), Value: []byte("value"), Headers: []kgo.RecordHeader{{Key: "name", Value: []byte("of header")}}, Offset: 7}
	key, value := slab[0].Key, slab[0].Value
	own := moved(&slab[0])
	require.Zero(t, slab[0], "or it would hold its batch for as long as another of its records is awaited")
	clear(key)
	clear(value)
	require.Equal(t, want, *own)
	require.Nil(t, moved(&kgo.Record{}).Value, "a tombstone has no value")
}
