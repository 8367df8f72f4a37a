package proof

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// history is what happened in a system, in order: what to give a Checker of it,
// and how far the watermarks were at each moment.
type history struct {
	rnd    *rand.Rand
	steps  []step
	ends   []int64 // of the request records so far, by partition of store
	parked int64
}

type step struct {
	request bool
	give    func(s *system)
	ranges  []Range // after it
}

const historyPartitions = 3

// newHistory is of requests that meet random fates, breaches among them, with
// ends that come in any order and late.
func newHistory(seed uint64, steps int) *history {
	h := &history{rnd: rand.New(rand.NewPCG(seed, 1)), ends: make([]int64, historyPartitions)}
	var open []func()
	for range steps {
		if len(open) == 0 || h.rnd.IntN(100) < 45 {
			open = append(open, h.request())
			continue
		}
		n := h.rnd.IntN(len(open))
		open[n]()
		open = slices.Delete(open, n, n+1)
	}
	return h
}

func (h *history) add(request bool, give func(*system)) {
	h.steps = append(h.steps, step{request: request, give: give, ranges: h.ranges()})
}

// ranges: every watermark is a few records behind, and some of those are in the
// finished set.
func (h *history) ranges() []Range {
	all := []Range{{Topic: "retry", End: h.parked, Committed: max(h.parked-5, 0)}}
	for p, end := range h.ends {
		r := Range{Topic: "store", Partition: int32(p), End: end, Committed: max(end-10, 0)}
		for offset := r.Committed + 1; offset < end; offset += 3 {
			r.Finished = append(r.Finished, offset)
		}
		all = append(all, r)
	}
	return all
}

// request adds one, and returns what ends it.
func (h *history) request() (end func()) {
	p := h.rnd.IntN(historyPartitions)
	at := h.ends[p]
	h.ends[p] += 1 + int64(h.rnd.IntN(2)) // gaps too
	n := h.rnd.Int64N(60)                 // so that ids repeat
	asked := request(n)
	if h.rnd.IntN(20) == 0 {
		asked.OpenID = schemas.NewOpenID("somebody else")
	}
	r := requestRecord(at)
	r.Partition = int32(p)
	if h.rnd.IntN(20) == 0 {
		r.Headers = []kgo.RecordHeader{{Key: replayOfHeader, Value: []byte("x")}}
	}
	h.add(true, func(s *system) { s.AddRequest(r, asked, nil) })
	return func() { h.end(h.rnd.IntN(12), p, at, n) }
}

func (h *history) end(fate, p int, at, n int64) {
	source := fmt.Appendf(nil, "store/%d/%d", p, at)
	record := func(s *system, topic string) *kgo.Record {
		r := s.endRecord(topic, 0)
		r.Headers[0].Value = source
		return r
	}
	instance := n
	if h.rnd.IntN(15) == 0 {
		instance++
	}
	grant := func(s *system) {
		s.AddOutcome(record(s, "granted"), &schemas.Granted{Ending: ending(n), Coupon: coupon(instance)}, nil)
	}
	switch fate {
	case 0: // never
	case 1, 2:
		copyAt := h.parked
		h.parked++
		h.add(false, func(s *system) {
			r := record(s, "retry")
			r.Offset, r.Value = copyAt, requestRecord(at).Value
			s.AddParked(r)
		})
		if fate == 2 {
			h.add(false, grant)
		}
	case 3:
		h.add(false, grant)
		h.add(false, grant)
	case 4:
		h.add(false, func(s *system) {
			r := record(s, "dead")
			r.Value = requestRecord(at + int64(h.ends[0]%2)).Value
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: reasonHeader, Value: []byte("grant-unknown")})
			s.AddDeadLetter(r)
		})
	case 5:
		h.add(false, func(s *system) {
			s.AddOutcome(record(s, "failed"), &schemas.Failed{Ending: ending(n), Reason: schemas.ReasonOutOfStock}, nil)
		})
	case 6:
		h.add(false, func(s *system) {
			s.AddOutcome(record(s, "granted"), &schemas.Granted{Ending: ending(n + 1), Coupon: coupon(n)}, nil)
		})
	default:
		h.add(false, grant)
	}
}

