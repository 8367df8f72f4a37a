package schemas

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRequestsThatBreakARuleAreInvalid(t *testing.T) {
	cases := map[string]func(*Request){
		"request_id empty":             func(q *Request) { q.RequestID = "" },
		"request_id blank":             func(q *Request) { q.RequestID = " \u3000" },
		"request_id of 65 characters":  func(q *Request) { q.RequestID = strings.Repeat("券", 65) },
		"request_id with a newline":    func(q *Request) { q.RequestID = "a\nb" },
		"request_id with a C1 control": func(q *Request) { q.RequestID = "a\u0085b" },
		"biz_code empty":               func(q *Request) { q.BizCode = "" },
		"open_id empty":                func(q *Request) { q.OpenID = NewOpenID("") },
		"channel empty":                func(q *Request) { q.Channel = "" },
		"coupon_code empty":            func(q *Request) { q.CouponCode = "" },
		"coupon_type not listed":       func(q *Request) { q.CouponType = 999 },
		"coupon_type negative":         func(q *Request) { q.CouponType = -247 },
		"extra over-long":              func(q *Request) { q.Extra = ptr(strings.Repeat("x", maxArgumentBytes)) },
		"arguments over-long together": func(q *Request) { q.Channel, q.BizCode = strings.Repeat("x", 5000), strings.Repeat("y", 5000) },
		"occurred_at in microseconds":  func(q *Request) { q.OccurredAt = time.UnixMilli(1_762_848_000_000_000) },
		"occurred_at negative":         func(q *Request) { q.OccurredAt = time.UnixMilli(-1 << 63) },
		"expires_at of no time":        func(q *Request) { q.ExpiresAt = time.Time{}.Add(-1) },
		"expires_at negative":          func(q *Request) { q.ExpiresAt = time.UnixMilli(-1) },
	}
	_, _, codec := registeredCodec(t)
	for name, breakRule := range cases {
		t.Run(name, func(t *testing.T) {
			q := fullRequest()
			breakRule(&q)
			value, err := codec.EncodeRequest("store", q)
			require.NoError(t, err)
			got, err := codec.Decode(value)
			requireReason(t, InvalidRequest, err)
			require.Equal(t, q.RequestID, got.RequestID, "an invalid request can be named")
		})
	}
}

func TestRequestsAtTheEdgeOfTheRulesAreValid(t *testing.T) {
	cases := map[string]func(*Request){
		"request_id of 64 characters in 192 bytes": func(q *Request) { q.RequestID = strings.Repeat("券", 64) },
		"request_id of one character":              func(q *Request) { q.RequestID = "1" },
		"extra that is not JSON":                   func(q *Request) { q.Extra = ptr("}{") },
		"extra empty":                              func(q *Request) { q.Extra = ptr("") },
		"arguments of exactly 8 KiB": func(q *Request) {
			q.Extra = nil
			size := len(q.RequestID) + len(q.BizCode) + len(q.OpenID.Reveal()) + len(q.Channel) + len(q.CouponCode)
			q.Extra = ptr(strings.Repeat("x", maxArgumentBytes-size))
		},
		"expired before it occurred": func(q *Request) { q.ExpiresAt = q.OccurredAt.Add(-time.Hour) },
		"occurred long ago":          func(q *Request) { q.OccurredAt = time.UnixMilli(0) },
		"expired long ago":           func(q *Request) { q.ExpiresAt = time.UnixMilli(0) },
		"expires as late as can be":  func(q *Request) { q.ExpiresAt = time.UnixMilli(math.MaxInt64) },
		"trigger of a later kind":    func(q *Request) { q.Trigger = &Trigger{Kind: "app-visit"} },
		"category coupon":            func(q *Request) { q.CouponType = 247 },
		"store-general coupon":       func(q *Request) { q.CouponType = 357 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			q := fullRequest()
			change(&q)
			require.NoError(t, Rules{}.Check(q))
		})
	}
}

func TestListedCouponTypesAreAcceptedBesidesTmalls(t *testing.T) {
	q := fullRequest()
	for _, kind := range []int32{999, 247} {
		q.CouponType = kind
		require.NoError(t, Rules{CouponTypes: []int32{999}}.Check(q))
	}
	q.CouponType = 998
	requireReason(t, InvalidRequest, Rules{CouponTypes: []int32{999}}.Check(q))
}
