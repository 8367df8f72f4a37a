package processor

import (
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
)

// Random histories of a fleet: replicas read two inputs and the retry topic,
// call, end and park, commit and abort, lose partitions with and without being
// told, hand them over, and die. The sessions are real, but for Kafka and time; a
// naive model of Kafka remembers everything and says after each step what must
// hold:
//
//   - no record has two ends, a parking being one, and none below the committed
//     offset has none;
//   - what a commit says of a partition is what its next owner reads;
//   - a record that someone may have called for, and was not only told no, is in doubt
//     with the next owner, and with whoever gets it after it was parked;
//   - in the end every request has one outcome.
func TestFleetKeepsItsPromisesInRandomHistories(t *testing.T) {
	const histories, steps = 1000, 1000
	var seen fleetCounts
	for seed := range uint64(histories) {
		random := rand.New(rand.NewPCG(seed, 3))
		program := make([]byte, 2*steps)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		seen.add(runFleet(t, program).fleetCounts)
	}
	require.Greater(t, seen.parked, 9*histories, "parkings")
	require.Greater(t, seen.stale, histories, "results of an earlier ownership")
	require.Greater(t, seen.refused, histories, "commits of who did not own a partition any more")
	require.Greater(t, seen.doubts, histories, "records found in doubt")
	require.Greater(t, seen.endedAgain, histories, "records found ended above the watermark")
	require.Greater(t, seen.toldNo, 4*histories, "calls that were told no")
	require.Greater(t, seen.cleared, histories/50, "records that were told no, and are not in doubt with the next owner")
}

func FuzzFleet(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 8, 3, 6, 23, 9, 3, 9, 9, 0, 16, 3, 23, 0, 3, 5, 28, 2})    // called, parked, found in the retry topic
	f.Add([]byte{0, 8, 3, 6, 23, 9, 3, 9, 9, 0, 30, 0, 3, 6, 3, 9})            // a crash with a call in flight
	f.Add([]byte{0, 8, 3, 6, 23, 9, 3, 9, 9, 0, 28, 0, 16, 0, 23, 0, 3, 6})    // a partition is taken away in silence
	f.Add([]byte{0, 8, 3, 6, 23, 9, 9, 0, 9, 3, 16, 3, 31, 0, 3, 6, 9, 0, 29}) // a stop with one end above another's call
	f.Fuzz(func(t *testing.T, program []byte) { runFleet(t, program[:min(len(program), 2000)]) })
}

// runFleet runs a program, two bytes a step, then has everything end.
func runFleet(t testing.TB, program []byte) *fleet {
	f := newFleet(t, program)
	for i := 0; i+1 < len(program); i += 2 {
		f.step(program[i], int(program[i+1]))
	}
	f.drain()
	return f
}

type fleetCounts struct{ parked, stale, refused, doubts, endedAgain, toldNo, cleared int }

func (c *fleetCounts) add(other fleetCounts) {
	c.parked += other.parked
	c.stale += other.stale
	c.refused += other.refused
	c.doubts += other.doubts
	c.endedAgain += other.endedAgain
	c.toldNo += other.toldNo
	c.cleared += other.cleared
}

// fleet is the replicas, Kafka, and what the model remembers.
type fleet struct {
	fleetCounts
	t        testing.TB
	program  []byte
	cfg      Config
	publish  publisher
	replicas [3]*modelReplica
	inputs   []*modelPartition
	outcomes map[string]int // by source
}

// modelPartition is a partition as Kafka knows it.
type modelPartition struct {
	partition
	log    []*kgo.Record
	ends   map[int64]int  // committed: outcomes and parkings
	called map[int64]bool // by anyone, not parked since, and not only told no
	offset int64          // committed
	text   string         // beside it
	owner  int            // who it is assigned to
}

// modelReplica is a session without its goroutines.
type modelReplica struct {
	*session
	at    map[partition]int // place in the log to poll from
	calls []*task           // in flight
	tasks []*task           // to be called
}

func newFleet(t testing.TB, program []byte) *fleet {
	cfg := DefaultConfig()
	cfg.WindowRecords, cfg.MaxInFlight = 16, 4
	f := &fleet{t: t, program: program, cfg: cfg, publish: publisher{topics: cfg.Topics}, outcomes: map[string]int{}}
	for i, topic := range []string{cfg.Topics.Store, cfg.Topics.Loyalty, cfg.Topics.Retry} {
		f.inputs = append(f.inputs, &modelPartition{
			partition: partition{topic, 0}, ends: map[int64]int{}, called: map[int64]bool{},
			owner: i, text: metadata{}.encode(),
		})
	}
	for i := range f.replicas {
		f.replicas[i] = f.newReplica()
	}
	for _, p := range f.inputs {
		f.assign(p, p.owner)
	}
	return f
}

var (
	fleetBreaker    = breaker.New(breaker.DefaultConfig(), nil)
	fleetMetrics, _ = newMetrics(prometheus.NewRegistry(), fleetBreaker, nil)
	fleetLog        = slog.New(slog.DiscardHandler)
	fleetHolds      = newHolds(fleetLog, func(string, int) {})
)

