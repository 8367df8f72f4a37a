package processor

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Random histories of a window: records come, come again and end, commits
// succeed and abort, metadata has room or not, and owners stop or die. A naive
// model, which remembers everything, says after each step what must hold:
//
//   - no record is lost: below the committed offset every record has an end;
//   - none has two;
//   - the finished set read back is exactly what ended above the watermark;
//   - who was called for and has no end is in doubt with the next owner.
func TestWindowKeepsItsPromisesInRandomHistories(t *testing.T) {
	const histories, steps = 2000, 200
	var seen windowModel
	for seed := range uint64(histories) {
		random := rand.New(rand.NewPCG(seed, 0))
		program := make([]byte, 2*steps)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		m := runHistory(t, program)
		seen.doubts += m.doubts
		seen.endedAgain += m.endedAgain
		seen.held += m.held
		seen.unfit += m.unfit
	}
	require.Greater(t, seen.doubts, histories, "records found in doubt")
	require.Greater(t, seen.endedAgain, histories, "records found ended")
	require.Greater(t, seen.held, histories, "ends held back for lack of room")
	require.Positive(t, seen.unfit, "commits that did not fit at all")
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 7, 2, 3, 5, 0, 8, 0})                    // an end above the watermark, then a crash
	f.Add([]byte{0, 7, 5, 7, 4, 0, 4, 1, 9, 0})              // calls, then a graceful stop
	f.Add([]byte{10, 3, 0, 7, 2, 6, 2, 4, 2, 2, 5, 0, 7, 0}) // ends and little room, then redelivery
	f.Fuzz(func(t *testing.T, program []byte) {
		runHistory(t, program[:min(len(program), 1000)])
	})
}

// runHistory runs a program, two bytes a step, then has everything end.
func runHistory(t testing.TB, program []byte) *windowModel {
	m := &windowModel{
		t: t, program: program, budget: metadataBudget,
		ends: map[int64]int{}, doubt: map[int64]bool{}, log: []int64{0},
	}
	m.reopen(metadata{}.encode(), 0)
	for i := 0; i+1 < len(program); i += 2 {
		m.step(program[i], int(program[i+1]))
		m.assert(m.w.check() == nil, "%v", m.w.check())
		m.checkCounts()
	}
	m.drain()
	return m
}

const modelRecords, modelBytes = 8, 1000

// windowModel is a window, the partition it is of, and what the model remembers.
type windowModel struct {
	t       testing.TB
	program []byte
	w       *window

	log    []int64        // offsets of the records of the partition
	ends   map[int64]int  // published
	doubt  map[int64]bool // called for at some time, by anyone
	budget int

	offset int64  // committed
	text   string // beside it

	// Of this owner.
	ceiling int64 // found at the start
	at      int   // place in the log to poll from
	polled  map[int64]bool
	passed  map[int64]bool // markers
	done    map[int64]bool
	called  map[int64]bool
	sizes   map[int64]int
	full    bool

	doubts, endedAgain, held, unfit int // how often it came to that
}

// assert is for what is checked millions of times.
func (m *windowModel) assert(ok bool, format string, args ...any) {
	if !ok {
		m.t.Helper()
		m.t.Log("program", hex.EncodeToString(m.program))
		m.t.Fatalf(format, args...)
	}
}

func (m *windowModel) step(op byte, arg int) {
	switch op % 11 {
	case 0, 1:
		m.poll(arg)
	case 2, 3:
		m.finish(arg)
	case 4:
		m.call(arg)
	case 5:
		m.commit(int64(arg % 8))
	case 6:
		m.ready() // and the transaction aborts
	case 7:
		m.rewind(arg)
	case 8:
		m.reopen(m.text, m.offset) // a crash: a successor has what is committed
	case 9:
		m.stop()
	case 10:
		m.budget = []int{metadataBudget, 26, 23, 21}[arg%4]
	}
}

// poll takes in up to eight records.
func (m *windowModel) poll(arg int) {
	for range arg%8 + 1 {
		if m.at == len(m.log) {
			m.log = append(m.log, m.log[len(m.log)-1]+1+int64(arg%5/3))
		}
		if m.at > 0 {
			m.pass(m.log[m.at-1], m.log[m.at])
		}
		m.admit(m.log[m.at], arg)
		m.at++
	}
}

