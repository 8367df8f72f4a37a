package proof

import "slices"

type flags uint16

const (
	seen     flags = 1 << iota // the request record itself was read
	readable                   // it is a request
	unjudged                   // its schema is unknown to us: what it says cannot be compared
	granted                    // it has this end
	failed
	dead
	doubled       // it has more than one end
	parkedWaiting // a parked copy lies at or above the retry topic's watermark
	parkedPast    // a parked copy lies below it

	ended = granted | failed | dead
)

// record is what is remembered of one request record. A system has millions,
// so it holds no pointer and no text. The 32-bit fingerprints only ever confirm
// a match of two given records: a collision hides one mistake in four billion
// and invents none.
type record struct {
	id       uint64 // fingerprint of the request id; 0: none known
	failedAt int64  // milliseconds, of a failed record
	copied   uint32 // members that an outcome copies, the trigger apart
	trigger  uint32
	value    uint32 // raw bytes
	key      uint32
	seconds  uint32 // the record's Kafka timestamp, rounded up
	flags    flags
}

func (r *record) is(f flags) bool { return r.flags&f != 0 }

// pageSize in records. Offsets are nearly dense, so pages beat a map by far,
// and a gap of any width costs nothing.
const pageSize = 1024

// partition is one partition of an input topic.
type partition struct {
	Range
	pages map[int64]*[pageSize]record
}

// at returns the place of an offset; create makes room for one not met before.
func (p *partition) at(offset int64, create bool) *record {
	page := p.pages[offset/pageSize]
	if page == nil {
		if !create {
			return nil
		}
		page = new([pageSize]record)
		p.pages[offset/pageSize] = page
	}
	return &page[offset%pageSize]
}

// each calls f for every record met, in offset order.
func (p *partition) each(f func(offset int64, r *record)) {
	numbers := make([]int64, 0, len(p.pages))
	for n := range p.pages {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		for i := range p.pages[n] {
			if r := &p.pages[n][i]; r.flags != 0 {
				f(n*pageSize+int64(i), r)
			}
		}
	}
}

// identity is what is remembered of one request id over all its records.
type identity struct {
	instance  int64  // of the first coupon granted to it, as an outcome says
	grantedAt int64  // milliseconds, of the ledger's first grant
	content   uint32 // of its first request record
	asked     uint32 // the coupon that record asks for
	coupon    uint32 // those members of the granted coupon that members says
	records   uint16 // requests with this id, replays among them; stops at its maximum
	members   uint8  // bits, of couponMembers
	flags     identityFlags
}

type identityFlags uint8

const (
	hasCoupon   identityFlags = 1 << iota // instance, coupon and members are set
	inLedger                              // the ledger granted it
	otherCoupon                           // and not what its request or its outcome says
	conflicting                           // requests of this id differ
)
