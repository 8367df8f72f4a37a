package processor

import (
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// windows are the partitions this replica owns. The session goroutine owns
// them.
type windows struct {
	open       map[partition]*owned
	inputs     float64 // partitions that there are, ours or not, by weight
	lastEpoch  uint64
	maxRecords int // of one
	maxBytes   int // of one
	totalBytes int // of all
}

// owned is one partition in one epoch.
type owned struct {
	assignment
	*window
	member    string // what the group called us when it was opened
	paused    bool   // its fetching is paused: the window is full, or a gap is to be gone over
	withheld  bool   // not to be worked on until a person decides; paused as well
	overtaken error  // the log begins above what was to be read next; paused, and what was read ends
	topicID   kadm.TopicID
	unseen    bool      // opened at 0, as nothing is committed and its log could not be looked at
	notBefore time.Time // its next commit, as a topic refuses what it published; zero: none does
	restate   bool      // what is committed is not what it was opened at: to be committed though nothing ends
	unproven  bool      // what is in doubt of it is not to be called before a transaction with results has committed
	probed    int64     // while unproven: what is below may be called
	wish      int64     // the ceiling that the scheduler would like
	ban       time.Time // as last committed
	logEnd    int64     // the brokers' last stable offset as last seen; -1: not seen
	newest    time.Time // when records of it came last, or it was opened

	bombed     bool      // kgo reads it no further, and a hold says why
	stoodAt    int64     // next, when the brokers were last asked how far the partition reaches
	stood      int       // how many times in a row it stood there, with more to read
	sought     int64     // the offset that was asked for by itself last; -1: none was
	complained time.Time // when a fetch of it failed last, of which the hold tells; zero: none did
	readBefore int64     // next, when one of the replica's partitions was last found overtaken
}

func newWindows(maxRecords, maxBytes, totalBytes int) *windows {
	return &windows{open: map[partition]*owned{}, maxRecords: maxRecords, maxBytes: maxBytes, totalBytes: totalBytes}
}

// Assign opens a partition under a new epoch at its committed position.
func (ws *windows) Assign(p partition, pos position) *owned {
	ws.lastEpoch++
	o := &owned{assignment: assignment{p, ws.lastEpoch}, window: newWindow(pos, ws.maxRecords, ws.maxBytes), logEnd: -1, sought: -1, newest: time.Now()}
	ws.open[p] = o
	ws.divide()
	return o
}

// Drop forgets a partition and returns what was owned, nil if nothing was.
func (ws *windows) Drop(p partition) *owned {
	o := ws.open[p]
	delete(ws.open, p)
	ws.divide()
	return o
}

// lent is the part of the replica's bytes, one in so many, that is for whoever needs
// more than an equal part.
const lent = 8

// divide gives each window its part of the replica's bytes. Most are divided equally,
// so that no partition can take the room of another. The rest has who needs it, up to
// what one may have: a key with many requests waiting fills the window of its
// partition, and the other keys there wait until half of it has ended, though there is
// room that nobody uses. Those that are full share what is left of it, or each would
// take all of it for its own and be resumed long before half has ended. A window that
// is above its part when others come stays paused for longer.
func (ws *windows) divide() {
	if len(ws.open) == 0 {
		return
	}
	spare := ws.totalBytes / lent
	part, full := min(ws.maxBytes, (ws.totalBytes-spare)/len(ws.open)), 0
	for _, o := range ws.open {
		if o.withheld { // what was in it is not worked on
			continue
		}
		spare -= max(o.bytes-part, 0)
		if o.Full() {
			full++
		}
	}
	spare = max(spare, 0)
	for _, o := range ws.open {
		room := spare
		if o.Full() {
			room /= max(full, 1)
		}
		o.Resize(min(ws.maxBytes, max(o.bytes, part)+room))
	}
}

// Get returns a partition if it is owned in this very epoch.
func (ws *windows) Get(a assignment) (*owned, bool) {
	o, ok := ws.open[a.partition]
	if !ok || o.epoch != a.epoch {
		return nil, false
	}
	return o, true
}

// ended says that of all that was read nothing is left to end, or to commit.
func (ws *windows) ended() bool {
	for _, o := range ws.open {
		if !o.withheld && !o.allCommitted() {
			return false
		}
	}
	return true
}

// noteUnended brings up to date what of each partition was read and has not all ended.
// What a member of the group does not have is for others to answer for.
func (ws *windows) noteUnended(spans map[partition]*span, member bool) {
	for p, s := range spans {
		o := ws.open[p]
		if o == nil && member || o != nil && s.isOf(o.topicID) && o.next >= s.to {
			delete(spans, p)
		}
	}
	for p, o := range ws.open {
		if o.live > 0 {
			spans[p] = &span{topic: o.topicID, from: o.watermark, to: o.next}
		}
	}
}

// noteRead remembers what was read so far, for endedSoFar.
func (ws *windows) noteRead() {
	for _, o := range ws.open {
		o.readBefore = o.next
	}
}

// endedSoFar says that nothing is left to end, or to commit, of what had been read at
// noteRead.
func (ws *windows) endedSoFar() bool {
	for _, o := range ws.open {
		if !o.withheld && o.watermark < o.readBefore {
			return false
		}
	}
	return true
}

// overtaken says that retention was faster than we in one of them.
func (ws *windows) overtaken() bool {
	for _, o := range ws.open {
		if o.overtaken != nil {
			return true
		}
	}
	return false
}

// touch has every window looked at by the next commit.
func (ws *windows) touch() {
	for _, o := range ws.open {
		o.dirty = true
	}
}

// Load is how many records and bytes are in the windows that are worked on.
func (ws *windows) Load() (records, bytes int) {
	for _, o := range ws.open {
		if o.withheld {
			continue
		}
		records += o.live
		bytes += o.bytes
	}
	return records, bytes
}
