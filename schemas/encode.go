package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// pen writes values of our own three schemas, member after member as these name
// them. It is not goavro's way, through a map of all members, because every event
// is written once. That both mean the same is what goavro reads back in the tests.
type pen struct{ value []byte }

// pens keep their room: what is handed out is a copy of the right size.
var pens = sync.Pool{New: func() any { return new(pen) }}

// encoded is the wire format: what write writes, after the schema's id.
func encoded(id int, write func(*pen)) []byte {
	p := pens.Get().(*pen) //nolint:forcetypeassert // the pool holds nothing else
	p.value = binary.BigEndian.AppendUint32(append(p.value[:0], magic), uint32(id))
	write(p)
	value := slices.Clone(p.value)
	if cap(p.value) <= MaxValueBytes { // nobody keeps the room of one that was large
		pens.Put(p)
	}
	return value
}

// long is Avro's, of which an int is a small one.
func (p *pen) long(v int64) { p.value = binary.AppendVarint(p.value, v) }

func (p *pen) millis(t time.Time) { p.long(t.UnixMilli()) }

// text mends what is not UTF-8: an outcome must be publishable, and readers of
// other languages refuse such bytes.
func (p *pen) text(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	p.long(int64(len(s)))
	p.value = append(p.value, s...)
}

// Our unions are of null and something, in this order.
const (
	branchNull  = 0
	branchValue = 1
)

// present writes which branch follows and says whether anything does.
func (p *pen) present(is bool) bool {
	if is {
		p.long(branchValue)
	} else {
		p.long(branchNull)
	}
	return is
}

func (p *pen) optText(s *string) {
	if p.present(s != nil) {
		p.text(*s)
	}
}

func (p *pen) optLong(v *int64) {
	if p.present(v != nil) {
		p.long(*v)
	}
}

// checkRequest refuses what is not UTF-8 in the members that name what is granted
// to whom; the others are mended.
func checkRequest(r Request) error {
	for _, s := range []string{r.RequestID, r.BizCode, r.OpenID.Reveal(), r.Channel, r.CouponCode} {
		if !utf8.ValidString(s) {
			return errors.New("a string of the request is not UTF-8")
		}
	}
	return nil
}

func (p *pen) request(r Request) {
	p.text(r.RequestID)
	p.millis(r.OccurredAt)
	if p.present(!r.ExpiresAt.IsZero()) {
		p.millis(r.ExpiresAt)
	}
	p.text(r.BizCode)
	p.text(r.OpenID.Reveal())
	p.text(r.Channel)
	p.text(r.CouponCode)
	p.long(int64(r.CouponType))
	p.optText(r.Extra)
	p.trigger(r.Trigger)
}

func (p *pen) trigger(t *Trigger) {
	if !p.present(t != nil) {
		return
	}
	p.text(t.Kind)
	p.optText(t.StoreID)
	p.optText(t.ReceiptID)
	p.optText(t.ProgramID)
	p.optText(t.Milestone)
}

// ending is what both outcomes begin with.
func (p *pen) ending(e Ending) {
	p.text(e.RequestID)
	p.millis(e.OccurredAt)
	p.millis(e.EndedAt)
	p.text(e.BizCode)
	p.text(e.Channel)
	p.text(e.CouponCode)
	p.long(int64(e.CouponType))
	p.trigger(e.Trigger)
	p.long(int64(e.Attempts))
	p.attempts(e.AttemptLog)
	p.optText(e.GatewayRequestID)
}

// attempts are the newest of a log: one block, and the empty one that ends an
// array.
func (p *pen) attempts(log []Attempt) {
	log = log[max(0, len(log)-AttemptLogSize):]
	if len(log) > 0 {
		p.long(int64(len(log)))
	}
	for _, a := range log {
		p.millis(a.At)
		p.text(a.About)
		p.text(a.Code)
	}
	p.long(0)
}

func (p *pen) granted(g *Granted) {
	p.ending(g.Ending)
	p.long(g.Coupon.InstanceID)
	p.optLong(g.Coupon.TemplateID)
	p.optLong(g.Coupon.Discount)
	p.optLong(g.Coupon.StartFee)
	p.optLong(g.Coupon.StartTime)
	p.optLong(g.Coupon.EndTime)
	p.optText(g.Coupon.Name)
}

// failed takes the reason as its place among the enum's symbols.
func (p *pen) failed(f *Failed, reason int) {
	p.ending(f.Ending)
	p.long(int64(reason))
	p.optText(f.GatewayCode)
	p.optText(f.GatewaySubCode)
	p.optText(f.GatewayMessage)
}

// reasonPlace is where the schema has a reason.
func reasonPlace(r FailureReason) (int, error) {
	i := slices.Index(FailureReasons(), r)
	if i < 0 {
		return 0, fmt.Errorf("there is no reason %q of a failure", r)
	}
	return i, nil
}