func (f *fleet) newReplica() *modelReplica {
	with := surroundings{
		kept:    kept{gate: &gate{guard: new(guard)}, sight: new(sight), recent: newRecent(f.cfg.Topics, 1), grants: newGrants(8)},
		metrics: fleetMetrics, holds: fleetHolds, reports: newMailbox[report](newBell()), lease: newLease(time.Hour),
	}
	return &modelReplica{
		session: &session{
			cfg: f.cfg, log: fleetLog, metrics: fleetMetrics, holds: fleetHolds, undecoded: newUndecoded(),
			windows: newWindows(f.cfg.WindowRecords, f.cfg.WindowBytes, f.cfg.WindowTotalBytes),
			tx:      &transaction{nonce: newNonce()}, commits: commits{budget: 40},
			sight: with.sight, recent: with.recent,
			scheduler: newScheduler(f.cfg, Deps{Logger: fleetLog, Breaker: fleetBreaker}, with),
		},
		at: map[partition]int{},
	}
}

// told has the scheduler do what the session told it.
func (r *modelReplica) told() {
	for _, do := range r.scheduler.inbox.take() {
		do()
	}
}

func (f *fleet) assert(ok bool, format string, args ...any) {
	if !ok {
		f.t.Helper()
		f.t.Log("program", hex.EncodeToString(f.program))
		f.t.Fatalf(format, args...)
	}
}

func (f *fleet) step(op byte, arg int) {
	p := f.inputs[arg%3]
	r := f.replicas[p.owner]
	other := (p.owner + 1 + arg/3%2) % 3
	switch op % 32 {
	case 0, 1, 2:
		f.produce(f.inputs[arg%2], arg/2%4)
	case 3, 4, 5, 6, 7, 8:
		f.poll(r, p, arg/3%8)
	case 9, 10, 11, 12, 13, 14, 15:
		f.call(r, arg/3)
	case 16, 17, 18, 19, 20, 21, 22:
		f.finish(f.replicas[arg%3], arg/3)
	case 23, 24, 25, 26:
		f.commit(f.replicas[arg%3], int64(arg/3%8), false)
	case 27:
		f.replicas[arg%3].nextBatch(false) // and the transaction aborts
	case 28: // a rebalance: the owner is told, or finds out when it commits
		if arg >= 128 {
			r.drop(p.partition)
		}
		f.assign(p, other)
	case 29:
		if o, ok := r.windows.open[p.partition]; ok { // kgo goes back after an abort
			low := slices.IndexFunc(p.log, func(rec *kgo.Record) bool { return rec.Offset >= o.watermark })
			r.at[p.partition] -= arg / 3 % (max(r.at[p.partition]-max(low, 0), 0) + 1)
		}
	case 30: // a crash
		f.replace(p.owner, other)
	case 31: // a graceful stop
		f.commit(r, 0, true)
		f.replace(p.owner, other)
	}
	for _, r := range f.replicas {
		r.told()
		for _, o := range r.windows.open {
			f.assert(o.check() == nil, "%v", o.check())
		}
	}
}

func (f *fleet) produce(p *modelPartition, n int) {
	for range n + 1 {
		f.append(p, &kgo.Record{})
	}
}

func (f *fleet) append(p *modelPartition, r *kgo.Record) {
	r.Topic = p.topic
	if last := len(p.log) - 1; last >= 0 {
		r.Offset = p.log[last].Offset + 1 + int64(last%4/3) // a marker now and then
	}
	p.log = append(p.log, r)
}

// assign gives a partition to a replica, which reads what is committed.
func (f *fleet) assign(p *modelPartition, to int) {
	m, err := decodeMetadata(p.offset, 1, p.text)
	f.assert(err == nil, "%v", err)
	var set []int64
	for _, r := range p.log {
		f.assert(r.Offset >= p.offset || p.ends[r.Offset] == 1, "offset %d is passed without an end", r.Offset)
		if r.Offset >= p.offset && p.ends[r.Offset] > 0 {
			set = append(set, r.Offset)
		}
	}
	f.assert(slices.Equal(set, m.position.finished), "read back %v, ended %v", m.position.finished, set)
	p.owner = to
	r := f.replicas[to]
	r.open(opening{partition: p.partition, metadata: m}, "")
	r.told()
	r.at[p.partition] = len(p.log)
	if first := slices.IndexFunc(p.log, func(rec *kgo.Record) bool { return rec.Offset >= p.offset }); first >= 0 {
		r.at[p.partition] = first
	}
}

