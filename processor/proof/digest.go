package proof

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// digestKey is random: nobody can choose contents that look alike, and nothing
// can be looked up elsewhere. It is kept with the state that it made.
type digestKey [16]byte

// digest makes fingerprints under a key.
type digest struct {
	key digestKey
	buf []byte // the key, and what is being digested
}

func newDigest() digest {
	var key digestKey
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	return digestOf(key)
}

func digestOf(key digestKey) digest { return digest{key: key, buf: key[:]} }

func (d *digest) sum() uint64 {
	sum := sha256.Sum256(d.buf)
	d.buf = append(d.buf[:0], d.key[:]...)
	return binary.LittleEndian.Uint64(sum[:])
}

func (d *digest) sum32() uint32 { return uint32(d.sum()) }

func (d *digest) number(n int64)     { d.buf = appendNumber(d.buf, n) }
func (d *digest) text(s string)      { d.buf = appendText(d.buf, s) }
func (d *digest) optional(s *string) { d.buf = appendOptional(d.buf, s) }

func appendNumber(b []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

// appendText writes a text with its length, so that members cannot run into each
// other, and mended as outcomes are, which must be UTF-8.
func appendText(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return append(appendNumber(b, int64(len(s))), s...)
}

func appendOptional(b []byte, s *string) []byte {
	if s == nil {
		return appendNumber(b, -1)
	}
	return appendText(b, *s)
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
	d.buf = append(d.buf, b...)
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

// AppendContent appends what the gateway is asked for, whatever schema version
// wrote it and whenever: two requests of one id must agree in it. It holds the
// open_id, and is only to be hashed, with a random key before it.
func AppendContent(b []byte, r *schemas.Request) []byte {
	for _, s := range []string{r.BizCode, r.OpenID.Reveal(), r.Channel, r.CouponCode} {
		b = appendText(b, s)
	}
	return appendOptional(appendNumber(b, int64(r.CouponType)), r.Extra)
}

func (d *digest) content(r *schemas.Request) uint32 {
	d.buf = AppendContent(d.buf, r)
	return d.sum32()
}

// asked covers the coupon that a request is about.
func (d *digest) asked(couponCode string, couponType int32) uint32 {
	d.text(couponCode)
	d.number(int64(couponType))
	return d.sum32()
}

// couponMembers are fingerprints of the optional members of a coupon, 0 for one
// that is not there.
type couponMembers [6]uint32

func (d *digest) coupon(c *schemas.Coupon) (m couponMembers) {
	for i, n := range []*int64{c.TemplateID, c.Discount, c.StartFee, c.StartTime, c.EndTime} {
		if n != nil {
			d.number(int64(i))
			d.number(*n)
			m[i] = max(d.sum32(), 1)
		}
	}
	if c.Name != nil {
		d.text(*c.Name)
		m[5] = max(d.sum32(), 1)
	}
	return m
}

// present has a bit for each member that is there. An answer may lack any of
// them, and an outcome that is too large leaves the name out.
func (m couponMembers) present() (bits uint8) {
	for i, sum := range m {
		if sum != 0 {
			bits |= 1 << i
		}
	}
	return bits
}

// joined is one fingerprint of those members whose bit is set.
func (m couponMembers) joined(bits uint8) (all uint32) {
	for i, sum := range m {
		if bits&(1<<i) != 0 {
			all = all*16777619 ^ sum
		}
	}
	return all
}
