package proof

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Commits is what the group has committed at one moment.
type Commits struct{ offsets kadm.OffsetResponses }

// Commits asks for it. To know what became of a record, ask before Stable: what
// a commit covers has its end in the topics already.
func (r *Reader) Commits(ctx context.Context) (Commits, error) {
	client, err := r.client()
	if err != nil {
		return Commits{}, err
	}
	defer client.Close()
	offsets, err := (&look{Reader: r, admin: kadm.NewClient(client)}).committed(ctx)
	return Commits{offsets}, err
}

// At is the committed offset of a partition; -1: none.
func (c Commits) At(topic string, partition int32) int64 {
	if at, ok := c.offsets.Lookup(topic, partition); ok {
		return at.At
	}
	return -1
}

// Finished says that the group has committed a record as finished.
func (c Commits) Finished(topic string, partition int32, offset int64) bool {
	at, ok := c.offsets.Lookup(topic, partition)
	if !ok {
		return false
	}
	r := Range{Committed: at.At, Finished: finishedSet(at.At, at.Metadata)}
	return r.covers(offset)
}

// Since leaves out of ranges what was written before a time, as far as the
// brokers' index of times tells it: what is older may still be among the rest.
func (r *Reader) Since(ctx context.Context, ranges []Range, at time.Time) ([]Range, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first, err := r.listed(ctx, kadm.NewClient(client), after(at.UnixMilli()), topicsOf(ranges)...)
	if err != nil {
		return nil, err
	}
	ranges = slices.Clone(ranges)
	for i := range ranges {
		if from, ok := first.Lookup(ranges[i].Topic, ranges[i].Partition); ok {
			ranges[i].Start = min(max(ranges[i].Start, from.Offset), ranges[i].End)
		}
	}
	return ranges, nil
}
