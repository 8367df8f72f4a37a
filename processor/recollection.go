package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// recollection reads back the request ids of the newest records that have ended, when
// their partition comes to us. Others called them, and one that comes now may repeat one
// of those: what is refused to it may have been granted then (grants). Or it uses the id
// for something else (asked).
//
// It reads with a client of its own, before the first poll of the partition, and for no
// longer than recalledFor: what cannot be read by then is not known, and requests do not
// wait for it. What a record ended as it does not know: to read results takes rights that
// nothing else here needs.
type recollection struct {
	cfg      Config
	log      *slog.Logger
	kafka    []kgo.Opt
	codec    *schemas.Codec
	registry *schemas.Registry
	asked    *asked // whose fingerprints it takes
}

const (
	recalledRecords  = 4096     // of one partition, in offsets below its watermark
	recalledAtOnce   = 1 << 14  // of all that come together: they are decoded within a quarter of a second
	recalledInflated = 16 << 20 // to which what is fetched may grow until it is polled
	// recalledHandedOver is what it may take kgo to hand that over. What stands in a batch before the first that is
	// read counts for as long, of each partition.
	recalledHandedOver = 100 * time.Millisecond
	recalledSchemas    = 16 // that are asked for
	recalledSchema     = time.Second
	recalledFor        = 3 * time.Second
)

// earlier is a record that may have been called, by others.
type earlier struct {
	requestID string
	asked     fingerprint
	origin    string // as that of a task
	since     time.Time
}

// reach is the offsets of a partition to read back, and which of them have ended.
type reach struct {
	from, to int64 // to is not of them
	position position
}

// reachOf is how far a partition is read back, of several that come together.
func reachOf(pos position, start int64, together int) reach {
	below := int64(min(recalledRecords, recalledAtOnce/max(together, 1)))
	return reach{from: max(start, pos.watermark-below), to: pos.reached(), position: pos}
}

// ended says that a record has an end.
func (r reach) ended(offset int64) bool {
	_, found := slices.BinarySearch(r.position.finished, offset)
	return offset < r.position.watermark || found
}

// of reads back. What it could not read it names in the log, unless ctx has ended.
func (r *recollection) of(ctx context.Context, reaches map[partition]reach) map[partition][]earlier {
	maps.DeleteFunc(reaches, func(_ partition, at reach) bool { return at.from >= at.to })
	if len(reaches) == 0 {
		return nil
	}
	reading, cancel := context.WithTimeout(ctx, recalledFor)
	defer cancel()
	read, err := r.read(reading, reaches)
	if err != nil && ctx.Err() == nil {
		r.log.Warn("what was asked for before could not all be read back: a request that repeats such a one is not known as a repeat", "partitions_unread", len(reaches), "error", err)
	}
	return read
}

// read returns what it has read with an error too; reaches keeps what could not be read.
func (r *recollection) read(ctx context.Context, reaches map[partition]reach) (map[partition][]earlier, error) {
	inflation, err := newInflation(recalledInflated, recalledHandedOver)
	if err != nil {
		return nil, err
	}
	starts := map[string]map[int32]kgo.Offset{}
	for p, at := range reaches {
		if starts[p.topic] == nil {
			starts[p.topic] = map[int32]kgo.Offset{}
		}
		starts[p.topic][p.number] = kgo.NewOffset().At(at.from)
	}
	client, err := kgo.NewClient(slices.Concat(r.kafka, reading(), []kgo.Opt{
		kgo.WithContext(ctx), kgo.MetadataMinAge(metadataMinAge), kgo.ConsumePartitions(starts), kgo.WithDecompressor(inflation), kgo.WithHooks(inflation),
		kgo.DisableClientMetrics(), // Close would wait for brokers to take them
	})...)
	if err != nil {
		return nil, fmt.Errorf("preparing a Kafka client: %w", err)
	}
	defer client.Close()
	found, decoder := map[partition][]earlier{}, recalling{recollection: r, now: time.Now(), tried: map[int]bool{}}
	var failed error
	unread := map[partition]reach{}
	defer func() { maps.Copy(reaches, unread) }()
	for len(reaches) > 0 {
		fetches := client.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil {
			return found, errors.Join(failed, decoder.unfetched, ctx.Err())
		}
		inflation.polled(fetches.NumRecords() < pollRecords)
		done := map[string][]int32{}
		over := func(p partition) {
			delete(reaches, p)
			done[p.topic] = append(done[p.topic], p.number)
		}
		for _, fe := range fetches.Errors() {
			if errors.Is(fe.Err, errInflated) {
				continue
			}
			p := partition{fe.Topic, fe.Partition}
			failed = fmt.Errorf("reading %s: %w", p, fe.Err)
			if at, wanted := reaches[p]; wanted {
				unread[p] = at
				over(p)
			}
		}
		fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
			p := partition{ftp.Topic, ftp.Partition}
			at, wanted := reaches[p]
			if !wanted {
				return
			}
			for _, record := range ftp.Records {
				if record.Offset < at.to && at.ended(record.Offset) && !record.Attrs.IsControl() {
					if e, known := decoder.decode(ctx, p, record); known {
						found[p] = append(found[p], e)
					}
				}
				if record.Offset >= at.to-1 {
					over(p)
					return
				}
			}
		})
		client.PauseFetchPartitions(done)
	}
	return found, errors.Join(failed, decoder.unfetched)
}

// recalling decodes records of one recollection.
type recalling struct {
	*recollection
	now       time.Time
	tried     map[int]bool // schemas that were asked for
	unfetched error        // a schema that could not be fetched
}

// decode is false for what cannot be told, or is no request. Of a record nothing is kept
// but what tells repeats: it may be large.
func (r *recalling) decode(ctx context.Context, p partition, record *kgo.Record) (e earlier, known bool) {
	t := newTask(assignment{partition: p}, record, r.cfg.Topics.Retry, 2*r.cfg.Retry.Delay)
	t.taken = r.now
	q, bad, missing := decode(r.codec, t)
	if missing != 0 && r.fetch(ctx, missing) {
		q, bad, missing = decode(r.codec, t)
	}
	if bad != nil || missing != 0 {
		return e, false
	}
	t.foundInDoubt()
	return earlier{requestID: q.RequestID, asked: r.asked.fingerprint(&q, t.askedAt()), origin: t.origin(), since: firstKnown(t)}, true
}

// fetch asks for a schema, once. A registry that gives no answer is not asked again.
func (r *recalling) fetch(ctx context.Context, schema int) bool {
	if r.unfetched != nil || r.tried[schema] {
		return false
	}
	if len(r.tried) == recalledSchemas {
		r.unfetched = fmt.Errorf("more than %d schemas are not known yet, and no more are asked for", recalledSchemas)
		return false
	}
	r.tried[schema] = true
	ctx, cancel := context.WithTimeout(ctx, recalledSchema)
	defer cancel()
	err := r.registry.Fetch(ctx, schema)
	if err != nil && !errors.Is(err, schemas.ErrDenied) { // what is denied was no request's
		r.unfetched = err
	}
	return err == nil
}
