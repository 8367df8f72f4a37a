//go:build apart

package proof_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// arrivals are when each end and each parked copy became visible to a
// read_committed reader.
type arrivals struct {
	system *system

	mu      sync.Mutex
	ends    map[position]time.Time // by source
	reasons map[position]string    // of dead letters
	parked  map[position][]parkedCopy
	next    map[topicPartition]int64 // of the results: the next offset to be read
	double  int                      // sources that had an end already
}

// parkedCopy is a record of the retry topic.
type parkedCopy struct {
	seen time.Time
	due  time.Time
}

func newArrivals(s *system) *arrivals {
	return &arrivals{
		system: s, ends: map[position]time.Time{}, reasons: map[position]string{},
		parked: map[position][]parkedCopy{}, next: map[topicPartition]int64{},
	}
}

func (a *arrivals) topics() []string {
	t := a.system.topics
	return []string{t.Granted, t.Failed, t.DeadLetter, t.Retry}
}

// run reads until ctx ends.
func (a *arrivals) run(ctx context.Context) error {
	client, err := kgo.NewClient(append(a.system.options(), kgo.ConsumeTopics(a.topics()...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		for _, e := range fetches.Errors() {
			if loss, ok := errors.AsType[*kgo.ErrDataLoss](e.Err); ok {
				return loss
			}
		}
		a.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { a.take(r, now) })
		a.mu.Unlock()
	}
	return nil
}

func (a *arrivals) take(r *kgo.Record, now time.Time) {
	a.next[topicPartition{r.Topic, r.Partition}] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	tp, offset, ok := readSource(headerOf(r, sourceHeader))
	if !ok {
		return // the audit says what is wrong with it
	}
	source := position{tp, offset}
	switch r.Topic {
	case a.system.topics.Retry:
		due, _ := time.Parse(time.RFC3339Nano, headerOf(r, "coupongrant-next-at")) // the zero time is never met
		a.parked[source] = append(a.parked[source], parkedCopy{now, due})
		return
	case a.system.topics.DeadLetter:
		a.reasons[source] = headerOf(r, "coupongrant-reason")
	}
	if _, before := a.ends[source]; before {
		a.double++
		return
	}
	a.ends[source] = now
}

func (a *arrivals) endOf(e *event) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.ends[e.source]
	return at, ok
}

func (a *arrivals) parkedOf(e *event) []parkedCopy {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.parked[e.source])
}

// ended waits until all of some events have their end.
func (a *arrivals) ended(events []*event, limit time.Duration) error {
	met := 0
	return within(limit, "not all have their end", func() bool {
		for met < len(events) {
			if _, ok := a.endOf(events[met]); !ok {
				return false
			}
			met++
		}
		return true
	})
}

// caughtUp waits until the reader has met everything that is committed.
func (a *arrivals) caughtUp(ctx context.Context, admin *kadm.Client, limit time.Duration) error {
	return within(limit, "the reader is behind", func() bool {
		stable, err := admin.ListCommittedOffsets(ctx, a.topics()...)
		if err != nil || stable.Error() != nil {
			return false
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		behind := false
		stable.Each(func(o kadm.ListedOffset) {
			behind = behind || a.next[topicPartition{o.Topic, o.Partition}] < o.Offset
		})
		return !behind
	})
}

// figures of some events under a name: the time from when each was due to be
// sent until its end was visible, and how many a second that were.
func (a *arrivals) figures(s *stage, name string, events []*event, into map[string]float64) {
	s.t.Helper()
	var latencies, late []float64
	var first, last time.Time
	for _, e := range events {
		at, ok := a.endOf(e)
		require.True(s.t, ok, "%s has no end", e.id)
		latencies = append(latencies, at.Sub(e.due).Seconds())
		late = append(late, e.late.Seconds())
		if first.IsZero() || e.due.Before(first) {
			first = e.due
		}
		if at.After(last) {
			last = at
		}
	}
	slices.Sort(latencies)
	into[name+" p50 s"] = percentile(latencies, 0.5)
	into[name+" p99 s"] = percentile(latencies, 0.99)
	into[name+" max s"] = percentile(latencies, 1)
	into[name+" per s"] = float64(len(events)) / last.Sub(first).Seconds()
	into[name+" sent late p99 s"] = percentile(late, 0.99)
	into[name+" count"] = float64(len(events))
}
