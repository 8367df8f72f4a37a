package proof

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// digest makes fingerprints under a random seed of its own, so that no producer
// can choose contents that look alike, and none can be looked up elsewhere.
type digest struct{ h maphash.Hash }

func (d *digest) sum() uint64 {
	n := d.h.Sum64()
	d.h.Reset()
	return n
}

func (d *digest) sum32() uint32 { return uint32(d.sum()) }

func (d *digest) number(n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, _ = d.h.Write(b[:]) // never fails
}

// text is written with its length, so that members cannot run into each other,
// and mended as outcomes are, which must be UTF-8.
func (d *digest) text(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	d.number(int64(len(s)))
	_, _ = d.h.WriteString(s)
}

func (d *digest) optional(s *string) {
	if s == nil {
		d.number(-1)
		return
	}
	d.text(*s)
}

func (d *digest) optionalNumber(n *int64) {
	if n == nil {
		d.number(0)
		return
	}
	d.number(1)
	d.number(*n)
}

func (d *digest) time(t time.Time) {
	if t.IsZero() {
		d.number(-1)
		return
	}
	d.number(t.UnixMilli())
}

// bytes tells nil from empty: a null key is no order, an empty one is a key.
func (d *digest) bytes(b []byte) uint32 {
	if b == nil {
		return 0
	}
	_, _ = d.h.Write(b)
	return max(d.sum32(), 1)
}

func (d *digest) id(requestID string) uint64 {
	d.text(requestID)
	return max(d.sum(), 1) // 0 says that no id is known
}

// copied covers the members that a request and its outcome share.
func (d *digest) copied(occurredAt time.Time, bizCode, channel, couponCode string, couponType int32) uint32 {
	d.time(occurredAt)
	d.text(bizCode)
	d.text(channel)
	d.text(couponCode)
	d.number(int64(couponType))
	return d.sum32()
}

func (d *digest) trigger(t *schemas.Trigger) uint32 {
	if t == nil {
		return 0
	}
	d.text(t.Kind)
	for _, s := range []*string{t.StoreID, t.ReceiptID, t.ProgramID, t.Milestone} {
		d.optional(s)
	}
	return max(d.sum32(), 1)
}

// content covers what the gateway is asked for, whatever schema version wrote
// it and whenever: two requests of one id must agree in it.
func (d *digest) content(r *schemas.Request) uint32 {
	d.text(r.BizCode)
	d.text(r.OpenID.Reveal()) // it leaves this function as 32 bits under a random seed
	d.text(r.Channel)
	d.text(r.CouponCode)
	d.number(int64(r.CouponType))
	d.optional(r.Extra)
	return d.sum32()
}

// asked covers the coupon that a request is about.
func (d *digest) asked(couponCode string, couponType int32) uint32 {
	d.text(couponCode)
	d.number(int64(couponType))
	return d.sum32()
}

// coupon covers those optional members of a coupon whose bit is set.
func (d *digest) coupon(c *schemas.Coupon, members uint8) uint32 {
	for i, n := range couponNumbers(c) {
		if members&(1<<i) != 0 {
			d.optionalNumber(n)
		}
	}
	if members&nameMember != 0 {
		d.optional(c.Name)
	}
	return d.sum32()
}

const nameMember = 1 << 5

func couponNumbers(c *schemas.Coupon) [5]*int64 {
	return [...]*int64{c.TemplateID, c.Discount, c.StartFee, c.StartTime, c.EndTime}
}

// couponMembers has a bit for each optional member that c holds. An answer may
// lack any of them, and an outcome that is too large leaves the name out.
func couponMembers(c *schemas.Coupon) (members uint8) {
	for i, n := range couponNumbers(c) {
		if n != nil {
			members |= 1 << i
		}
	}
	if c.Name != nil {
		members |= nameMember
	}
	return members
}
