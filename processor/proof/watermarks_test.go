//go:build chaos || apart

package proof_test

import (
	"context"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const sampleEvery = 250 * time.Millisecond

// watermarks samples what the group has committed, and after each look how far
// the results had been written by then: the end of every record below a
// watermark must be among them.
type watermarks struct {
	system *system
	admin  *kadm.Client
	found  *findings

	mu      sync.Mutex
	samples int
	behind  int                       // looks at which a coordinator told who asked for less of older offsets
	marks   map[topicPartition][]mark // each higher than the one before
}

// mark is a watermark as it was first seen.
type mark struct {
	offset  int64
	results map[topicPartition]int64 // ends of the result topics, looked at later
}

func (w *watermarks) run(ctx context.Context) error {
	return every(ctx, sampleEvery, func() { w.sample(ctx) })
}

// sample looks once; brokers that do not answer are asked the next time. It asks as
// a new owner does, with RequireStable (KIP-447): a coordinator that has just taken
// over tells who asks for less what its followers are known to have, which for a
// second can be less than had been committed.
func (w *watermarks) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	w.compare(ctx)
	committed, err := w.admin.FetchOffsets(kadm.RequireStable(ctx), w.system.group)
	if err != nil || committed.Error() != nil {
		return
	}
	topics := w.system.topics
	ends, err := w.admin.ListEndOffsets(ctx, topics.Granted, topics.Failed, topics.DeadLetter, topics.Retry)
	if err != nil || ends.Error() != nil {
		return
	}
	results := map[topicPartition]int64{}
	ends.Each(func(o kadm.ListedOffset) { results[topicPartition{o.Topic, o.Partition}] = o.Offset })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples++
	committed.Each(func(o kadm.OffsetResponse) { w.add(topicPartition{o.Topic, o.Partition}, o.At, results) })
}

// compare asks without RequireStable, and counts what is older than what was seen.
func (w *watermarks) compare(ctx context.Context) {
	hasty, err := w.admin.FetchOffsets(ctx, w.system.group)
	if err != nil || hasty.Error() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for tp, newest := range w.last() {
		if told, ok := hasty.Lookup(tp.topic, tp.partition); !ok || told.At < newest {
			w.behind++
			return
		}
	}
}

func (w *watermarks) add(tp topicPartition, offset int64, results map[topicPartition]int64) {
	before := w.marks[tp]
	switch {
	case len(before) > 0 && offset < before[len(before)-1].offset:
		w.found.add("moved back", "the watermark of %s/%d, from %d to %d", tp.topic, tp.partition, before[len(before)-1].offset, offset)
	case len(before) == 0 || offset > before[len(before)-1].offset:
		w.marks[tp] = append(before, mark{offset, results})
	}
}

// covering is the first mark above a record; nil: none was seen.
func (w *watermarks) covering(p position) *mark {
	marks := w.marks[p.topicPartition]
	i := sort.Search(len(marks), func(i int) bool { return marks[i].offset > p.offset })
	if i == len(marks) {
		return nil
	}
	return &marks[i]
}

// last is the newest watermark of each partition.
func (w *watermarks) last() map[topicPartition]int64 {
	out := map[topicPartition]int64{}
	for tp, marks := range w.marks {
		out[tp] = marks[len(marks)-1].offset
	}
	return out
}

// check holds each record against the first watermark that covered it: its end,
// or the parked copy that took it on, was written by then.
func (w *watermarks) check(view *lateView) {
	for _, p := range slices.Collect(maps.Keys(view.finishedAt)) {
		m, at := w.covering(p), view.finishedAt[p]
		if m != nil && at.offset >= m.results[at.topicPartition] {
			w.found.add("watermark", "%s was covered by %d before its end at %s was written", p, m.offset, at)
		}
	}
	last := w.last()
	for tp, newest := range view.newest {
		if last[tp] <= newest {
			w.found.add("lag", "%s/%d is committed up to %d, its last record is %d", tp.topic, tp.partition, last[tp], newest)
		}
	}
}
