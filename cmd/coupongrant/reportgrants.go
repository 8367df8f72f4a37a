package main

import (
	"cmp"
	"context"
	"maps"
	"math/big"
	"slices"
)

func grantsQuestion() question {
	return question{
		use: "grants", short: "Coupons granted, by store and day",
		long: `Counts granted outcomes by day of granted_at, by what triggered the request, and by store.
"granted" counts outcomes, one for each request record; "coupons" leaves those out that
answer a repeat with a coupon that was granted before: a coupon counts on the day and for
the store of its first outcome.`,
		answer: grantsByStore,
	}
}

func grantsByStore(ctx context.Context, r *reporter) (*table, error) {
	type group struct{ day, kind, store string }
	type counts struct{ granted, coupons int64 }
	var all counts
	groups := map[group]*counts{}
	err := r.grants(ctx, func(g grantedCoupon) error {
		of := group{r.period.day(g.grantedAt), g.kind, g.store}
		if groups[of] == nil {
			groups[of] = &counts{}
		}
		for _, n := range []*counts{groups[of], &all} {
			n.granted++
			if g.first {
				n.coupons++
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &table{
		title:   []string{"Coupons granted, by store and day"},
		columns: []column{{name: "day"}, {name: "kind"}, {name: "store_id", label: "store"}, {name: "granted", right: true}, {name: "coupons", right: true}},
		empty:   "No coupon was granted.",
		total:   []cell{{text: "all"}, {}, {}, countCell(all.granted), countCell(all.coupons)},
		notes:   []string{"granted counts outcomes, coupons leaves out those that answer a repeat with a coupon granted before."},
	}
	for _, of := range slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.kind, b.kind), cmp.Compare(a.store, b.store))
	}) {
		n := groups[of]
		t.rows = append(t.rows, []cell{textCell(of.day), textCell(of.kind), textCell(of.store), countCell(n.granted), countCell(n.coupons)})
	}
	return t, nil
}

func discountQuestion() question {
	return question{
		use: "discount", short: "Discount granted, by coupon and store",
		long: `Adds up the discount of the coupons granted, by coupon and store, each coupon once, where
and when it was granted first. Tmall documents no unit of its discount: the sum is of the
numbers as it answers them. "without discount" counts coupons of whose discount it said
nothing; a coupon's discount is that of its first outcome.`,
		answer: discountByCoupon,
	}
}

func discountByCoupon(ctx context.Context, r *reporter) (*table, error) {
	groups, err := r.discounts(ctx)
	if err != nil {
		return nil, err
	}
	t := &table{
		title: []string{"Discount granted, by coupon and store"},
		columns: []column{
			{name: "coupon_code", label: "coupon"},
			{name: "store_id", label: "store"},
			{name: "coupons", right: true},
			{name: "without_discount", right: true},
			{name: "discount", right: true},
		},
		empty: "No coupon was granted.",
		notes: []string{"discount is the sum of the numbers that Tmall answers; it documents no unit for them."},
	}
	for _, of := range slices.SortedFunc(maps.Keys(groups), func(a, b discountGroup) int {
		return cmp.Or(cmp.Compare(a.coupon, b.coupon), cmp.Compare(a.store, b.store))
	}) {
		n := groups[of]
		t.rows = append(t.rows, []cell{textCell(of.coupon), textCell(of.store), countCell(n.coupons), countCell(n.without), sumCell(n.discount)})
	}
	return t, nil
}

// discountGroup is what discounts are added up by.
type discountGroup struct{ coupon, store string }

type discountSums struct {
	coupons, without int64
	discount         *big.Int // nil: of no coupon
}

// discounts takes each coupon once.
func (r *reporter) discounts(ctx context.Context) (map[discountGroup]*discountSums, error) {
	groups := map[discountGroup]*discountSums{}
	return groups, r.grants(ctx, func(g grantedCoupon) error {
		if !g.first {
			return nil
		}
		of := discountGroup{g.coupon, g.store}
		sum := groups[of]
		if sum == nil {
			sum = &discountSums{}
			groups[of] = sum
		}
		sum.coupons++
		if g.discount == nil {
			sum.without++
			return nil
		}
		if sum.discount == nil {
			sum.discount = new(big.Int)
		}
		sum.discount.Add(sum.discount, big.NewInt(*g.discount))
		return nil
	})
}
