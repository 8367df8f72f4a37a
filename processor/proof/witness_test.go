//go:build chaos || apart

package proof_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// sourceHeader is written down again: the engine's constant could be wrong.
const sourceHeader = "coupongrant-source"

// witness reads the results under read_committed while the faults happen, as
// users do. What it has seen once must be there for ever.
type witness struct {
	system *system
	found  *findings

	mu    sync.Mutex
	seen  map[position]string // source of each end and parked copy
	ends  map[string]position // by source
	doubt map[string]bool     // by source: parked in doubt, which it stays in
	last  map[topicPartition]int64
	waits []*takeOver
}

// takeOver waits for the first outcome of a dead process's partitions.
type takeOver struct {
	killed time.Time
	of     map[topicPartition]bool
	took   time.Duration // from the kill until the outcome could be read; 0: not yet
	done   chan struct{}
}

func newWitness(s *system, found *findings) *witness {
	return &witness{
		system: s, found: found,
		seen: map[position]string{}, ends: map[string]position{}, doubt: map[string]bool{}, last: map[topicPartition]int64{},
	}
}

// run reads until ctx ends.
func (w *witness) run(ctx context.Context) error {
	topics := w.system.topics
	client, err := kgo.NewClient(append(w.system.options(),
		kgo.ConsumeTopics(topics.Granted, topics.Failed, topics.DeadLetter, topics.Retry),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
				w.lose(topicPartition{topic, partition}, loss)
			}
		})
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) { w.take(r, now) })
	}
	return nil
}

// lose finds fault with a log that lost what was read of it. Markers and aborted
// records are not: kgo does not remember the leader epoch of what it passes over,
// so it takes them for lost when leaders have changed before and after them.
func (w *witness) lose(of topicPartition, loss *kgo.ErrDataLoss) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, ok := w.last[of]; ok && loss.ResetTo <= last {
		w.found.add("reader", "%v, and %s was read", loss, position{of, last})
	}
}

func (w *witness) take(r *kgo.Record, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := position{topicPartition{r.Topic, r.Partition}, r.Offset}
	source := headerOf(r, sourceHeader)
	if last, ok := w.last[at.topicPartition]; ok && r.Offset <= last {
		w.found.add("reader", "%s was read after offset %d", at, last)
		return
	}
	w.last[at.topicPartition] = r.Offset
	w.seen[at] = source
	checkRecord(r, w.system.topics, w.found)
	if r.Topic == w.system.topics.Retry {
		w.doubt[source] = w.doubt[source] || headerOf(r, "coupongrant-in-doubt") == "true"
		return
	}
	if before, ok := w.ends[source]; ok {
		w.found.add("doubled", "%s ends at %s and again at %s", source, before, at)
		return
	}
	w.ends[source] = at
	w.tell(source, r.Timestamp, now)
}

// tell looks whether somebody waits for this outcome: its producer wrote it
// after the kill.
func (w *witness) tell(source string, written, now time.Time) {
	tp, _, ok := readSource(source)
	if !ok {
		return
	}
	for _, wait := range w.waits {
		if wait.took == 0 && wait.of[tp] && written.After(wait.killed) {
			wait.took = now.Sub(wait.killed)
			close(wait.done)
		}
	}
}

// expect starts to wait for a take-over.
func (w *witness) expect(of map[topicPartition]bool, killed time.Time) *takeOver {
	wait := &takeOver{killed: killed, of: of, done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = append(w.waits, wait)
	return wait
}

// cannotFail says that a record has ended, or will not end as failed.
func (w *witness) cannotFail(source string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ended := w.ends[source]
	return ended || w.doubt[source]
}

func (w *witness) ended() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ends)
}

// checkRecord looks for what no result may show. Retry and dead-letter values
// are the request itself.
func checkRecord(r *kgo.Record, topics proof.Topics, found *findings) {
	for _, h := range r.Headers {
		checkText("a header "+h.Key+" of "+r.Topic, h.Value, found)
	}
	checkText("a key of "+r.Topic, r.Key, found)
	if r.Topic == topics.Granted || r.Topic == topics.Failed {
		checkText("a value of "+r.Topic, r.Value, found)
	}
}

func checkText(where string, text []byte, found *findings) {
	for _, canary := range []string{proof.Canary, canarySecret, canarySession} {
		if bytes.Contains(text, []byte(canary)) {
			found.add("leak", "%s in %s", canary, where)
		}
	}
}

// What the runs call a leak is seen, wherever in a result it stands.
func TestEveryPartOfAResultIsSearchedForLeaks(t *testing.T) {
	topics := proof.Topics{Granted: "granted", Failed: "failed", DeadLetter: "dead-letter", Retry: "retry"}
	for name, row := range map[string]struct {
		topic string
		in    func(*kgo.Record, []byte)
		leaks bool
	}{
		"the key of an outcome":     {topics.Granted, func(r *kgo.Record, b []byte) { r.Key = b }, true},
		"the value of an outcome":   {topics.Failed, func(r *kgo.Record, b []byte) { r.Value = b }, true},
		"a header of a parked copy": {topics.Retry, func(r *kgo.Record, b []byte) { r.Headers = []kgo.RecordHeader{{Key: "h", Value: b}} }, true},
		"the key of a dead letter":  {topics.DeadLetter, func(r *kgo.Record, b []byte) { r.Key = b }, true},
		"the request itself":        {topics.DeadLetter, func(r *kgo.Record, b []byte) { r.Value = b }, false},
	} {
		for _, canary := range []string{proof.Canary, canarySecret, canarySession} {
			r := &kgo.Record{Topic: row.topic}
			row.in(r, []byte("before "+canary+" behind"))
			var found findings
			checkRecord(r, topics, &found)
			require.Equal(t, row.leaks, found.total["leak"] == 1, "%s: %s", name, canary)
		}
	}
}
