//go:build chaos || apart

package proof_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// lateView is what a reader finds who comes when all is over.
type lateView struct {
	inputs     []input
	results    map[position]string   // source of each end and parked copy
	reasons    map[string]string     // of dead letters, by source
	parked     map[string][]parking  // by source, in order
	ends       map[string]position   // by source
	finishedAt map[position]position // of each input and parked record: what finished it
	newest     map[topicPartition]int64
}

// input is a request record.
type input struct {
	position
	key     []byte
	event   int // of the feed; -1: not from there
	aborted bool
}

// parking is a parked copy.
type parking struct {
	position
	at       time.Time
	due      time.Time
	uncalled bool // by who parked it
}

// lookLate reads all topics from their starts to their ends.
func lookLate(ctx context.Context, s *system, found *findings) (*lateView, error) {
	v := &lateView{
		results: map[position]string{}, reasons: map[string]string{}, parked: map[string][]parking{},
		ends: map[string]position{}, finishedAt: map[position]position{}, newest: map[topicPartition]int64{},
	}
	all := slices.Concat(s.topics.Inputs, []string{s.topics.Granted, s.topics.Failed, s.topics.DeadLetter, s.topics.Retry})
	err := readAll(ctx, s, all, func(r *kgo.Record) { v.take(r, s, found) })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(v.inputs, func(a, b input) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	v.link()
	return v, nil
}

// readAll hands over every committed record up to the ends that stand now.
func readAll(ctx context.Context, s *system, topics []string, take func(*kgo.Record)) error {
	client, err := kgo.NewClient(append(s.options(), kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer client.Close()
	var ends kadm.ListedOffsets
	err = within(leaderMoveTime, "the brokers have not told where each log ends", func() bool {
		ends, err = kadm.NewClient(client).ListEndOffsets(ctx, topics...)
		return err == nil && ends.Error() == nil
	})
	if err != nil {
		return err
	}
	left := map[topicPartition]int64{} // what is still to be read
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[topicPartition{o.Topic, o.Partition}] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reading late, %d partitions are left: %w", len(left), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			tp := topicPartition{r.Topic, r.Partition}
			if r.Offset+1 >= left[tp] {
				delete(left, tp)
			}
			if !r.Attrs.IsControl() {
				take(r)
			}
		})
	}
	return nil
}

func (v *lateView) take(r *kgo.Record, s *system, found *findings) {
	at := position{topicPartition{r.Topic, r.Partition}, r.Offset}
	source := headerOf(r, sourceHeader)
	switch r.Topic {
	case s.topics.Inputs[0], s.topics.Inputs[1]:
		event, err := strconv.Atoi(headerOf(r, eventHeader))
		if err != nil {
			event = -1
		}
		v.inputs = append(v.inputs, input{at, r.Key, event, headerOf(r, abortedHeader) != ""})
		v.newest[at.topicPartition] = r.Offset
		return
	case s.topics.Retry:
		due, _ := time.Parse(time.RFC3339Nano, headerOf(r, "coupongrant-next-at"))
		v.parked[source] = append(v.parked[source], parking{at, r.Timestamp, due, headerOf(r, "coupongrant-attempts") == "0"})
		v.newest[at.topicPartition] = r.Offset
	case s.topics.DeadLetter:
		v.reasons[source] = headerOf(r, "coupongrant-reason")
		v.ends[source] = at
	default:
		v.ends[source] = at
	}
	v.results[at] = source
	checkRecord(r, s.topics, found)
}

// link finds what finished each record: its first parked copy, of that the
// next one, and of the last one the end.
func (v *lateView) link() {
	for _, in := range v.inputs {
		source := in.String()
		chain := slices.SortedStableFunc(slices.Values(v.parked[source]), func(a, b parking) int { return a.due.Compare(b.due) })
		at := in.position
		for _, p := range chain {
			v.finishedAt[at] = p.position
			at = p.position
		}
		if end, ok := v.ends[source]; ok {
			v.finishedAt[at] = end
		}
	}
}

// checkReaders: what a reader saw during the faults and what a late one finds
// are the same.
func (v *lateView) checkReaders(w *witness, found *findings) {
	for at, source := range w.seen {
		if v.results[at] != source {
			found.add("vanished", "%s, seen during the faults as an end of %s", at, source)
		}
	}
	for at, source := range v.results {
		if w.seen[at] != source {
			found.add("appeared", "%s of %s, which the reader during the faults never saw", at, source)
		}
	}
}

// checkLoad holds the input topics against what was sent, and each flaw against
// its end.
func (v *lateView) checkLoad(f *feed, found *findings) {
	times, batches := make([]int, len(f.sent)), map[int]int{}
	for _, in := range v.inputs {
		if in.aborted || in.event < 0 || in.event >= len(f.sent) {
			found.add("load", "%s is in no transaction that was committed", in)
			continue
		}
		times[in.event]++
		batches[f.sent[in.event].batch]++
		v.checkFlaw(in, f.sent[in.event], found)
	}
	for i, n := range times {
		event := f.sent[i]
		switch {
		case event.unsure && n <= 1 && (batches[event.batch] == 0 || batches[event.batch] == batchEvents):
		case n != 1:
			found.add("load", "event %d is in the topics %d times", i, n)
		}
	}
}

func (v *lateView) checkFlaw(in input, event sent, found *findings) {
	want, got := event.flaw.Reason(), schemas.DeadLetterReason(v.reasons[in.String()])
	unknowable := want == "" && got == schemas.GrantUnknown
	if want != got && !unknowable {
		found.add("reason", "%s ends as dead letter %q, not %q", in, got, want)
	}
}

// lanes are the requests of each key of each partition, in the order of their offsets.
func (v *lateView) lanes(f *feed) map[string]*lane {
	lanes := map[string]*lane{}
	for _, in := range v.inputs {
		if in.event < 0 || in.event >= len(f.sent) || len(in.key) == 0 {
			continue
		}
		name := fmt.Sprintf("%s/%d/%s", in.topic, in.partition, in.key)
		if lanes[name] == nil {
			lanes[name] = newLane(name)
		}
		lanes[name].add(f.sent[in.event], v.parked[in.String()])
	}
	return lanes
}
