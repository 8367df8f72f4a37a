package proof

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// LedgerEntry is what a gateway knows of one out_id.
type LedgerEntry struct {
	OutID      string
	Calls      int64           // attempts that arrived
	Coupons    int64           // coupons given for it; more than one is a breach
	Coupon     *schemas.Coupon // of the first grant; nil: never granted
	CouponCode string          // what that grant was asked for
	CouponType int32
	GrantedAt  time.Time // of the first grant, by the gateway's clock
}

// grant is what is kept of a LedgerEntry that was granted.
type grant struct {
	id       uint64
	instance int64
	at       int64 // milliseconds
	coupons  uint32
	asked    uint32
	members  couponMembers
	outID    [maxOutID]byte // its beginning: out_ids of ours are not longer
}

const (
	maxOutID  = 64
	grantSize = 3*8 + 8*4 + maxOutID
)

// AddLedger takes one out_id of the gateway's ledger, each once and after every
// outcome. From the first on, outcomes are held against the ledger.
func (c *Checker) AddLedger(e LedgerEntry) {
	c.startLedger()
	c.totals.OutIDs++
	c.totals.Calls += e.Calls
	c.totals.Coupons += e.Coupons
	if e.Coupon == nil && e.Coupons == 0 {
		return
	}
	g := grant{
		id: c.digest.id(e.OutID), at: e.GrantedAt.UnixMilli(), coupons: uint32(e.Coupons),
		asked: c.digest.asked(e.CouponCode, e.CouponType),
	}
	if e.Coupon != nil {
		g.instance, g.members = e.Coupon.InstanceID, c.digest.coupon(e.Coupon)
	}
	copy(g.outID[:], e.OutID)
	c.ledger.add(g.id, g.encode())
}

// startLedger marks that there is a ledger, an empty one too: against that
// every grant is untrue.
func (c *Checker) startLedger() {
	if c.ledger == nil {
		c.ledger = newSpool(grantSize)
	}
}

func (g *grant) encode() []byte {
	b := make([]byte, 0, grantSize)
	for _, n := range []uint64{g.id, uint64(g.instance), uint64(g.at)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, g.coupons)
	b = binary.LittleEndian.AppendUint32(b, g.asked)
	for _, n := range g.members {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, g.outID[:]...)
}

func decodeGrant(b []byte) grant {
	long, short := binary.LittleEndian.Uint64, binary.LittleEndian.Uint32
	g := grant{
		id: long(b), instance: int64(long(b[8:])), at: int64(long(b[16:])),
		coupons: short(b[24:]), asked: short(b[28:]),
	}
	for i := range g.members {
		g.members[i] = short(b[32+4*i:])
	}
	copy(g.outID[:], b[grantSize-maxOutID:])
	return g
}

func (g *grant) name() string {
	n := 0
	for n < maxOutID && g.outID[n] != 0 {
		n++
	}
	return string(g.outID[:n])
}

// judgeTruth holds all outcomes of one request id against its grants.
func (c *Checker) judgeTruth(r *Report, facts []fact, grants []grant, all identity) {
	for i := range grants {
		g := &grants[i]
		switch {
		case g.coupons > 1:
			c.judged(r, GrantedTwice, c.digest.place(int64(g.id), int64(i)),
				Finding{RequestID: g.name(), Detail: fmt.Sprintf("%d coupons in the ledger", g.coupons)})
		case i > 0:
			c.judged(r, GrantedTwice, c.digest.place(int64(g.id), int64(i)), Finding{RequestID: g.name(), Detail: "granted to two apps"})
		}
		if len(facts) == 0 {
			r.Ledger.Foreign++
		}
	}
	for i := range facts {
		if what := c.untrue(&facts[i], grants, all); what != "" {
			f := c.foundFact(&facts[i], what)
			if len(grants) > 0 {
				f.RequestID = grants[0].name()
			}
			c.judged(r, Untrue, c.placeOf(&facts[i]), f)
		}
	}
}

// untrue says what is wrong with an outcome by the ledger; empty: nothing.
func (c *Checker) untrue(f *fact, grants []grant, all identity) string {
	switch {
	case f.is(isGranted) && len(grants) == 0:
		return "granted, but the ledger has no grant for its request_id"
	case f.is(isGranted) && otherCoupon(f, &grants[len(grants)-1], all):
		return "granted, but the ledger has another coupon for its request_id"
	case f.is(isFailed) && len(grants) > 0 && !grantedLater(f, &grants[len(grants)-1], all):
		return "failed, but the ledger has a grant for its request_id"
	default:
		return ""
	}
}

// otherCoupon says that the grant is not what the request asked for, or not
// what the outcome says. Of conflicting requests, any may have come first. An
// outcome with a second coupon was found for that already.
func otherCoupon(f *fact, g *grant, all identity) bool {
	asked := all.first == nil || all.conflicting || all.first.asked == g.asked
	second := f.is(hasCoupon) && f.number != all.coupon.number
	told := second || !f.is(hasCoupon) || f.number == g.instance && f.coupon == g.members.joined(f.members)
	return !asked || !told
}

// grantedLater: of several records with one request id, an early one may have
// been refused before a later one was granted.
func grantedLater(f *fact, g *grant, all identity) bool {
	return (all.records > 1 || !f.is(isSeen)) && g.at > f.number
}
