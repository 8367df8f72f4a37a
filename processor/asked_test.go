package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

func TestIDThatAsksForSomethingElseIsSeen(t *testing.T) {
	first := schemas.Request{RequestID: "a", BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 1}
	for what, change := range map[string]func(*schemas.Request){
		"open_id":     func(q *schemas.Request) { q.OpenID = schemas.NewOpenID("x") },
		"coupon_code": func(q *schemas.Request) { q.CouponCode = "x" },
		"coupon_type": func(q *schemas.Request) { q.CouponType = 2 },
		"biz_code":    func(q *schemas.Request) { q.BizCode = "x" },
		"channel":     func(q *schemas.Request) { q.Channel = "x" },
		"extra":       func(q *schemas.Request) { q.Extra = new(string) },
		"moved text":  func(q *schemas.Request) { q.OpenID, q.CouponCode = schemas.NewOpenID("ou"), "" },
	} {
		t.Run(what, func(t *testing.T) {
			a, other := newAsked(), first
			change(&other)

			require.False(t, a.differs(a.fingerprint(&first)))
			require.True(t, a.differs(a.fingerprint(&other)))
			require.True(t, a.differs(a.fingerprint(&other)), "the first one's stands")
			require.False(t, a.differs(a.fingerprint(&first)), "a repeat asks for the same")
		})
	}
	a, later := newAsked(), first
	later.OccurredAt, later.ExpiresAt, later.Trigger = later.OccurredAt.AddDate(0, 0, 1), time.Now(), new(schemas.Trigger)
	first.Extra, later.Extra = new(string), new(string)
	require.False(t, a.differs(a.fingerprint(&first)))
	require.False(t, a.differs(a.fingerprint(&later)), "Tmall is told the same")
}

func TestAskedKeepsMostOfTheNewestIDs(t *testing.T) {
	const ids, newest = 10 * askedPlaces, 10_000
	a, kept := newAsked(), 0
	for i := range ids {
		if a.differs(a.fingerprint(&schemas.Request{RequestID: fmt.Sprint(i)})) { // as fast as it can be asked so often
			t.Fatalf("%d was not there before", i)
		}
	}
	for i := range newest {
		if a.differs(a.fingerprint(&schemas.Request{RequestID: fmt.Sprint(ids - 1 - i), CouponType: 1})) {
			kept++
		}
	}
	require.Greater(t, kept, newest*9/10)
}
