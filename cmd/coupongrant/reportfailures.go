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

// failuresByCoupon sorts by group and request id, so that each different id of a
// group is met once.
func failuresByCoupon(ctx context.Context, r *reporter) (*table, error) {
	var gathered sorter
	defer gathered.close()
	err := r.read(ctx, takers{r.topics.Failed: func(ctx context.Context, record *kgo.Record) error {
		o, err := outcomeOf[*schemas.Failed](ctx, r, record)
		if err != nil || o == nil || !r.period.has(o.EndedAt.UnixMilli()) {
			return err
		}
		return gathered.add(tuple(nil).text(o.CouponCode).text(string(o.Reason)).
			text(textOf(o.GatewayCode)).text(textOf(o.GatewaySubCode)).text(o.RequestID))
	}})
	if err != nil {
		return nil, err
	}
	type group struct{ coupon, reason, code, subCode string }
	var of group
	var id string
	var failed, requests, allFailed int64
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
	done := func() {
		if failed > 0 {
			t.rows = append(t.rows, []cell{
				textCell(of.coupon), textCell(of.reason), textCell(of.code), textCell(of.subCode), countCell(failed), countCell(requests),
			})
		}
	}
	err = gathered.each(func(row *tupleReader) error {
		next, nextID := group{row.text(), row.text(), row.text(), row.text()}, row.text()
		if next != of || failed == 0 {
			done()
			of, failed, requests = next, 0, 0
		}
		if failed == 0 || nextID != id {
			requests++
		}
		id = nextID
		failed++
		allFailed++
		return nil
	})
	done()
	t.total = []cell{{text: "all"}, {}, {}, {}, countCell(allFailed), {}}
	return t, err
}
