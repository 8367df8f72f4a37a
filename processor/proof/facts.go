package proof

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// fact is what is kept of a request record and one end of it, to hold all
// records of a request id against each other and against the ledger.
type fact struct {
	id        uint64
	offset    int64 // of the request record
	number    int64 // instance of the coupon, or milliseconds of the failure
	partition int32
	content   uint32
	asked     uint32
	coupon    uint32 // those members of the coupon that members says
	topic     uint8  // its place among the inputs
	members   uint8
	flags     factFlags
}

type factFlags uint8

const (
	isRequest factFlags = 1 << iota // content and asked are set
	isReplay
	isSeen // its request record was read
	isGranted
	isFailed
	hasCoupon // number is an instance
)

const factSize = 3*8 + 4*4 + 3

func (f *fact) is(flags factFlags) bool { return f.flags&flags != 0 }

func (f *fact) encode() []byte {
	b := make([]byte, 0, factSize)
	for _, n := range []uint64{f.id, uint64(f.offset), uint64(f.number)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for _, n := range []uint32{uint32(f.partition), f.content, f.asked, f.coupon} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, f.topic, f.members, uint8(f.flags))
}

func decodeFact(b []byte) fact {
	long, short := binary.LittleEndian.Uint64, binary.LittleEndian.Uint32
	return fact{
		id: long(b), offset: int64(long(b[8:])), number: int64(long(b[16:])),
		partition: int32(short(b[24:])), content: short(b[28:]), asked: short(b[32:]), coupon: short(b[36:]),
		topic: b[40], members: b[41], flags: factFlags(b[42]),
	}
}

func (s *spool) addFact(f fact) {
	if f.id != 0 {
		s.add(f.id, f.encode())
	}
}

// fact of a record that was not ended so far.
func (r *record) fact(p *partition, offset int64, m mark) fact {
	f := fact{id: r.ID, topic: p.topic, partition: p.Partition, offset: offset, content: r.Content, asked: r.Asked}
	if m&seen != 0 {
		f.flags |= isSeen
		if r.ID != 0 {
			f.flags |= isRequest
		}
		if r.is(replay) {
			f.flags |= isReplay
		}
	}
	return f
}

func (a *answered) fact() fact {
	if a.partition == nil {
		return fact{}
	}
	return a.record.fact(a.partition, a.offset, a.mark)
}

func compareFacts(a, b fact) int {
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition),
		cmp.Compare(a.offset, b.offset), cmp.Compare(b.flags&isRequest, a.flags&isRequest))
}

// judgeFacts looks at all records of each request id, a bucket at a time.
func (c *Checker) judgeFacts(r *Report, open *spool) error {
	var facts []fact
	var grants []grant
	for b := range buckets {
		facts, grants = facts[:0], grants[:0]
		for _, s := range []*spool{c.facts, c.waiting, open} {
			if err := s.each(b, func(entry []byte) { facts = append(facts, decodeFact(entry)) }); err != nil {
				return err
			}
		}
		if c.ledger != nil {
			if err := c.ledger.each(b, func(entry []byte) { grants = append(grants, decodeGrant(entry)) }); err != nil {
				return err
			}
		}
		slices.SortFunc(facts, compareFacts)
		slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.id, b.id) })
		c.judgeBucket(r, facts, grants)
	}
	return nil
}

// judgeBucket walks along both lists, each in the order of ids.
func (c *Checker) judgeBucket(r *Report, facts []fact, grants []grant) {
	for len(facts) > 0 || len(grants) > 0 {
		id := uint64(1<<64 - 1)
		if len(facts) > 0 {
			id = facts[0].id
		}
		if len(grants) > 0 {
			id = min(id, grants[0].id)
		}
		of, given := 0, 0
		for of < len(facts) && facts[of].id == id {
			of++
		}
		for given < len(grants) && grants[given].id == id {
			given++
		}
		c.judgeIdentity(r, facts[:of], grants[:given])
		facts, grants = facts[of:], grants[given:]
	}
}

// judgeIdentity looks at all records of one request id. Repeats and conflicts
// are no breach of ours: the producer owns its ids.
func (c *Checker) judgeIdentity(r *Report, facts []fact, grants []grant) {
	var first, coupon *fact // that others are compared with
	var records, originals int64
	conflicting := false
	for i := range facts {
		f := &facts[i]
		if f.is(isRequest) {
			records++
			if !f.is(isReplay) {
				originals++
			}
			if first == nil {
				first = f
			}
			if f.content != first.content {
				conflicting = true
				r.Conflicts = r.Conflicts.with(c.foundFact(f, "its content differs from another request of this id"))
			}
		}
		if f.is(hasCoupon) {
			if coupon == nil {
				coupon = f
			}
			if f.number != coupon.number {
				c.judged(r, GrantedTwice, c.placeOf(f), c.foundFact(f, "another outcome of this request_id has another coupon"))
			}
		}
	}
	r.Repeats += max(originals-1, 0)
	if c.ledger != nil {
		c.judgeTruth(r, facts, grants, identity{first: first, coupon: coupon, records: records, conflicting: conflicting})
	}
}

// identity is what the truth of an outcome depends on, of all records of a
// request id.
type identity struct {
	first       *fact // nil: no request of this id was read
	coupon      *fact // nil: no outcome has one
	records     int64
	conflicting bool
}

// foundFact names the request record.
func (c *Checker) foundFact(f *fact, detail string) Finding {
	if !f.is(isSeen) && f.topic == 0 && f.partition == 0 && f.offset == 0 {
		return Finding{Detail: detail} // its end named no record
	}
	return Finding{Topic: c.topics.Inputs[f.topic], Partition: f.partition, Offset: f.offset, Detail: detail}
}
