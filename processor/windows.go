package processor

// windows are the partitions this replica holds. The session goroutine owns
// them.
type windows struct {
	open       map[partition]*held
	all        int // input partitions there are, held or not
	lastEpoch  uint64
	maxRecords int
	maxBytes   int
}

// held is one partition in one go of ownership.
type held struct {
	assignment
	*window
	paused bool // its fetching is paused, since the window is full
	barred bool // not ours to work on until a person decides; paused as well
	wish   int64
}

func newWindows(maxRecords, maxBytes int) *windows {
	return &windows{open: map[partition]*held{}, maxRecords: maxRecords, maxBytes: maxBytes}
}

// Assign opens a partition under a new epoch at its committed position.
func (ws *windows) Assign(p partition, pos position) *held {
	ws.lastEpoch++
	h := &held{assignment: assignment{p, ws.lastEpoch}, window: newWindow(pos, ws.maxRecords, ws.maxBytes)}
	ws.open[p] = h
	return h
}

// Drop forgets a partition and returns what was held, nil if nothing was.
func (ws *windows) Drop(p partition) *held {
	h := ws.open[p]
	delete(ws.open, p)
	return h
}

// Get returns a partition if it is held in this very go of ownership.
func (ws *windows) Get(a assignment) (*held, bool) {
	h, ok := ws.open[a.partition]
	if !ok || h.epoch != a.epoch {
		return nil, false
	}
	return h, true
}

// Load is how many records and bytes are in the windows.
func (ws *windows) Load() (records, bytes int) {
	for _, h := range ws.open {
		records += h.live
		bytes += h.bytes
	}
	return records, bytes
}
