package processor

import (
	"fmt"
	"maps"
	"slices"
	"sort"
)

// window is one partition's records between the watermark and the newest one
// taken in. Pure: no lock, clock, context, logger or Kafka type; the session
// goroutine owns it.
//
//	watermark <= every offset in entries < next
//
// It tracks what was received, not ranges of offsets, so gaps (compaction) cost
// nothing, and the markers of transactions next to nothing.
type window struct {
	watermark   int64 // inclusive lower bound: everything below has its end committed
	next        int64 // exclusive upper bound: the next offset to take in
	leaderEpoch int32 // of the record below the watermark, -1 unknown; goes into the commit

	ceiling    int64 // committed: records below may have been called
	doubtBelow int64 // the ceiling found at assignment: an unfinished record below is in doubt

	entries []entry            // by offset
	ended   map[int64]struct{} // finished set read back and not polled yet
	set     []int64            // Ready writes finished sets into it, to look whether they fit

	live    int // entries that are not ended: what the bounds count
	bytes   int // of live entries
	results int // of them, finished

	maxRecords, maxBytes int
	full                 bool // from reaching a bound until falling to half of it
	dirty                bool // something may be ready that was not at the last commit
}

// maxSpan times maxRecords is how many entries may pile up above a watermark
// that does not move. They cost little, but not nothing, and the metadata that
// lists them must stay readable.
const maxSpan = 8

type entry struct {
	offset      int64
	past        int64 // where the watermark goes with it: behind the markers that follow it
	size        int
	leaderEpoch int32 // of what is below past
	state       entryState
	end         *end // of finished
}

type entryState uint8

const (
	unfinished entryState = iota // has no end yet
	finished                     // has an end that is not committed
	ended                        // its end is committed, above the watermark
)

// admission is what the window makes of a polled record.
type admission uint8

const (
	admitted        admission = iota
	admittedInDoubt           // a predecessor may have called for it
	alreadyHere               // redelivered: it is in the window, or below it
	alreadyEnded              // in the finished set: its end is published
)

// newWindow opens a window at a committed position.
func newWindow(pos position, maxRecords, maxBytes int) *window {
	w := &window{
		watermark: pos.watermark, next: pos.watermark, leaderEpoch: pos.leaderEpoch,
		ceiling: max(pos.ceiling, pos.watermark), doubtBelow: pos.ceiling,
		ended:      make(map[int64]struct{}, len(pos.finished)),
		maxRecords: maxRecords, maxBytes: maxBytes,
	}
	for _, offset := range pos.finished {
		if offset >= pos.watermark {
			w.ended[offset] = struct{}{}
		}
	}
	return w
}

// Admit takes in the next record of the partition. Kafka delivers in offset
// order, so an offset below next was delivered before.
func (w *window) Admit(offset int64, size int, leaderEpoch int32) admission {
	if offset < w.next {
		return alreadyHere
	}
	w.next = offset + 1
	if _, ok := w.ended[offset]; ok {
		delete(w.ended, offset)
		w.entries = append(w.entries, entry{offset: offset, past: offset + 1, leaderEpoch: leaderEpoch, state: ended})
		w.dirty = true
		return alreadyEnded
	}
	w.entries = append(w.entries, entry{offset: offset, past: offset + 1, size: size, leaderEpoch: leaderEpoch})
	w.live++
	w.bytes += size
	w.full = w.full || w.atBound()
	if offset < w.doubtBelow {
		return admittedInDoubt
	}
	return admitted
}

// Pass takes in a marker of a transaction, which stands between the records and needs
// no end. The watermark goes past it, or it would stay on the last marker of a
// partition where nothing more comes, and retention, which takes that marker too,
// would seem to take something that had not ended.
func (w *window) Pass(offset int64, leaderEpoch int32) {
	if offset < w.next {
		return
	}
	w.next = offset + 1
	last := len(w.entries) - 1
	if last < 0 {
		w.entries = append(w.entries, entry{offset: offset, past: w.next, leaderEpoch: leaderEpoch, state: ended})
		w.dirty = true
		return
	}
	w.entries[last].past, w.entries[last].leaderEpoch = w.next, leaderEpoch
	w.dirty = w.dirty || w.entries[last].state != unfinished
}

// Finish records the end of an admitted record. To finish a record twice, or
// one that was never admitted, would break P1 or P2: it panics, and a successor
// reads the committed truth.
func (w *window) Finish(offset int64, e *end) {
	i := w.search(offset)
	if i == len(w.entries) || w.entries[i].offset != offset {
		panic(fmt.Sprintf("window: offset %d was never admitted, or is committed", offset))
	}
	if w.entries[i].state != unfinished {
		panic(fmt.Sprintf("window: offset %d is finished already", offset))
	}
	w.entries[i].state, w.entries[i].end = finished, e
	w.results++
	w.dirty = true
}

// Oldest is the oldest record without a committed end, nil if there is none.
func (w *window) Oldest() *entry {
	for i := range w.entries {
		if w.entries[i].state != ended {
			return &w.entries[i]
		}
	}
	return nil
}

// search returns the index of the first entry at or above offset.
func (w *window) search(offset int64) int {
	return sort.Search(len(w.entries), func(i int) bool { return w.entries[i].offset >= offset })
}

