package processor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// inflation bounds what fetched batches grow to until they are polled. kgo bounds a
// fetch by what it weighs on the wire, and what a batch grows to by itself: a fetch
// of batches that each keep within that could still grow a thousandfold, and tiny
// records to a multiple of their bytes again.
//
// Beyond the bound a batch is refused for the moment, and comes again with the next
// fetch. Only one that no fetch could hold is refused for good.
//
// A client has it as its decompressor and as a hook; kgo calls both from its goroutines.
type inflation struct {
	batches    kgo.Decompressor
	most       int64
	handedOver time.Duration // within which kgo has put what it has decompressed where polls find it

	mu          sync.Mutex
	older, held int64     // what was decompressed and is not known to be gone: before since, and in all
	since       time.Time // a while ago
}

// MaxDecompressed is what a batch may grow to, in bytes, for anybody who reads the
// topics: one that grows larger is a decompression bomb.
const MaxDecompressed = 16 << 20

// errInflated is no fault of the batch.
var errInflated = errors.New("what was fetched has grown to as much as is held at once")

const (
	maxInflated = 64 << 20
	recordCost  = 200 // a kgo.Record and the places it stands in
	headerCost  = 40
	handedOver  = time.Second // of maxInflated
)

// newInflation bounds what fetches grow to by most bytes, which kgo hands over in time.
func newInflation(most int64, handedOver time.Duration) (*inflation, error) {
	// kgo bounds its own decompressor, and gives it out only to who asks a client for it.
	client, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(MaxDecompressed))
	if err != nil {
		return nil, fmt.Errorf("preparing to decompress: %w", err)
	}
	defer client.Close()
	batches, ok := client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, errors.New("preparing to decompress: the Kafka client gives no decompressor")
	}
	return &inflation{batches: batches, most: most, handedOver: handedOver}, nil
}

// Decompress implements kgo.Decompressor.
func (i *inflation) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if !i.take(0) {
		return nil, errInflated
	}
	out, err := i.batches.Decompress(src, codec)
	if err != nil {
		return nil, err
	}
	cost := costOf(out)
	if cost > i.most {
		return nil, kgo.ErrMaxDecompress
	}
	if !i.take(cost) {
		return nil, errInflated
	}
	return out, nil
}

// take makes room for a batch, if there is some.
func (i *inflation) take(cost int64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held >= i.most || i.held+cost > i.most {
		return false
	}
	i.held += cost
	return true
}

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered: a record has been
// polled, or dropped, as those of a partition that is paused. kgo may call it when the
// poll has returned.
func (i *inflation) OnFetchRecordUnbuffered(r *kgo.Record, _ bool) {
	if r.Attrs.CompressionType() == 0 {
		return // nobody decompressed it
	}
	cost := costOfRecord(r)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.older, i.held = max(i.older-cost, 0), max(i.held-cost, 0)
}

// polled is told of each poll, and whether it left nothing behind. That it brought nothing
// does not say that nothing is held: kgo hands over the batches of a fetch when it has
// decompressed all of them. But what no poll has brought a while later, as records of
// aborted transactions, is gone.
func (i *inflation) polled(everything bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if everything && time.Since(i.since) > i.handedOver {
		i.held -= i.older
		i.older, i.since = i.held, time.Now()
	}
}

// costOfRecord is what costOf counted for a record, or a few bytes less.
func costOfRecord(r *kgo.Record) int64 {
	cost := recordCost + len(r.Key) + len(r.Value) + headerCost*len(r.Headers)
	for _, h := range r.Headers {
		cost += len(h.Key) + len(h.Value)
	}
	return int64(cost)
}

// bombed is what a person reads of a batch that is refused for good.
func bombed(bomb *kgo.ErrDecompressTooLarge, p partition, group string) string {
	return fmt.Sprintf("the batch at offset %d grows to more than %d MiB when it is decompressed, or to more than %d MiB of records: no batch of requests does, find who wrote it; "+
		"to go on behind it, which leaves what is in it without outcomes, stop all replicas, set the group's offset of this partition to %d (kafka-consumer-groups.sh --bootstrap-server BROKER --group '%s' --topic %s:%d --reset-offsets --to-offset %d --execute), and start them again",
		bomb.Offset, MaxDecompressed>>20, maxInflated>>20, bomb.NextOffset, group, p.topic, p.number, bomb.NextOffset)
}

// costOf is what a batch's records take in memory. What is no record is for kgo to
// complain of.
func costOf(records []byte) int64 {
	cost := int64(len(records))
	for len(records) > 0 {
		length, n := binary.Varint(records)
		if n <= 0 || length < 0 || length > int64(len(records)-n) {
			break
		}
		cost += recordCost + headerCost*headersOf(records[n:n+int(length)])
		records = records[n+int(length):]
	}
	return cost
}

// headersOf counts those of a record: attributes, two deltas, key, value, and then
// it is said how many there are.
func headersOf(record []byte) int64 {
	if len(record) == 0 {
		return 0
	}
	record = record[1:]
	for _, sized := range []bool{false, false, true, true} {
		value, n := binary.Varint(record)
		if n <= 0 {
			return 0
		}
		record = record[n:]
		if sized && value > 0 {
			record = record[min(value, int64(len(record))):]
		}
	}
	count, n := binary.Varint(record)
	return max(0, min(count, int64(len(record)-max(n, 0))/2)) // none takes less than two bytes
}

// moved is a record without the fetch that it came in, bytes and records: kgo's records
// point into the answer of the broker, or into what a batch of it was decompressed to, and
// one that waits would hold on to all of that. It writes nothing to the other: kgo may
// still read it.
func moved(r *kgo.Record) *kgo.Record {
	own := *r
	own.Key, own.Value, own.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i, h := range own.Headers {
		own.Headers[i].Value = bytes.Clone(h.Value)
	}
	return &own
}
