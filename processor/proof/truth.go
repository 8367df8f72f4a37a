package proof

import (
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

// AddLedger takes one out_id of the gateway's ledger, each once and after every
// outcome. From the first on, outcomes are held against the ledger.
func (c *Checker) AddLedger(e LedgerEntry) {
	ledger := c.startLedger()
	ledger.OutIDs++
	ledger.Calls += e.Calls
	ledger.Coupons += e.Coupons
	if e.Coupons > 1 {
		c.breach(GrantedTwice, Finding{RequestID: e.OutID, Detail: fmt.Sprintf("%d coupons in the ledger", e.Coupons)})
	}
	if e.Coupon == nil {
		return
	}
	id := c.digest.id(e.OutID)
	known := c.ids[id]
	if known.records == 0 && known.flags == 0 {
		ledger.Foreign++
	}
	if known.flags&inLedger != 0 {
		c.breach(GrantedTwice, Finding{RequestID: e.OutID, Detail: "granted to two apps"})
	}
	if c.otherCoupon(known, &e) {
		known.flags |= otherCoupon
	}
	known.flags |= inLedger
	known.grantedAt = e.GrantedAt.UnixMilli()
	c.ids[id] = known
}

// otherCoupon says that the grant is not what the request asked for, or not
// what the outcome says. Of conflicting requests, any may have come first.
func (c *Checker) otherCoupon(known identity, e *LedgerEntry) bool {
	asked := known.records == 0 || known.flags&conflicting != 0 ||
		known.asked == c.digest.asked(e.CouponCode, e.CouponType)
	told := known.flags&hasCoupon == 0 || known.instance == e.Coupon.InstanceID &&
		known.coupon == c.digest.coupon(e.Coupon, known.members)
	return !asked || !told
}

// startLedger marks that there is a ledger, an empty one too: against that
// every grant is untrue.
func (c *Checker) startLedger() *LedgerTotals {
	if c.report.Ledger == nil {
		c.report.Ledger = &LedgerTotals{}
	}
	return c.report.Ledger
}

// untrue says what is wrong with an ended record by the ledger; empty: nothing.
func (c *Checker) untrue(rec *record) string {
	known := c.ids[rec.id]
	has := known.flags&inLedger != 0
	switch {
	case rec.id == 0:
		return ""
	case rec.is(granted) && !has:
		return "granted, but the ledger has no grant for its request_id"
	case rec.is(granted) && known.flags&otherCoupon != 0:
		return "granted, but the ledger has another coupon for its request_id"
	case rec.is(failed) && has && !grantedLater(rec, known):
		return "failed, but the ledger has a grant for its request_id"
	default:
		return ""
	}
}

// grantedLater: of several records with one request id, an early one may have
// been refused before a later one was granted.
func grantedLater(rec *record, known identity) bool {
	others := known.records > 1 || !rec.is(seen)
	return others && known.grantedAt > rec.failedAt
}