// look gives a Checker a part of the history, as Read would: requests first.
func (h *history) look(c *Checker, from, to int) Report {
	s := &system{Checker: c, next: int64(from)}
	for _, r := range h.steps[to-1].ranges {
		s.AddRange(r)
	}
	for _, requests := range []bool{true, false} {
		for i, st := range h.steps[from:to] {
			if st.request == requests {
				s.next = int64(from + i) // the place of an end does not depend on the look
				st.give(s)
			}
		}
	}
	s.startLedger()
	for i := range int64(50) {
		s.ledger(i)
	}
	return sorted(s.Report())
}

// sorted: which id comes first depends on the key of the fingerprints.
func sorted(r Report) Report {
	order := func(f Findings) Findings {
		slices.SortFunc(f.Named, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
		if f.Total > MaxNamed {
			f.Named = nil // which of them depends on it too
		}
		return f
	}
	for kind, f := range r.Violations {
		r.Violations[kind] = order(f)
	}
	r.Conflicts = order(r.Conflicts)
	return r
}

// TestLooksAddUpToOne is what an audit that goes on where it stopped promises:
// however a history is cut into looks, the report is that of one look at all of
// it.
func TestLooksAddUpToOne(t *testing.T) {
	kinds := map[Kind]bool{}
	for seed := range uint64(15) {
		h := newHistory(seed, 150+int(seed)*10)
		want := h.look(NewChecker(testTopics()), 0, len(h.steps))
		dir := t.TempDir()
		var got Report
		for from := 0; from < len(h.steps); {
			to := min(from+1+h.rnd.IntN(60), len(h.steps))
			c := openTestState(t, dir)
			got = h.look(c, from, to)
			require.NoError(t, c.Err())
			if h.rnd.IntN(4) > 0 || to == len(h.steps) {
				require.NoError(t, c.Save(got))
				from = to
			} // else this look died, and the next one does its work again
			require.NoError(t, c.Close())
		}
		for kind := range got.Violations {
			kinds[kind] = true
		}
		got.New = nil
		require.Equal(t, want, got, "seed %d", seed)
	}
	require.Equal(t, map[Kind]bool{Lost: true, Doubled: true, Mismatch: true, Altered: true, GrantedTwice: true, Untrue: true}, kinds,
		"the histories hold every breach")
}

func openTestState(t *testing.T, dir string) *Checker {
	t.Helper()
	c, err := openState(testTopics(), state{dir: dir, group: "g", topicIDs: map[string]string{"store": "1"}})
	require.NoError(t, err)
	return c
}

func TestStateTellsWhatIsNew(t *testing.T) {
	dir := t.TempDir()
	h := &history{ends: make([]int64, historyPartitions)}
	for i := range int64(4) {
		h.ends[0] = i + 1
		h.add(true, func(s *system) { s.AddRequest(requestRecord(i), request(i), nil) })
		h.add(false, func(s *system) { s.grant(i) })
		if i%2 == 1 {
			h.add(false, func(s *system) { s.grant(i) })
		}
	}
	news := func(from, to int) *int64 {
		c := openTestState(t, dir)
		r := h.look(c, from, to)
		require.NoError(t, c.Save(r))
		require.NoError(t, c.Close())
		return r.New
	}
	require.Nil(t, news(0, 5), "nothing was known before")
	require.EqualValues(t, 0, *news(5, 7))
	require.EqualValues(t, 1, *news(7, 10))
	require.EqualValues(t, 0, *news(10, 10))
}

// What is new is told by where it is: it may come as something old goes, which
// retention has made not checkable or a ledger has cleared up.
func TestStateTellsWhatIsNewThoughTheTotalIsTheSame(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second func(s *system) // looks at requests 0, and 0 and 1
		kind          Kind
		want          int64
	}{
		{"lost, and an old one not checkable any more", func(*system) {}, func(s *system) {
			s.Trimmed(requestRecord(0).Timestamp.Add(-ClockMargin))
		}, Lost, 1},
		{"untrue, and an old one granted after all", func(s *system) {
			s.grant(0)
			s.startLedger()
		}, func(s *system) {
			s.grant(1)
			s.ledger(0)
		}, Untrue, 1},
		{"nothing, told in other words", func(s *system) {
			s.AddRange(Range{Topic: "store", End: 1, Finished: []int64{0}})
		}, func(s *system) { s.grant(1) }, Lost, 0},
		{"nothing, but a watermark beyond the end has moved", func(s *system) {
			s.grant(0)
			s.AddRange(Range{Topic: "retry", End: 100, Committed: 101})
		}, func(s *system) {
			s.grant(1)
			s.AddRange(Range{Topic: "retry", End: 100, Committed: 102})
		}, CommittedBeyondEnd, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			look := func(n int64, give func(*system)) Report {
				s := &system{Checker: openTestState(t, dir), next: 10 * n}
				s.AddRange(Range{Topic: "store", End: n + 1, Committed: n + 1})
				s.AddRange(Range{Topic: "retry", End: 100, Committed: 100})
				s.AddRequest(requestRecord(n), request(n), nil)
				give(s)
				r := s.Report()
				require.Equal(t, map[Kind]int64{c.kind: 1}, counts(r))
				require.NoError(t, s.Save(r))
				require.NoError(t, s.Close())
				return r
			}
			look(0, c.first)
			require.Equal(t, c.want, *look(1, c.second).New)
		})
	}
}

