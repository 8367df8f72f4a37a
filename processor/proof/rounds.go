package proof

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// defaultRound is how many ends are read at a time. What a round reads of
// requests, it needs to remember until it has read their ends.
const defaultRound = 200_000

// read goes through the history in rounds, oldest first, so that it need not
// remember all requests at once: what was written to the topics of ends up to
// one moment, and before that the requests that those ends name. The rest of the
// requests has no end, and is counted.
//
// The rounds are cut by the time at which ends were written. That time only
// decides how much has to be remembered, never what is found.
func (l *look) read(ctx context.Context, requests, ends []Range) error {
	for last := false; !last; {
		var round []Range
		var err error
		if round, last, err = l.cut(ctx, ends); err != nil {
			return err
		}
		named := requests
		if !last || left(l.rest(requests)...) > l.roundSize() {
			if named, round, err = l.named(ctx, requests, round, last); err != nil {
				return err
			}
		}
		if err := l.scan(ctx, named, true, l.request); err != nil {
			return err
		}
		if err := l.scan(ctx, round, true, l.end); err != nil {
			return err
		}
		if len(l.checker.report.Unread) > 0 {
			return nil
		}
	}
	return l.scan(ctx, requests, false, l.waiting)
}

// from is a range without what was read already.
func (l *look) from(r Range) Range {
	r.Start = max(r.Start, l.checker.read[topicPartition{r.Topic, r.Partition}])
	return r
}

func left(ranges ...Range) (n int64) {
	for _, r := range ranges {
		n += max(r.End-r.Start, 0)
	}
	return n
}

// scan reads on in ranges; remember says that the next scan goes on behind it.
func (l *look) scan(ctx context.Context, ranges []Range, remember bool, each func(context.Context, *kgo.Record) error) error {
	spans, err := scanRanges(ctx, l.Source, l.rest(ranges), l.progress, func(r *kgo.Record) error { return each(ctx, r) })
	if err != nil {
		return err
	}
	if err := l.moved(ctx, ranges, spans); err != nil {
		return err
	}
	if remember {
		for tp, sp := range spans {
			l.checker.read[tp] = max(l.checker.read[tp], sp.next)
		}
	}
	return nil
}

func (s *Source) roundSize() int64 {
	if s.round > 0 {
		return s.round
	}
	return defaultRound
}

// rest is what was not read yet of ranges.
func (l *look) rest(ranges []Range) []Range {
	rest := make([]Range, len(ranges))
	for i, r := range ranges {
		rest[i] = l.from(r)
	}
	return rest
}

// named are the requests that a round needs: up to the newest that one of its
// ends names, and in the last round up to the newest that must have an end. To
// know them it reads the ends once; what it does not get to see of those is left
// out of the round.
func (l *look) named(ctx context.Context, requests, round []Range, last bool) (needed, ends []Range, err error) {
	newest := map[topicPartition]int64{}
	spans, err := scanRanges(ctx, l.Source, l.rest(round), func(int64) {}, func(r *kgo.Record) error {
		if topic, partition, offset, ok := parseSource(header(r, sourceHeader)); ok {
			tp := topicPartition{topic, partition}
			newest[tp] = max(newest[tp], offset+1)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := l.moved(ctx, round, spans); err != nil {
		return nil, nil, err
	}
	for _, r := range round {
		r.End = min(r.End, spans[topicPartition{r.Topic, r.Partition}].next)
		ends = append(ends, r)
	}
	for _, r := range requests {
		up := newest[topicPartition{r.Topic, r.Partition}]
		if last {
			up = max(up, r.settled())
		}
		r.End = min(r.End, up)
		needed = append(needed, r)
	}
	return needed, ends, nil
}

// cut returns the next round of ends, and whether it is the last.
func (l *look) cut(ctx context.Context, ends []Range) (round []Range, last bool, err error) {
	rest, size := l.rest(ends), l.roundSize()
	if left(rest...) <= size {
		return ends, true, nil
	}
	if l.since == 0 {
		if l.since, err = l.oldest(ctx, rest); err != nil {
			return nil, false, err
		}
		l.step = 60_000
	}
	for shrunk := false; ; {
		round, err := l.before(ctx, rest, l.since+l.step)
		if err != nil {
			return nil, false, err
		}
		switch n := left(round...); {
		case n > size && l.step > 1:
			l.step /= 2
			shrunk = true
		case n < size/2 && !shrunk:
			l.step *= 2 // in the end it is beyond every time
		default:
			l.since += l.step
			return round, false, nil
		}
	}
}

// oldest is the time of the oldest record of the ranges, as the index knows it.
func (l *look) oldest(ctx context.Context, ranges []Range) (int64, error) {
	first, err := l.listed(ctx, l.admin, after(0), topicsOf(ranges)...)
	if err != nil {
		return 0, err
	}
	oldest := int64(-1)
	for _, r := range ranges {
		if at, ok := first.Lookup(r.Topic, r.Partition); ok && at.Timestamp > 0 && (oldest < 0 || at.Timestamp < oldest) {
			oldest = at.Timestamp
		}
	}
	return max(oldest, 1), nil
}

// before cuts ranges where the first record of that time or a later one stands.
func (l *look) before(ctx context.Context, ranges []Range, ms int64) ([]Range, error) {
	at, err := l.listed(ctx, l.admin, after(ms), topicsOf(ranges)...)
	if err != nil {
		return nil, err
	}
	cut := make([]Range, len(ranges))
	for i, r := range ranges {
		if o, ok := at.Lookup(r.Topic, r.Partition); ok {
			r.End = min(r.End, max(o.Offset, r.Start))
		}
		cut[i] = r
	}
	return cut, nil
}
