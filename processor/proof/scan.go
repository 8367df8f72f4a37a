package proof

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pollRecords bounds what one poll hands over, so that progress is shown and
// cancelling is noticed while a long topic is read.
const pollRecords = 10_000

// scan reads partitions from their start to a fixed end, as a read_committed
// consumer sees them.
//
// The end is a high watermark. The records just below it may be invisible:
// transaction markers, or records of an aborted transaction, whose marker
// follows them. So control records are kept, and a partition is done when
// anything at or past its last offset was seen. Only an open transaction, or
// brokers that are gone, can keep that from coming; patience ends both.
type scan struct {
	client   *kgo.Client
	spans    map[topicPartition]*span
	open     int // spans that are not done
	patience time.Duration
	progress func(records int64)
	moved    time.Time // when an open span last got something
}

// span is one partition of a scan: start <= next <= end while it is open.
type span struct {
	next, end int64
}

// scanRanges hands every committed record of the ranges to each, in the order
// of each partition, and returns the spans as they were left.
func scanRanges(ctx context.Context, s *Source, ranges []Range, progress func(int64), each func(*kgo.Record) error) (map[topicPartition]*span, error) {
	run := &scan{spans: map[topicPartition]*span{}, patience: s.patience(), progress: progress, moved: time.Now()}
	from := map[string]map[int32]kgo.Offset{}
	for _, r := range ranges {
		sp := &span{next: r.Start, end: r.End}
		run.spans[topicPartition{r.Topic, r.Partition}] = sp
		if sp.next >= sp.end {
			continue
		}
		run.open++
		if from[r.Topic] == nil {
			from[r.Topic] = map[int32]kgo.Offset{}
		}
		from[r.Topic][r.Partition] = kgo.NewOffset().At(r.Start)
	}
	if run.open == 0 {
		return run.spans, nil
	}
	client, err := s.client(
		kgo.ConsumePartitions(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // retention overtook us
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(8<<20),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	run.client = client
	return run.spans, run.loop(ctx, each)
}

func (s *scan) loop(ctx context.Context, each func(*kgo.Record) error) error {
	for s.open > 0 {
		left := s.patience - time.Since(s.moved)
		if left <= 0 {
			return nil
		}
		fetches, err := s.poll(ctx, left)
		if err != nil {
			return err
		}
		var handled int64
		for it := fetches.RecordIter(); !it.Done(); {
			n, err := s.take(it.Next(), each)
			if err != nil {
				return err
			}
			handled += n
		}
		s.progress(handled)
	}
	return nil
}

func (s *scan) poll(ctx context.Context, limit time.Duration) (kgo.Fetches, error) {
	pollCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fetches := s.client.PollRecords(pollCtx, pollRecords)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, e := range fetches.Errors() {
		if pollCtx.Err() == nil { // else it only says that the poll ran out of time
			return nil, fmt.Errorf("reading %s/%d: %w", e.Topic, e.Partition, OnTopic(kadm.OpRead, e.Topic).OrLacks(e.Err))
		}
	}
	return fetches, nil
}

// take hands one record over, once: a reset to an earlier offset gives records
// again. It returns how far that brought its span.
func (s *scan) take(r *kgo.Record, each func(*kgo.Record) error) (int64, error) {
	sp := s.spans[topicPartition{r.Topic, r.Partition}]
	if sp == nil || r.Offset < sp.next || sp.next >= sp.end {
		return 0, nil
	}
	if !r.Attrs.IsControl() && r.Offset < sp.end {
		if err := each(r); err != nil {
			return 0, err
		}
	}
	before := sp.next
	sp.next = min(r.Offset+1, sp.end)
	s.moved = time.Now()
	if sp.next == sp.end {
		s.open--
		s.client.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
	}
	return sp.next - before, nil
}
