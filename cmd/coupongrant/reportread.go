package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// reporter reads the topics for one question.
type reporter struct {
	*topicReader
	period     period
	unreadable int64 // records of the topics of outcomes that are none
}

// takers say what is done with the records of which topic.
type takers map[string]func(context.Context, *kgo.Record) error

// What a row tells of. Among those of one source, or one request_id, a request sorts
// before its ends.
const (
	isRequest = iota
	isEnd
)

// read hands over what is committed at this moment: ends first, then inputs, so
// that no end is read whose request is not, unless retention has taken it.
func (r *reporter) read(ctx context.Context, take takers) error {
	var ranges []proof.Range
	for _, topics := range [][]string{{r.topics.Granted, r.topics.Failed, r.topics.DeadLetter}, {r.topics.Store, r.topics.Loyalty}} {
		asked := slices.DeleteFunc(topics, func(topic string) bool { return take[topic] == nil })
		if len(asked) == 0 {
			continue
		}
		stable, err := r.ranges(ctx, time.Time{}, asked...)
		if err != nil {
			return err
		}
		ranges = append(ranges, stable...)
	}
	return r.Scan(ctx, ranges, func(record *kgo.Record) error { return take[record.Topic](ctx, record) })
}

// outcomeOf reads one of the wanted kind; nil: it is none, and counted.
func outcomeOf[T schemas.Outcome](ctx context.Context, r *reporter, record *kgo.Record) (wanted T, err error) {
	o, bad, err := r.outcome(ctx, record.Value)
	if err != nil {
		return wanted, err
	}
	wanted, ok := o.(T)
	if bad != nil || !ok {
		r.unreadable++
	}
	return wanted, nil
}

// asked reads a request; false: it is none. One that breaks a rule was asked for
// nevertheless.
func (r *reporter) asked(ctx context.Context, record *kgo.Record) (q schemas.Request, ok bool, err error) {
	q, bad, err := r.request(ctx, record.Value)
	if err != nil || bad == nil {
		return q, err == nil, err
	}
	broken, isDecodeError := errors.AsType[*schemas.DecodeError](bad)
	return q, isDecodeError && broken.Reason == schemas.InvalidRequest, nil
}

// grantedCoupon is what the reports need of a granted outcome. Times are milliseconds.
type grantedCoupon struct {
	instance              int64 // of the coupon
	grantedAt, occurredAt int64
	partition             int32
	offset                int64
	source                string
	channel, coupon       string
	kind, store           string // empty: none
	discount              *int64
	first                 bool // of this coupon: a repeat answers with the same
}

// tuple sorts the grants of a coupon by time, and by place where that is the same.
func (g *grantedCoupon) tuple() tuple {
	return tuple(nil).number(g.instance).number(g.grantedAt).number(int64(g.partition)).number(g.offset).
		number(g.occurredAt).text(g.source).text(g.channel).text(g.coupon).text(g.kind).text(g.store).optional(g.discount)
}

func readGranted(r *tupleReader) grantedCoupon {
	return grantedCoupon{
		instance: r.number(), grantedAt: r.number(), partition: int32(r.number()), offset: r.number(),
		occurredAt: r.number(), source: r.text(), channel: r.text(), coupon: r.text(), kind: r.text(), store: r.text(), discount: r.optional(),
	}
}

// gather is a taker of granted outcomes.
func (r *reporter) gather(into *sorter) func(context.Context, *kgo.Record) error {
	return func(ctx context.Context, record *kgo.Record) error {
		o, err := outcomeOf[*schemas.Granted](ctx, r, record)
		if err != nil || o == nil {
			return err
		}
		g := grantedCoupon{
			instance: o.Coupon.InstanceID, grantedAt: o.EndedAt.UnixMilli(), occurredAt: o.OccurredAt.UnixMilli(),
			partition: record.Partition, offset: record.Offset, source: header(record, headerSource),
			channel: o.Channel, coupon: o.CouponCode, discount: o.Coupon.Discount,
		}
		if o.Trigger != nil {
			g.kind, g.store = o.Trigger.Kind, textOf(o.Trigger.StoreID)
		}
		return into.add(g.tuple())
	}
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// eachGrant hands over those of the period. Which is the first of its coupon is
// decided among all.
func (r *reporter) eachGrant(gathered *sorter, f func(grantedCoupon) error) error {
	var last int64
	met := false
	return gathered.each(func(row *tupleReader) error {
		g := readGranted(row)
		g.first = !met || g.instance != last
		met, last = true, g.instance
		if !r.period.has(g.grantedAt) {
			return nil
		}
		return f(g)
	})
}

// grants reads and hands over all granted outcomes of the period.
func (r *reporter) grants(ctx context.Context, f func(grantedCoupon) error) error {
	var gathered sorter
	defer gathered.close()
	if err := r.read(ctx, takers{r.topics.Granted: r.gather(&gathered)}); err != nil {
		return err
	}
	return r.eachGrant(&gathered, f)
}
