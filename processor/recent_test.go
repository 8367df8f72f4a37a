package processor

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
)

var pastTopics = DefaultConfig().Topics

// pastTask is a record that was called for, as many times as it has attempts.
func pastTask(id, topic string, offset int64, attempts int) *task {
	t := newTask(assignment{partition{topic, 0}, 1}, &kgo.Record{Offset: offset, Timestamp: time.UnixMilli(1000 * offset)}, pastTopics.Retry, time.Minute)
	t.request.RequestID, t.taken = id, time.UnixMilli(1000*offset+1)
	for i := range attempts {
		t.remember(schemas.Attempt{At: time.UnixMilli(1000*offset + int64(i)).UTC()})
	}
	return t
}

func committedEnd(r *recent, e *end) {
	r.end(e)
	r.committed([]*end{e})
}

func TestRecentTellsWhatARecordCameTo(t *testing.T) {
	at := time.UnixMilli(9_000).UTC()
	for name, row := range map[string]struct {
		end  end
		want Trail
	}{
		"granted":     {end{kind: endGranted}, Trail{End: "granted"}},
		"failed":      {end{kind: endFailed, failure: schemas.ReasonOutOfStock}, Trail{End: "failed", Reason: "OUT_OF_STOCK"}},
		"dead letter": {end{kind: endDeadLetter, reason: schemas.GrantUnknown, detail: "in doubt\nfor long"}, Trail{End: "dead-letter", Reason: "grant-unknown", Detail: "in doubt for long"}},
		"parked":      {end{kind: endParked, next: at.Add(time.Minute)}, Trail{End: "parked"}},
	} {
		for _, attempts := range []int{0, 1, 3} {
			t.Run(fmt.Sprint(name, ", attempts ", attempts), func(t *testing.T) {
				r := newRecent(pastTopics, 10)
				e := row.end
				e.task, e.at = pastTask("order-1", pastTopics.Loyalty, 7, attempts), at
				want := row.want
				want.RequestID, want.Topic, want.Offset, want.Source = "order-1", pastTopics.Loyalty, 7, pastTopics.Loyalty+"/0/7"
				want.Written, want.TakenAt, want.Attempts = time.UnixMilli(7000).UTC(), time.UnixMilli(7001).UTC(), attempts
				want.Log, want.EndedAt = append([]schemas.Attempt{}, e.task.log...), &at
				if !e.next.IsZero() {
					want.NextAt = &e.next
				}
				r.end(&e)
				want.State = stateEnded
				require.Equal(t, []Trail{want}, r.of("order-1"))
				require.Empty(t, r.newest(&r.pasts, 10), "it is not visible yet")
				r.committed([]*end{&e})
				want.State = stateCommitted
				require.Equal(t, []Trail{want}, r.of("order-1"))
				require.Equal(t, []Trail{want}, r.newest(&r.pasts, 10))
				require.Empty(t, r.of("order-2"))
			})
		}
	}
}

// A model that remembers everything says what the newest so many are, and what is
// known of each id.
func TestRecentKeepsTheNewestOfEachID(t *testing.T) {
	const most, ids = 50, 9
	r := newRecent(pastTopics, most)
	var all []*end
	for i := range int64(1000) {
		id := strconv.Itoa(int(i * i % ids))
		if i%150 > most { // for so long that all that is known of the others is overwritten
			id = "once-" + strconv.Itoa(int(i))
		}
		e := &end{task: pastTask(id, pastTopics.Store, i, 1), kind: endGranted, at: time.UnixMilli(i).UTC()}
		committedEnd(r, e)
		all = append(all, e)
		kept := all[max(0, len(all)-most):]
		for id := range ids {
			var want []int64
			for n := len(kept) - 1; n >= 0; n-- {
				if kept[n].task.request.RequestID == strconv.Itoa(id) {
					want = append(want, kept[n].task.offset)
				}
			}
			var got []int64
			for _, trail := range r.of(strconv.Itoa(id)) {
				got = append(got, trail.Offset)
			}
			require.Equal(t, want, got, "id %d after %d", id, i)
		}
		newest := r.newest(&r.pasts, 3)
		require.Equal(t, i, newest[0].Offset)
		require.Len(t, newest, min(3, len(all)))
	}
	require.Empty(t, r.ended)
}

func TestRecentKeepsDeadLettersLonger(t *testing.T) {
	r := newRecent(pastTopics, 5)
	committedEnd(r, &end{task: pastTask("", pastTopics.Store, 0, 0), kind: endDeadLetter, reason: schemas.Undecodable, at: time.Now()})
	for i := range int64(20) {
		committedEnd(r, &end{task: pastTask(strconv.Itoa(int(i)), pastTopics.Store, i+1, 1), kind: endGranted, at: time.Now()})
	}
	letters := r.newest(&r.letters, 10)
	require.Len(t, letters, 1)
	require.Equal(t, "undecodable", letters[0].Reason)
	require.Empty(t, r.of(""))
}

func TestRecentTellsWhatHasMoved(t *testing.T) {
	r := newRecent(pastTopics, 5)
	e := &end{task: pastTask("order-1", pastTopics.Store, 3, 1), kind: endGranted, at: time.Now()}
	r.end(e)
	r.dropped(assignment{partition{pastTopics.Store, 0}, 2})
	require.Equal(t, stateEnded, r.of("order-1")[0].State, "of another epoch")
	r.dropped(e.task.assignment)
	require.Equal(t, stateMoved, r.of("order-1")[0].State)
	require.Empty(t, r.of("order-1")[0].End, "it is not known what became of it")
	require.Empty(t, r.newest(&r.pasts, 5))
}

// BenchmarkRecent is what remembering costs an event, with a full ring.
func BenchmarkRecent(b *testing.B) {
	r := newRecent(pastTopics, recentPasts)
	tasks := make([]*task, 2*recentPasts)
	for i := range tasks {
		tasks[i] = pastTask(fmt.Sprintf("4f6c2a90-7d1e-4b38-9c55-%012d", i), pastTopics.Store, int64(i), 1)
	}
	ends := make([]*end, 0, atATime)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		e := &end{task: tasks[n%len(tasks)], kind: endGranted}
		n++
		r.end(e)
		if ends = append(ends, e); len(ends) == cap(ends) {
			r.committed(ends)
			ends = ends[:0]
		}
	}
}

// BenchmarkRecentMemory is how much a full ring holds, the tasks being gone.
func BenchmarkRecentMemory(b *testing.B) {
	for b.Loop() {
		r := newRecent(pastTopics, recentPasts)
		before := heapInUse()
		for i := range int64(recentPasts) {
			committedEnd(r, &end{task: pastTask(fmt.Sprintf("4f6c2a90-7d1e-4b38-9c55-%012d", i), pastTopics.Store, i, 1), kind: endGranted, at: time.Now()})
		}
		b.ReportMetric(float64(heapInUse()-before)/recentPasts, "B/record")
		runtime.KeepAlive(r)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// The scheduler hears later than the session that a partition has left, and may
// end a request in between.
func TestEndOfAPartitionThatHasLeftIsNotWaitedFor(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry(), breaker.New(breaker.DefaultConfig(), nil), nil)
	require.NoError(t, err)
	s := &session{windows: newWindows(1000, 1<<20, 1<<20), metrics: m, recent: newRecent(pastTopics, 10)}
	e := &end{kind: endGranted, task: pastTask("order-1", pastTopics.Store, 7, 1), at: time.UnixMilli(9_000)}
	s.recent.end(e)
	s.applyReport(report{assignment: e.task.assignment, end: e})
	require.Equal(t, stateMoved, s.recent.of("order-1")[0].State)
}