// poll takes in some records and says which of them have to be in doubt.
func (f *fleet) poll(r *modelReplica, p *modelPartition, n int) {
	o, ok := r.windows.open[p.partition]
	for ; ok && n >= 0 && r.at[p.partition] < len(p.log) && !o.Full(); n-- {
		record := p.log[r.at[p.partition]]
		r.at[p.partition]++
		fresh := record.Offset >= o.next
		r.admitRecord(o, record, time.Now())
		tasks := r.undecoded.take(10)
		switch {
		case !fresh:
			f.assert(len(tasks) == 0, "offset %d is taken in twice", record.Offset)
		case p.ends[record.Offset] > 0:
			f.assert(len(tasks) == 0, "offset %d is taken in after its end", record.Offset)
			f.endedAgain++
		default:
			f.assert(len(tasks) == 1, "offset %d is skipped", record.Offset)
			f.assert(!p.called[record.Offset] || tasks[0].inDoubt, "offset %d was called for and is not in doubt", record.Offset)
			f.assert(headerText(record, headerInDoubt) != "true" || tasks[0].inDoubt, "doubt is lost by parking")
			if told, ever := p.called[record.Offset]; ever && !told && !tasks[0].inDoubt {
				f.cleared++
			}
			if tasks[0].inDoubt {
				f.doubts++
			}
			r.scheduler.supplies[o.assignment].admit(tasks[0])
			r.tasks = append(r.tasks, tasks...)
		}
	}
}

// call begins the call of a task below the committed ceiling.
func (f *fleet) call(r *modelReplica, arg int) {
	var open []*task
	for _, t := range r.tasks {
		if sup, ok := r.scheduler.supplies[t.assignment]; ok && t.offset < sup.ceiling {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		return
	}
	t := open[arg%len(open)]
	r.tasks = slices.DeleteFunc(r.tasks, func(other *task) bool { return other == t })
	r.calls = append(r.calls, t)
	t.began = time.Unix(1, 0)
	r.scheduler.supplies[t.assignment].firstCall(t)
	f.of(t.partition).called[t.offset] = true
}

func (f *fleet) of(p partition) *modelPartition {
	return f.inputs[slices.IndexFunc(f.inputs, func(in *modelPartition) bool { return in.partition == p })]
}

// finish ends a call: a grant, a doubt that is parked, or a doubt or a no, to be called
// again.
func (f *fleet) finish(r *modelReplica, arg int) {
	if len(r.calls) == 0 {
		return
	}
	t := r.calls[arg%len(r.calls)]
	r.calls = slices.DeleteFunc(r.calls, func(other *task) bool { return other == t })
	t.began = time.Time{}
	e := &end{task: t, kind: endGranted}
	switch arg % 8 {
	case 6:
		if _, ours := r.scheduler.supplies[t.assignment]; ours {
			f.of(t.partition).called[t.offset] = t.inDoubt
			f.toldNo++
		}
		r.tasks = append(r.tasks, t)
		return
	case 7:
		t.inDoubt = true
		r.tasks = append(r.tasks, t)
		return
	case 1, 3, 5:
		t.inDoubt = true
		e = &end{task: t, kind: endParked, next: time.Unix(0, 0)}
	}
	if sup, ok := r.scheduler.supplies[t.assignment]; ok {
		sup.ended(t)
	} else {
		f.stale++
	}
	r.applyReport(report{assignment: t.assignment, end: e})
}

// commit makes a transaction of what is ready. Kafka takes it as a whole; the
// session takes nothing of a batch with a partition that is not its own.
func (f *fleet) commit(r *modelReplica, raise int64, last bool) {
	for _, o := range r.windows.open {
		r.applyReport(report{assignment: o.assignment, wish: o.ceiling + raise})
	}
	b := r.nextBatch(last)
	for a := range b.positions {
		if p := f.of(a.partition); f.replicas[p.owner] != r {
			f.refused++
			r.drop(a.partition)
			r.told()
			return
		}
	}
	for _, e := range b.ends {
		p := f.of(e.task.partition)
		p.ends[e.task.offset]++
		f.assert(p.ends[e.task.offset] == 1, "a second end of %s/%d", p.partition, e.task.offset)
		if e.kind == endParked {
			f.parked++
			f.append(f.inputs[2], f.publish.parked(e))
			continue
		}
		f.outcomes[e.task.source]++
	}
	for a, pos := range b.positions {
		p := f.of(a.partition)
		p.offset, p.text = pos.watermark, metadata{nonce: r.tx.nonce, position: pos}.encode()
	}
	r.committed(b)
	r.told()
}

// replace has another replica take over from one that is gone.
func (f *fleet) replace(gone, other int) {
	f.replicas[gone] = f.newReplica()
	for _, p := range f.inputs {
		if p.owner == gone {
			f.assign(p, other)
		}
	}
}

// drain has the first replica own everything, and everything end.
func (f *fleet) drain() {
	r := f.newReplica()
	f.replicas[0] = r
	r.commits.budget = 1 << 20
	for _, p := range f.inputs {
		f.assign(p, 0)
	}
	for {
		left := 0
		for _, p := range f.inputs {
			left += len(p.log) - len(p.ends)
			f.poll(r, p, 100)
		}
		if left == 0 {
			break
		}
		r.calls, r.tasks = append(r.calls, r.tasks...), nil
		for len(r.calls) > 0 {
			f.finish(r, 0)
		}
		f.commit(r, 0, false)
	}
	requests := len(f.inputs[0].log) + len(f.inputs[1].log)
	f.assert(len(f.outcomes) == requests, "%d requests, %d with an outcome", requests, len(f.outcomes))
	for source, n := range f.outcomes {
		f.assert(n == 1, "%d outcomes of %s", n, source)
	}
}
