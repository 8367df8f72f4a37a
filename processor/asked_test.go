package processor

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

func TestIDThatAsksForSomethingElseIsSeen(t *testing.T) {
	first := schemas.Request{RequestID: "a", BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 1}
	for what, change := range map[string]func(*schemas.Request){
		"open_id":     func(q *schemas.Request) { q.OpenID = schemas.NewOpenID("x") },
		"coupon_code": func(q *schemas.Request) { q.CouponCode = "x" },
		"coupon_type": func(q *schemas.Request) { q.CouponType = 2 },
		"moved text":  func(q *schemas.Request) { q.OpenID, q.CouponCode = schemas.NewOpenID("ou"), "" },
	} {
		t.Run(what, func(t *testing.T) {
			a, other := newAsked(), first
			change(&other)

			require.False(t, a.differs(&first))
			require.True(t, a.differs(&other))
			require.True(t, a.differs(&other), "the first one's stands")
			require.False(t, a.differs(&first), "a repeat asks for the same")
		})
	}
	a, later := newAsked(), first
	later.OccurredAt, later.Channel = later.OccurredAt.AddDate(0, 0, 1), "app"
	require.False(t, a.differs(&first))
	require.False(t, a.differs(&later), "it is the same coupon for the same member")
}

func TestAskedKeepsMostOfTheNewestIDs(t *testing.T) {
	const ids, newest = 10 * askedPlaces, 10_000
	a, kept := newAsked(), 0
	for i := range ids {
		if a.differs(&schemas.Request{RequestID: fmt.Sprint(i)}) { // as fast as it can be asked so often
			t.Fatalf("%d was not there before", i)
		}
	}
	for i := range newest {
		if a.differs(&schemas.Request{RequestID: fmt.Sprint(ids - 1 - i), CouponType: 1}) {
			kept++
		}
	}
	require.Greater(t, kept, newest*9/10)
}
