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
	a := c.source(r)
	first := a != nil && c.end(r, a, kind) // an unreadable end is an end
	if a == nil {
		a = &answered{} // what it says of its request id still counts
	}
	f := a.fact()
	switch o := o.(type) {
	case *schemas.Granted:
		c.report.Granted++
		c.checkKind(r, a, kind, granted)
		c.compare(r, a, &f, &o.Ending, first, shortened(&o.Ending) && o.Coupon.Name == nil)
		members := c.digest.coupon(&o.Coupon)
		f.flags |= hasCoupon
		f.number, f.members, f.coupon = o.Coupon.InstanceID, members.present(), members.joined(members.present())
	case *schemas.Failed:
		c.report.Failed[string(o.Reason)]++
		c.checkKind(r, a, kind, failed)
		c.compare(r, a, &f, &o.Ending, first, shortened(&o.Ending) && o.GatewayMessage == nil)
		f.number = o.EndedAt.UnixMilli()
	default:
		c.breach(Unreadable, found(r, a.source, "", "it cannot be read as an outcome"))
	}
	if a.partition != nil && kind == granted {
		f.flags |= isGranted
	}
	if a.partition != nil && kind == failed && f.flags&hasCoupon == 0 {
		f.flags |= isFailed
	}
	c.facts.addFact(f)
}

func (c *Checker) checkKind(r *kgo.Record, a *answered, topic, event ended) {
	if topic != event {
		c.breach(Mismatch, found(r, a.source, "", "a "+event.String()+" event on the topic of the "+topic.String()+" ones"))
	}
}

// compare looks whether an outcome speaks of the request that its source names.
func (c *Checker) compare(r *kgo.Record, a *answered, f *fact, e *schemas.Ending, first, short bool) {
	c.report.Attempts += int64(max(e.Attempts, 0))
	id, rec := c.digest.id(e.RequestID), &a.record
	if f.id == 0 {
		f.id = id
	}
	if !first || a.mark&seen == 0 || rec.is(unjudged) {
		return
	}
	differs := func(bad bool, what string) {
		if bad {
			c.breach(Mismatch, found(r, a.source, e.RequestID, what))
		}
	}
	if rec.ID == 0 {
		f.id = 0
		differs(true, "an outcome for a record that is no request")
		return
	}
	differs(rec.ID != id, "its request_id is not that of its request")
	differs(rec.Key != c.digest.bytes(r.Key), "its key is not that of its request")
	differs(rec.Copied != c.digest.copied(e.OccurredAt, e.BizCode, e.Channel, e.CouponCode, e.CouponType),
		"occurred_at, biz_code, channel, coupon_code or coupon_type is not that of its request")
	trigger := c.digest.trigger(e.Trigger)
	differs(rec.Trigger != trigger && (trigger != 0 || !short), "its trigger is not that of its request")
}

// shortened says that an outcome may have been sent without its optional
// members because it was too large with them.
func shortened(e *schemas.Ending) bool { return len(e.AttemptLog) == 0 && e.GatewayRequestID == nil }
