package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// fetchEvery is the pause between questions to a registry that does not answer.
const fetchEvery = time.Second

// maxAbsent is how many ids are remembered as absent at once.
const maxAbsent = 1000

// Reader reads what stands in a system's topics, for those who ask something
// else of it than the Checker does. Not safe for concurrent use.
type Reader struct {
	*Source
	absent map[absence]error // schemas that the registry does not know, asked for once
}

// absence of a schema: sure if Registry believes in it, else it was only denied.
type absence struct {
	id   int
	sure bool
}

// NewReader does no I/O.
func NewReader(s *Source) *Reader { return &Reader{Source: s, absent: map[absence]error{}} }

// Stable says what can be read of topics at this moment: of each partition from
// its start to its last stable offset, so that an open transaction holds nobody
// up. What is stable in the topics of ends has its requests in what is stable in
// the inputs later: ask in that order.
func (r *Reader) Stable(ctx context.Context, topics ...string) ([]Range, error) {
	return r.upTo(ctx, (*kadm.Client).ListCommittedOffsets, topics)
}

// Written says what stands in topics at this moment, for those who may not miss
// what was committed above an open transaction: a Scan of it waits for that one's
// end, and fails if it does not come.
func (r *Reader) Written(ctx context.Context, topics ...string) ([]Range, error) {
	return r.upTo(ctx, (*kadm.Client).ListEndOffsets, topics)
}

func (r *Reader) upTo(ctx context.Context, list listing, topics []string) ([]Range, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := r.listed(ctx, admin, list, topics...)
	if err != nil {
		return nil, orHidden(ctx, admin, topics, err)
	}
	starts, err := r.listed(ctx, admin, (*kadm.Client).ListStartOffsets, topics...)
	if err != nil {
		return nil, err
	}
	var ranges []Range
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		ranges = append(ranges, Range{Topic: end.Topic, Partition: end.Partition, Start: start.Offset, End: end.Offset})
	})
	return ranges, nil
}

// Scan hands every committed record of ranges to each, in the order of each
// partition. What retention deletes meanwhile is left out; any other gap is an
// error.
func (r *Reader) Scan(ctx context.Context, ranges []Range, each func(*kgo.Record) error) error {
	total, read := left(ranges...), int64(0)
	spans, err := scanRanges(ctx, r.Source, ranges, func(offsets int64) {
		if read += offsets; r.Progress != nil {
			r.Progress(read, total)
		}
	}, each)
	if err != nil {
		return err
	}
	for tp, sp := range spans {
		if sp.next < sp.end {
			return fmt.Errorf("%s/%d cannot be read from offset %d on: nothing came for %s, which an open transaction or a broker without an answer may be the cause of; try again", tp.topic, tp.partition, sp.next, r.patience())
		}
	}
	return nil
}

// Request reads the value of a request record. bad says that it cannot be read,
// or that the request breaks a rule and comes back nevertheless; err that the
// registry gave no answer.
//
// It believes a denial before Registry is sure, or every id that a producer has made
// up would cost seconds: a request that cannot be read is no breach, and costs the
// audit a comparison.
func (r *Reader) Request(ctx context.Context, value []byte) (q schemas.Request, bad, err error) {
	return decode(ctx, r, r.Codec.Decode, value, false)
}

// Outcome reads the value of a record of the granted or the failed topic. One that
// cannot be read is a breach, so it waits until Registry is sure of an absence.
func (r *Reader) Outcome(ctx context.Context, value []byte) (o schemas.Outcome, bad, err error) {
	return decode(ctx, r, r.Codec.DecodeOutcome, value, true)
}

// decode fetches the schema when the codec asks for it. bad says that the value
// cannot be read, err that the registry gave no answer.
func decode[T any](ctx context.Context, r *Reader, read func([]byte) (T, error), value []byte, sure bool) (v T, bad, err error) {
	v, bad = read(value)
	missing, ok := errors.AsType[*schemas.NotFetchedError](bad)
	if !ok {
		return v, bad, nil
	}
	known := absence{missing.ID, sure}
	if r.absent[known] == nil {
		if err := r.fetch(ctx, missing.ID, sure); err != nil {
			return v, nil, fmt.Errorf("fetching schema %d: %w", missing.ID, err)
		}
		v, bad = read(value)
		if reasonOf(bad) != schemas.UnknownSchema {
			return v, bad, nil
		}
		if len(r.absent) >= maxAbsent {
			clear(r.absent) // whoever makes up ids has us ask again, and takes no memory
		}
		r.absent[known] = bad
	}
	return v, r.absent[known], nil
}

// fetch returns once the codec knows the schema, or the registry has denied it: so
// often that Registry is sure, or else twice at once. A failure is no denial, though
// the registry may answer everything else: one server of several may be down.
func (r *Reader) fetch(ctx context.Context, id int, sure bool) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	again := time.NewTicker(fetchEvery)
	defer again.Stop()
	for {
		err := r.Registry.Fetch(ctx, id)
		if !sure && errors.Is(err, schemas.ErrDenied) {
			err = r.Registry.Fetch(ctx, id) // another server may know it already
		}
		if err == nil || !sure && errors.Is(err, schemas.ErrDenied) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}
