package proof_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// reckoning holds what was told of each request id against the gateway's ledger,
// coupon by coupon. It is simpler than the audit, and knows nothing of it.
type reckoning struct {
	told map[string]*tellings
}

// tellings are all ends of one request id.
type tellings struct {
	coupons []int64 // of outcomes granted
	failed  []schemas.Failed
	unknown int // dead letters grant-unknown
}

func newReckoning() *reckoning { return &reckoning{told: map[string]*tellings{}} }

func (r *reckoning) of(id string) *tellings {
	if r.told[id] == nil {
		r.told[id] = &tellings{}
	}
	return r.told[id]
}

func (r *reckoning) outcome(o schemas.Outcome) {
	switch o := o.(type) {
	case *schemas.Granted:
		t := r.of(o.RequestID)
		t.coupons = append(t.coupons, o.Coupon.InstanceID)
	case *schemas.Failed:
		t := r.of(o.RequestID)
		t.failed = append(t.failed, *o)
	}
}

// The counts of a reckoning.
const (
	idsCounted        = "request ids"
	couponsCounted    = "coupons in the ledger"
	grantedCounted    = "granted"
	failedCounted     = "failed"
	expiredUncalled   = "expired before an attempt"
	expiredCalled     = "expired after attempts"
	unknownWithCoupon = "grant-unknown, with a coupon"
	unknownWithout    = "grant-unknown, without"
	repeatsCounted    = "calls for what was granted"
)

// against counts, and says what does not agree with the ledger; nothing agrees
// by leaving it out.
func (r *reckoning) against(ledger map[string]topsim.LedgerEntry) (counts map[string]float64, wrong []string) {
	counts = map[string]float64{}
	for id, t := range r.told {
		counts[idsCounted]++
		e := ledger[id]
		counts[grantedCounted] += indicator(len(t.coupons) > 0)
		for i := range t.failed {
			countFailed(&t.failed[i], counts)
		}
		if len(t.coupons) == 0 && t.unknown > 0 {
			counts[unknownWithCoupon] += indicator(e.Granted)
			counts[unknownWithout] += indicator(!e.Granted)
		}
		if what := t.disagrees(e); what != "" {
			wrong = append(wrong, id+": "+what)
		}
	}
	for id, e := range ledger {
		counts[couponsCounted] += float64(e.Grants)
		counts[repeatsCounted] += float64(max(e.Calls-1, 0)) * indicator(e.Granted)
		if r.told[id] == nil && e.Granted {
			wrong = append(wrong, id+": a coupon of which nothing is told")
		}
	}
	if told := counts[grantedCounted] + counts[unknownWithCoupon]; told != counts[couponsCounted] {
		wrong = append(wrong, fmt.Sprintf("%v coupons are told of, and %v were given", told, counts[couponsCounted]))
	}
	slices.Sort(wrong)
	return counts, wrong
}

func indicator(holds bool) float64 { return map[bool]float64{true: 1}[holds] }

func countFailed(f *schemas.Failed, counts map[string]float64) {
	counts[failedCounted]++
	if f.Reason == schemas.ReasonExpired {
		counts[expiredUncalled] += indicator(f.Attempts == 0)
		counts[expiredCalled] += indicator(f.Attempts > 0)
	}
}

// disagrees says what is wrong with what was told; empty: nothing.
func (t *tellings) disagrees(e topsim.LedgerEntry) string {
	switch {
	case e.Grants > 1:
		return fmt.Sprintf("%d coupons", e.Grants)
	case len(t.failed) > 0 && e.Granted:
		return "failed, with a coupon"
	case len(t.coupons) == 0 && t.unknown == 0 && e.Granted:
		return "a coupon of which nothing is told"
	case len(t.coupons) > 0 && !e.Granted:
		return "granted, without a coupon"
	case slices.ContainsFunc(t.coupons, func(c int64) bool { return c != e.InstanceID() }):
		return "granted, with another coupon"
	default:
		return ""
	}
}

func TestReckoningFindsEachDisagreement(t *testing.T) {
	given := func(instances ...int64) topsim.LedgerEntry {
		return topsim.LedgerEntry{Granted: true, Grants: len(instances), Coupon: &topsim.Model{InstanceID: instances[0]}, Calls: 2}
	}
	granted := func(instance int64) *tellings { return &tellings{coupons: []int64{instance}} }
	for name, c := range map[string]struct {
		told   *tellings
		ledger map[string]topsim.LedgerEntry
		wrong  string
	}{
		"granted":              {granted(7), map[string]topsim.LedgerEntry{"a": given(7)}, ""},
		"failed":               {&tellings{failed: []schemas.Failed{{}}}, map[string]topsim.LedgerEntry{"a": {}}, ""},
		"never called":         {&tellings{failed: []schemas.Failed{{Reason: schemas.ReasonExpired}}}, nil, ""},
		"unknown, and granted": {&tellings{unknown: 1}, map[string]topsim.LedgerEntry{"a": given(7)}, ""},
		"unknown, and not":     {&tellings{unknown: 1}, map[string]topsim.LedgerEntry{"a": {}}, ""},
		"false failed":         {&tellings{failed: []schemas.Failed{{}}}, map[string]topsim.LedgerEntry{"a": given(7)}, "a: failed, with a coupon"},
		"false granted":        {granted(7), nil, "a: granted, without a coupon"},
		"another coupon":       {granted(7), map[string]topsim.LedgerEntry{"a": given(8)}, "a: granted, with another coupon"},
		"two coupons":          {granted(7), map[string]topsim.LedgerEntry{"a": given(7, 8)}, "a: 2 coupons"},
		"nothing told":         {&tellings{}, map[string]topsim.LedgerEntry{"a": given(7)}, "a: a coupon of which nothing is told"},
		"of nobody":            {granted(7), map[string]topsim.LedgerEntry{"a": given(7), "b": given(9)}, "b: a coupon of which nothing is told"},
	} {
		_, wrong := (&reckoning{told: map[string]*tellings{"a": c.told}}).against(c.ledger)
		if c.wrong == "" {
			require.Empty(t, wrong, name)
		} else {
			require.Contains(t, wrong, c.wrong, name)
		}
	}
}

func TestReckoningCounts(t *testing.T) {
	r := newReckoning()
	r.outcome(&schemas.Granted{Ending: schemas.Ending{RequestID: "a"}, Coupon: schemas.Coupon{InstanceID: 7}})
	r.outcome(&schemas.Failed{Ending: schemas.Ending{RequestID: "b", Attempts: 2}, Reason: schemas.ReasonExpired})
	r.outcome(&schemas.Failed{Ending: schemas.Ending{RequestID: "c"}, Reason: schemas.ReasonExpired})
	r.of("d").unknown++
	r.of("e").unknown++
	counts, wrong := r.against(map[string]topsim.LedgerEntry{
		"a": {Granted: true, Grants: 1, Calls: 3, Coupon: &topsim.Model{InstanceID: 7}},
		"b": {Calls: 2},
		"d": {Granted: true, Grants: 1, Calls: 2, Coupon: &topsim.Model{InstanceID: 8}},
	})

	require.Empty(t, wrong)
	require.Equal(t, map[string]float64{
		idsCounted: 5, couponsCounted: 2, grantedCounted: 1, failedCounted: 2, expiredUncalled: 1, expiredCalled: 1,
		unknownWithCoupon: 1, unknownWithout: 1, repeatsCounted: 3,
	}, counts)
}