// pass takes in what is between two records: every other gap has a marker.
func (m *windowModel) pass(after, before int64) {
	for offset := after + 1; offset < before; offset++ {
		if offset%2 == 0 && offset >= m.offset {
			m.w.Pass(offset, 1)
			m.passed[offset] = true
		}
	}
}

// taken are records and markers at and above an offset that were polled.
func (m *windowModel) taken(from int64) (offsets []int64) {
	for offset := range m.passed {
		if offset >= from {
			offsets = append(offsets, offset)
		}
	}
	for _, offset := range m.above(from) {
		if m.polled[offset] {
			offsets = append(offsets, offset)
		}
	}
	slices.Sort(offsets)
	return offsets
}

func (m *windowModel) admit(offset int64, size int) {
	want := admitted
	switch {
	case m.polled[offset]:
		want = alreadyHere
	case m.ends[offset] > 0:
		want = alreadyEnded
		m.endedAgain++
	case offset < m.ceiling:
		want = admittedInDoubt
		m.doubts++
	}
	m.assert(want != admitted || !m.doubt[offset], "offset %d was called for and is not in doubt", offset)
	got := m.w.Admit(offset, size, 1)
	m.assert(got == want, "admission of %d is %d, not %d", offset, got, want)
	m.polled[offset] = true
	if want == admitted || want == admittedInDoubt {
		m.sizes[offset] = size
		records, bytes, entries := m.load()
		m.full = m.full || records >= modelRecords || bytes >= modelBytes || entries >= maxSpan*modelRecords
	}
}

// unended are the polled records that have no end, published or not.
func (m *windowModel) unended() []int64 {
	var offsets []int64
	for _, offset := range m.above(m.offset) {
		if m.polled[offset] && !m.done[offset] && m.ends[offset] == 0 {
			offsets = append(offsets, offset)
		}
	}
	return offsets
}

// above are the records at and above an offset.
func (m *windowModel) above(offset int64) []int64 {
	i, _ := slices.BinarySearch(m.log, offset)
	return m.log[i:]
}

func (m *windowModel) finish(arg int) {
	if open := m.unended(); len(open) > 0 {
		offset := open[arg%len(open)]
		m.w.Finish(offset, endOf(offset))
		m.done[offset] = true
	}
}

// call is allowed below the committed ceiling only.
func (m *windowModel) call(arg int) {
	if open := m.unended(); len(open) > 0 {
		if offset := open[arg%len(open)]; offset < m.w.ceiling {
			m.called[offset], m.doubt[offset] = true, true
		}
	}
}

func (m *windowModel) rewind(arg int) {
	low, _ := slices.BinarySearch(m.log, m.offset)
	m.at -= arg % (max(m.at-low, 0) + 1)
}

func (m *windowModel) encode(pos position) string { return metadata{position: pos}.encode() }

func (m *windowModel) fits(pos position) bool {
	return len(pos.finished) == 0 || len(m.encode(pos)) <= m.budget
}

// ready compares with what the model says must go out, in order: all that is
// finished, if it fits, else those below the watermark and the first above it.
func (m *windowModel) ready() (position, []int64, bool) {
	pos, got, ok := m.w.Ready(m.fits)
	want := position{watermark: m.offset, ceiling: max(m.w.ceiling, pos.watermark), leaderEpoch: pos.leaderEpoch}
	var all []int64
	waits := false
	for _, offset := range m.taken(m.offset) {
		waits = waits || !m.passed[offset] && !m.done[offset] && m.ends[offset] == 0
		if !waits {
			want.watermark = offset + 1
		}
	}
	for _, offset := range m.above(m.offset) {
		if m.done[offset] && m.ends[offset] == 0 {
			all = append(all, offset)
		}
	}
	ends := offsetsOf(got)
	m.assert(len(ends) <= len(all) && slices.Equal(ends, all[:len(ends)]), "ends of %v of %v", ends, all)
	below, _ := slices.BinarySearch(all, want.watermark)
	m.assert(len(ends) >= below, "the watermark %d leaves ends behind: %v of %v", want.watermark, ends, all)
	want.finished = m.endedAbove(want.watermark, ends)
	m.assert(pos.watermark == want.watermark && pos.ceiling == want.ceiling, "position %v, not %v", pos, want)
	m.assert(slices.Equal(pos.finished, want.finished), "finished set %v, not %v", pos.finished, want.finished)
	m.assert(ok == m.fits(want), "fits: %v", ok)
	everything := position{watermark: want.watermark, ceiling: want.ceiling, finished: m.endedAbove(want.watermark, all)}
	m.assert(len(ends) == len(all) || !m.fits(everything), "ends held back without need")
	m.held += len(all) - len(ends)
	return pos, ends, ok
}