func TestStateForgetsMarksThatRetentionTook(t *testing.T) {
	p := newPartition(Range{Topic: "store", Start: 2 * pageSize}, 0)
	for _, offset := range []int64{0, pageSize, 2 * pageSize} {
		p.add(offset, seen)
	}
	p.open[pageSize] = record{} // without an end, it is still to be judged
	p.forget()
	require.Zero(t, p.mark(0))
	require.Equal(t, seen, p.mark(pageSize))
	require.Equal(t, seen, p.mark(2*pageSize))
}

// TestReadGoesOnWhereItStopped: looks at a system on the wire, in small rounds,
// while requests and ends arrive, give the report of one look at the end.
func TestReadGoesOnWhereItStopped(t *testing.T) {
	var unfinished int64
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { unfinished += goesOn(t, seed) })
	}
	require.Positive(t, unfinished)
}

func goesOn(t *testing.T, seed uint64) (unfinished int64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	l := newLive(t, 0)
	l.source.State, l.source.round = t.TempDir(), 1+int64(rnd.IntN(20))
	var open []int
	var got Report
	for range 6 {
		l.produceEvents(10, seed)
		for n := len(l.events) - 10; n < len(l.events); n++ {
			open = append(open, n)
		}
		rnd.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
		for range rnd.IntN(len(open)) {
			refused := rnd.IntN(3) == 0
			l.finish(l.client, open[0], refused)
			if rnd.IntN(8) == 0 { // a double, on the same topic: across topics, any may be called the second
				l.finish(l.client, open[0], refused)
			}
			open = open[1:]
		}
		l.commitUpTo(func(int64) int64 { return 3 })
		checker, err := Read(t.Context(), l.source)
		require.NoError(t, err)
		got = checker.Report()
		require.NoError(t, checker.Save(got))
		require.NoError(t, checker.Close())
	}
	got.New = nil
	l.source.State, l.source.round = "", 0
	want := sorted(l.look())
	require.Equal(t, want, sorted(got))
	require.Contains(t, want.Violations, Doubled)
	return want.Unfinished
}
