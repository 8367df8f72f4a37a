package proof

import (
	"maps"
	"slices"
)

// ended is how a record ended.
type ended uint8

const (
	notEnded ended = iota
	granted
	failed
	dead
)

func (e ended) String() string {
	switch e {
	case granted:
		return "granted"
	case failed:
		return "failed"
	case dead:
		return "dead letter"
	case notEnded:
	}
	return "not ended"
}

// mark is all that is kept of a record for ever: half a byte. The low two bits
// say how it ended.
type mark uint8

const (
	endBits mark = 3
	seen    mark = 4 // the request record itself was read
)

func (m mark) end() ended { return ended(m & endBits) }

// record is what is remembered of a request record until its end is known. It
// holds no pointer and no text. The 32-bit fingerprints only ever confirm a
// match of two given records: a collision hides one mistake in four billion and
// invents none. Fields are exported for the state's encoding only.
type record struct {
	ID       uint64 // fingerprint of the request id; 0: it is no request
	Copied   uint32 // members that an outcome copies, the trigger apart
	Trigger  uint32
	Value    uint32 // raw bytes
	Key      uint32
	Content  uint32 // what the gateway is asked for
	Asked    uint32 // the coupon that it asks for
	Seconds  uint32 // its Kafka timestamp, rounded up
	ParkedIn int32  // partition of the retry topic
	ParkedAt int64  // offset of its newest parked copy
	Flags    recordFlags
}

type recordFlags uint8

const (
	unjudged recordFlags = 1 << iota // its schema is unknown to us: what it says cannot be compared
	replay
	parked // ParkedIn and ParkedAt are set
)

func (r *record) is(f recordFlags) bool { return r.Flags&f != 0 }

// pageSize in records. Offsets are nearly dense, so pages beat a map by far,
// and a gap of any width costs nothing.
const pageSize = 1024

// page holds two marks in each byte.
type page [pageSize / 2]byte

// partition is one partition of an input topic.
type partition struct {
	Range
	topic uint8 // its topic's place among the inputs
	pages map[int64]*page
	open  map[int64]record // read, or parked, and without an end
}

func newPartition(r Range, topic int) *partition {
	return &partition{Range: r, topic: uint8(topic), pages: map[int64]*page{}, open: map[int64]record{}}
}

func (p *partition) mark(offset int64) mark {
	page := p.pages[offset/pageSize]
	if page == nil {
		return 0
	}
	i := offset % pageSize
	return mark(page[i/2] >> (4 * (i % 2)) & 15)
}

func (p *partition) add(offset int64, m mark) {
	at := p.pages[offset/pageSize]
	if at == nil {
		at = new(page)
		p.pages[offset/pageSize] = at
	}
	i := offset % pageSize
	at[i/2] |= byte(m) << (4 * (i % 2))
}

// forget drops the marks of what retention took from the topic, unless it has
// no end: a second end of such a record is no longer told from a first.
func (p *partition) forget() {
	keep := map[int64]bool{}
	for offset := range p.open {
		keep[offset/pageSize] = true
	}
	maps.DeleteFunc(p.pages, func(n int64, _ *page) bool { return (n+1)*pageSize <= p.Start && !keep[n] })
}

// eachOpen calls f for every record without an end, in offset order.
func (p *partition) eachOpen(f func(offset int64, r *record)) {
	for _, offset := range slices.Sorted(maps.Keys(p.open)) {
		r := p.open[offset]
		f(offset, &r)
	}
}

// covers says that the group has committed this record as finished, by its
// watermark or in the finished set.
func (r *Range) covers(offset int64) bool {
	if offset < r.Committed {
		return true
	}
	_, found := slices.BinarySearch(r.Finished, offset)
	return found
}

// settled is the offset at and above which nothing is committed as finished.
func (r *Range) settled() int64 {
	if n := len(r.Finished); n > 0 {
		return max(r.Committed, r.Finished[n-1]+1)
	}
	return max(r.Committed, 0)
}