// Ready returns the position to commit now and the ends that it covers, in
// offset order: by the watermark, or by the finished set as far as fits allows.
// ok is false when not even the ends committed before fit: then this partition
// cannot be committed until its watermark moves. Nothing changes until
// Committed.
func (w *window) Ready(fits func(position) bool) (pos position, ends []*end, ok bool) {
	pos = position{watermark: w.watermark, leaderEpoch: w.leaderEpoch, ceiling: w.ceiling}
	i := 0
	for ; i < len(w.entries) && w.entries[i].state != unfinished; i++ {
		pos.watermark, pos.leaderEpoch = w.entries[i].past, w.entries[i].leaderEpoch
		if w.entries[i].state == finished {
			ends = append(ends, w.entries[i].end)
		}
	}
	pos.ceiling = max(pos.ceiling, pos.watermark)

	above, beyond := w.entries[i:], w.endedBeyond(pos.watermark)
	with := func(early int) position {
		w.set = finishedSet(w.set[:0], above, early, beyond)
		pos.finished = w.set
		return pos
	}
	early := 0
	for _, e := range above {
		if e.state == finished {
			early++
		}
	}
	ok = fits(with(early))
	if !ok {
		// Ends go out later instead: fewer of them, lowest offsets first.
		early = mostThatFit(early, func(n int) bool { return fits(with(n)) })
		ok = early > 0 || fits(with(0))
	}
	pos.finished = slices.Clone(with(early).finished)
	for _, e := range above {
		if early == 0 {
			break
		}
		if e.state == finished {
			ends = append(ends, e.end)
			early--
		}
	}
	return pos, ends, ok
}

// mostThatFit looks for the largest number below n that fits, from the bottom:
// where there is no room it is mostly none, and each look costs a pass over the
// window.
func mostThatFit(n int, fits func(int) bool) int {
	low, high := 0, 1 // low fits, or is none
	for high < n && fits(high) {
		low, high = high, 2*high
	}
	high = min(high, n)
	return low + sort.Search(high-low-1, func(i int) bool { return !fits(low + i + 1) })
}

// finishedSet appends what is ended above the watermark, and the first early
// entries that are finished.
func finishedSet(set []int64, above []entry, early int, beyond []int64) []int64 {
	for _, e := range above {
		if e.state == ended {
			set = append(set, e.offset)
		}
		if e.state == finished && early > 0 {
			set = append(set, e.offset)
			early--
		}
	}
	return append(set, beyond...)
}

// endedBeyond lists what is ended above a watermark and not polled yet.
func (w *window) endedBeyond(watermark int64) []int64 {
	var beyond []int64
	for offset := range w.ended {
		if offset >= max(watermark, w.next) {
			beyond = append(beyond, offset)
		}
	}
	slices.Sort(beyond)
	return beyond
}

// Committed moves the window to a position that Ready gave and Kafka has
// committed since.
func (w *window) Committed(pos position) {
	if pos.watermark < w.watermark {
		panic(fmt.Sprintf("window: committed watermark %d is below %d", pos.watermark, w.watermark))
	}
	done := w.search(pos.watermark)
	for i := range w.entries[:done] {
		if w.entries[i].state == unfinished {
			panic(fmt.Sprintf("window: watermark %d passes unfinished offset %d", pos.watermark, w.entries[i].offset))
		}
		w.retire(&w.entries[i])
	}
	if done > 0 && w.entries[done-1].past > pos.watermark { // markers that came since Ready
		done--
		w.entries[done].offset = w.entries[done].past - 1
	}
	w.entries = slices.Delete(w.entries, 0, done)
	set := pos.finished // both ascend
	for i := range w.entries {
		for len(set) > 0 && set[0] < w.entries[i].offset {
			set = set[1:]
		}
		if len(set) > 0 && set[0] == w.entries[i].offset {
			w.retire(&w.entries[i])
		}
	}
	w.watermark, w.leaderEpoch, w.ceiling = pos.watermark, pos.leaderEpoch, pos.ceiling
	maps.DeleteFunc(w.ended, func(offset int64, _ struct{}) bool { return offset < max(w.watermark, w.next) })
	w.dirty = len(w.entries) > 0 && w.entries[0].state == ended // markers, or more of those that ended before
	w.full = w.full && !w.belowHalf()
}

func (w *window) retire(e *entry) {
	if e.state == ended {
		return
	}
	if e.state == finished {
		w.results--
	}
	w.live--
	w.bytes -= e.size
	e.state, e.end = ended, nil
}

// allCommitted says that every record that was taken in has its end committed.
func (w *window) allCommitted() bool { return w.watermark == w.next }

// Full says that the partition is to be paused; it stays so down to half.
func (w *window) Full() bool { return w.full }

func (w *window) atBound() bool {
	return w.live >= w.maxRecords || w.bytes >= w.maxBytes || len(w.entries) >= maxSpan*w.maxRecords
}

func (w *window) belowHalf() bool {
	return w.live <= w.maxRecords/2 && w.bytes <= w.maxBytes/2 && len(w.entries) <= maxSpan*w.maxRecords/2
}

// Resize changes the bound of bytes. What is in the window stays: above the new
// bound it is full, until half of that is left.
func (w *window) Resize(maxBytes int) {
	w.maxBytes = maxBytes
	w.full = w.atBound() || w.full && !w.belowHalf()
}

// LowestCeiling is the ceiling that a graceful stop may leave at pos: above the
// last record that may have been granted, by a predecessor's call or, as doubtful
// says, by ours, and whose end pos does not cover; else the watermark.
func (w *window) LowestCeiling(pos position, doubtful func(offset int64) bool) int64 {
	if w.next < w.doubtBelow {
		return w.doubtBelow // records that were not polled again are in doubt as before
	}
	for _, e := range slices.Backward(w.entries) {
		_, covered := slices.BinarySearch(pos.finished, e.offset)
		left := e.state == finished && e.offset >= pos.watermark && !covered
		if left || e.state == unfinished && (e.offset < w.doubtBelow || doubtful(e.offset)) {
			return e.offset + 1
		}
	}
	return pos.watermark
}