// endedAbove is the finished set: what is published above a watermark, and what
// would be with the given ends.
func (m *windowModel) endedAbove(watermark int64, ends []int64) []int64 {
	var set []int64
	for _, offset := range m.above(watermark) {
		if m.ends[offset] > 0 || slices.Contains(ends, offset) {
			set = append(set, offset)
		}
	}
	return set
}

// commit raises the ceiling by some; false: what is ended does not fit.
func (m *windowModel) commit(raise int64) bool {
	pos, ends, ok := m.ready()
	if !ok {
		m.unfit++
		return false
	}
	pos.ceiling += raise
	m.publish(pos, ends)
	return true
}

func (m *windowModel) publish(pos position, ends []int64) {
	for _, offset := range ends {
		m.ends[offset]++
		m.assert(m.ends[offset] == 1, "a second end of %d", offset)
	}
	for _, offset := range m.above(m.offset) {
		m.assert(offset >= pos.watermark || m.ends[offset] == 1, "the watermark %d passes %d", pos.watermark, offset)
	}
	m.w.Committed(pos)
	m.offset, m.text = pos.watermark, m.encode(pos)
	records, bytes, entries := m.load()
	m.full = m.full && (records > modelRecords/2 || bytes > modelBytes/2 || entries > maxSpan*modelRecords/2)
}

// stop commits what is ready under the lowest ceiling, and a successor opens the
// window. What does not fit is a crash instead.
func (m *windowModel) stop() {
	if pos, ends, ok := m.ready(); ok {
		pos.ceiling = m.w.LowestCeiling(pos, func(offset int64) bool { return m.called[offset] })
		m.publish(pos, ends)
	}
	m.reopen(m.text, m.offset)
}

// reopen reads what is committed, as a new owner does.
func (m *windowModel) reopen(text string, offset int64) {
	read, err := decodeMetadata(offset, 1, text)
	m.assert(err == nil, "%v", err)
	m.assert(slices.Equal(read.position.finished, m.endedAbove(offset, nil)), "read back: %v", read.position.finished)
	m.w = newWindow(read.position, modelRecords, modelBytes)
	m.text, m.offset, m.ceiling = text, offset, read.position.ceiling
	m.polled, m.passed, m.done, m.called = map[int64]bool{}, map[int64]bool{}, map[int64]bool{}, map[int64]bool{}
	m.sizes, m.full = map[int64]int{}, false
	m.at, _ = slices.BinarySearch(m.log, offset)
}

// load counts what has no committed end, and everything from the watermark on.
func (m *windowModel) load() (records, bytes, entries int) {
	if taken := m.taken(m.offset); len(taken) > 0 && m.passed[taken[0]] {
		entries++ // markers that no record is before
	}
	for _, offset := range m.above(m.offset) {
		if m.polled[offset] {
			entries++
		}
		if m.polled[offset] && m.ends[offset] == 0 {
			records++
			bytes += m.sizes[offset]
		}
	}
	return records, bytes, entries
}

func (m *windowModel) checkCounts() {
	records, bytes, entries := m.load()
	m.assert(m.w.live == records && m.w.bytes == bytes && len(m.w.entries) == entries, "the window counts %d records of %d bytes", m.w.live, m.w.bytes)
	m.assert(m.w.Full() == m.full, "full is %v", m.w.Full())
}

// drain has every record polled, ended and committed.
func (m *windowModel) drain() {
	m.budget = 1 << 20
	for m.at < len(m.log) {
		m.poll(0)
	}
	for range m.unended() {
		m.finish(0)
	}
	m.assert(m.commit(0), "nothing can be in the way")
	for _, offset := range m.log {
		m.assert(m.ends[offset] == 1, "%d ends of %d", m.ends[offset], offset)
	}
	require.Empty(m.t, m.w.entries)
	require.Empty(m.t, m.w.ended)
}
