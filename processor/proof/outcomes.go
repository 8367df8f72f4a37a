package proof

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// AddOutcome takes a record of the granted or the failed topic and what
// schemas.Codec.DecodeOutcome made of it.
func (c *Checker) AddOutcome(r *kgo.Record, o schemas.Outcome, err error) {
	kind := granted
	if r.Topic == c.topics.Failed {
		kind = failed
	}
	rec, source := c.source(r)
	if rec != nil {
		c.end(r, rec, source, kind) // an unreadable end is an end
	}
	if err != nil {
		c.breach(Unreadable, found(r, source, "", "it cannot be read as an outcome"))
		return
	}
	switch o := o.(type) {
	case *schemas.Granted:
		c.report.Granted++
		c.checkKind(r, source, kind, granted)
		c.compare(r, rec, source, &o.Ending, shortened(&o.Ending) && o.Coupon.Name == nil)
		c.addCoupon(r, source, o)
	case *schemas.Failed:
		c.report.Failed[string(o.Reason)]++
		c.checkKind(r, source, kind, failed)
		c.compare(r, rec, source, &o.Ending, shortened(&o.Ending) && o.GatewayMessage == nil)
		if rec != nil && rec.failedAt == 0 {
			rec.failedAt = o.EndedAt.UnixMilli()
		}
	}
}

func (c *Checker) checkKind(r *kgo.Record, source string, topic, event flags) {
	if topic != event {
		c.breach(Mismatch, found(r, source, "", "a "+endName(event)+" event on the topic of the "+endName(topic)+" ones"))
	}
}

// compare looks whether an outcome speaks of the request that its source names.
func (c *Checker) compare(r *kgo.Record, rec *record, source string, e *schemas.Ending, short bool) {
	c.report.Attempts += int64(max(e.Attempts, 0))
	if rec == nil {
		return
	}
	id := c.digest.id(e.RequestID)
	if !rec.is(seen) || rec.is(unjudged) {
		rec.id = id
		return
	}
	differs := func(bad bool, what string) {
		if bad {
			c.breach(Mismatch, found(r, source, e.RequestID, what))
		}
	}
	if !rec.is(readable) {
		differs(true, "an outcome for a record that is no request")
		return
	}
	differs(rec.id != id, "its request_id is not that of its request")
	differs(rec.key != c.digest.bytes(r.Key), "its key is not that of its request")
	differs(rec.copied != c.digest.copied(e.OccurredAt, e.BizCode, e.Channel, e.CouponCode, e.CouponType),
		"occurred_at, biz_code, channel, coupon_code or coupon_type is not that of its request")
	trigger := c.digest.trigger(e.Trigger)
	differs(rec.trigger != trigger && (trigger != 0 || !short), "its trigger is not that of its request")
}

// shortened says that an outcome may have been sent without its optional
// members because it was too large with them.
func shortened(e *schemas.Ending) bool { return len(e.AttemptLog) == 0 && e.GatewayRequestID == nil }

// addCoupon holds all grants of one request id against each other: a repeat
// must give the first coupon again.
func (c *Checker) addCoupon(r *kgo.Record, source string, o *schemas.Granted) {
	id := c.digest.id(o.RequestID)
	known := c.ids[id]
	if known.flags&hasCoupon != 0 && known.instance != o.Coupon.InstanceID {
		c.breach(GrantedTwice, found(r, source, o.RequestID, "an earlier outcome of this request_id has another coupon"))
		return
	}
	known.flags |= hasCoupon
	known.instance = o.Coupon.InstanceID
	known.members = couponMembers(&o.Coupon)
	known.coupon = c.digest.coupon(&o.Coupon, known.members)
	c.ids[id] = known
}
