package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// headerSource says which request record an outcome answers.
const headerSource = "coupongrant-source"

// arrivals are when requests were due and when their outcomes became visible to
// a read_committed reader.
type arrivals struct {
	client *kgo.Client
	count  atomic.Int64

	mu    sync.Mutex
	began map[place]time.Time // of requests that are asked for
	ended map[place]time.Time
	first time.Time // when the first outcome was visible
	timed bool      // each end is kept, not only their number
}

// place of a request record in the store's topic.
type place struct {
	partition int32
	offset    int64
}

// fetchMaxWait is short, since a client's first fetch can be of a few partitions
// that have nothing, and the others wait for its answer.
const fetchMaxWait = 200 * time.Millisecond

// newArrivals reads from before the first outcome.
func newArrivals(c *cluster, timed bool) (*arrivals, error) {
	client, err := kgo.NewClient(append(c.options(), kgo.ConsumeTopics(c.topics.Granted, c.topics.Failed, c.topics.DeadLetter),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(fetchMaxWait))...)
	if err != nil {
		return nil, fmt.Errorf("preparing the reader of outcomes: %w", err)
	}
	return &arrivals{client: client, timed: timed, began: map[place]time.Time{}, ended: map[place]time.Time{}}, nil
}

func (a *arrivals) due(partition int32, offset int64, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began[place{partition, offset}] = at
}

// read takes outcomes in until ctx ends. Anything but a granted coupon means that
// something else was measured than was meant.
func (a *arrivals) read(ctx context.Context, granted string) error {
	for {
		fetches := a.client.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading outcomes: %w", err)
		}
		if err := a.take(fetches, granted, now); err != nil {
			return err
		}
	}
}

func (a *arrivals) take(fetches kgo.Fetches, granted string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first.IsZero() && fetches.NumRecords() > 0 {
		a.first = now
	}
	var wrong error
	fetches.EachRecord(func(r *kgo.Record) {
		if r.Topic != granted {
			wrong = fmt.Errorf("a request ended in the topic %s: the gateway grants all, so this run measures something else", r.Topic)
			return
		}
		a.count.Add(1)
		if a.timed {
			if at, ok := sourceOf(r); ok {
				a.ended[at] = now
			}
		}
	})
	return wrong
}

func sourceOf(r *kgo.Record) (place, bool) {
	for _, h := range r.Headers {
		if h.Key != headerSource {
			continue
		}
		parts := strings.Split(string(h.Value), "/")
		if len(parts) != 3 {
			return place{}, false
		}
		partition, err := strconv.ParseInt(parts[1], 10, 32)
		offset, other := strconv.ParseInt(parts[2], 10, 64)
		return place{int32(partition), offset}, err == nil && other == nil
	}
	return place{}, false
}

// missing counts the requests that were due before a moment and have no outcome.
func (a *arrivals) missing(from, to time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, due := range a.began {
		if _, ok := a.ended[at]; !ok && !due.Before(from) && due.Before(to) {
			n++
		}
	}
	return n
}

// percentiles of the time of the requests due between two moments, less the
// gateway's part of it.
func (a *arrivals) percentiles(from, to time.Time, call time.Duration, into map[string]float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	times := hdrhistogram.New(1, time.Hour.Microseconds(), 3)
	for at, due := range a.began {
		if due.Before(from) || !due.Before(to) {
			continue
		}
		end, ok := a.ended[at]
		if !ok {
			return errors.New("a request has no outcome")
		}
		if err := times.RecordValue(max(1, (end.Sub(due) - call).Microseconds())); err != nil {
			return fmt.Errorf("counting a time: %w", err)
		}
	}
	for _, p := range percentiles() {
		into[p.name] = float64(times.ValueAtPercentile(p.of)) / 1000
	}
	into["count"] = float64(times.TotalCount())
	return nil
}

type percentile struct {
	name string
	of   float64
}

// percentiles that are kept of every run at a rate.
func percentiles() []percentile {
	return []percentile{{"p10 ms", 10}, {p50, 50}, {"p75 ms", 75}, {"p90 ms", 90}, {"p95 ms", 95}, {p99, 99}, {"p99.9 ms", 99.9}, {"max ms", 100}}
}
