package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

func failuresQuestion() question {
	return question{
		use: "failures", short: "Why coupons were not granted, by coupon",
		long: `Counts failed outcomes by coupon, by reason, and by Tmall's own codes, which tell the
cases of REJECTED apart. "failed" counts outcomes, one for each request record; "requests"
counts different request ids among them. Dead letters are no outcomes: see
'coupongrant dead-letters list'.`,
		answer: failuresByCoupon,
	}
}

func failuresByCoupon(ctx context.Context, r *reporter) (*table, error) {
	var gathered sorter
	defer gathered.close()
	if err := r.read(ctx, takers{r.topics.Failed: r.gatherFailures(&gathered)}); err != nil {
		return nil, err
	}
	t := &table{
		title: []string{"Why coupons were not granted, by coupon"},
		columns: []column{
			{name: "coupon_code", label: "coupon"},
			{name: "reason"},
			{name: "gateway_code", label: "Tmall's code"},
			{name: "gateway_sub_code", label: "sub-code"},
			{name: "failed", right: true},
			{name: "requests", right: true},
		},
		empty: "No grant failed.",
		notes: []string{"failed counts outcomes, requests different request ids among them."},
	}
	var all int64
	err := eachFailures(&gathered, func(of failures) {
		all += of.failed
		t.rows = append(t.rows, []cell{
			textCell(of.coupon), textCell(of.reason), textCell(of.code), textCell(of.subCode), countCell(of.failed), countCell(of.requests),
		})
	})
	t.total = []cell{{text: "all"}, {}, {}, {}, countCell(all), {}}
	return t, err
}

// gatherFailures is sorted by group and request id, so that each different id of a
// group is met once.
func (r *reporter) gatherFailures(into *sorter) func(context.Context, *kgo.Record) error {
	return func(ctx context.Context, record *kgo.Record) error {
		o, err := outcomeOf[*schemas.Failed](ctx, r, record)
		if err != nil || o == nil || !r.period.has(o.EndedAt.UnixMilli()) {
			return err
		}
		return into.add(tuple(nil).text(o.CouponCode).text(string(o.Reason)).
			text(textOf(o.GatewayCode)).text(textOf(o.GatewaySubCode)).text(o.RequestID))
	}
}

// failureGroup is what failures are counted by.
type failureGroup struct{ coupon, reason, code, subCode string }

type failures struct {
	failureGroup
	failed, requests int64
}

// eachFailures hands over each group with its counts.
func eachFailures(gathered *sorter, f func(failures)) error {
	var of failures
	var id string
	err := gathered.each(func(row *tupleReader) error {
		next, nextID := failureGroup{row.text(), row.text(), row.text(), row.text()}, row.text()
		if next != of.failureGroup {
			if of.failed > 0 {
				f(of)
			}
			of = failures{failureGroup: next}
		}
		if of.failed == 0 || nextID != id {
			of.requests++
		}
		id = nextID
		of.failed++
		return nil
	})
	if of.failed > 0 {
		f(of)
	}
	return err
}
