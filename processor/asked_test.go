package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

func TestIDThatAsksForSomethingElseIsSeen(t *testing.T) {
	at := time.UnixMilli(-1) // which a producer may say
	first := schemas.Request{RequestID: "a", BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 1}
	for what, change := range map[string]func(*schemas.Request){
		"open_id":     func(q *schemas.Request) { q.OpenID = schemas.NewOpenID("x") },
		"coupon_code": func(q *schemas.Request) { q.CouponCode = "x" },
		"coupon_type": func(q *schemas.Request) { q.CouponType = 2 },
		"biz_code":    func(q *schemas.Request) { q.BizCode = "x" },
		"channel":     func(q *schemas.Request) { q.Channel = "x" },
		"extra":       func(q *schemas.Request) { q.Extra = &q.Channel },
		"moved text":  func(q *schemas.Request) { q.OpenID, q.CouponCode = schemas.NewOpenID("ou"), "" },
	} {
		t.Run(what, func(t *testing.T) {
			a, other := newAsked(), first
			change(&other)

			require.False(t, a.differs(a.fingerprint(&first, at)))
			require.True(t, a.differs(a.fingerprint(&other, at)))
			require.True(t, a.differs(a.fingerprint(&other, at)), "the first one's stands")
			require.False(t, a.differs(a.fingerprint(&first, at)), "a repeat asks for the same")
		})
	}
	a, later := newAsked(), first
	later.OccurredAt, later.ExpiresAt, later.Trigger = later.OccurredAt.AddDate(0, 0, 1), time.Now(), new(schemas.Trigger)
	later.Extra = new(string) // which is not sent
	require.False(t, a.differs(a.fingerprint(&first, at)))
	require.False(t, a.differs(a.fingerprint(&later, at)), "Tmall is told the same")
}

// By what is read back, which may have been refused for its id itself, only what was written
// after it differs.
func TestWhatIsReadBackIsNoReasonToRefuseWhatCameBefore(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(1_762_848_000_000 + ms) }
	one := schemas.Request{RequestID: "a", CouponCode: "one"}
	two := schemas.Request{RequestID: "a", CouponCode: "two"}
	for name, row := range map[string]struct {
		recalled map[int64]schemas.Request
		comes    int64 // and is one
		differs  bool
	}{
		"later":                            {map[int64]schemas.Request{5: two}, 6, true},
		"earlier":                          {map[int64]schemas.Request{5: two}, 4, false},
		"at once":                          {map[int64]schemas.Request{5: two}, 5, false},
		"a repeat":                         {map[int64]schemas.Request{5: one}, 6, false},
		"a repeat of the first":            {map[int64]schemas.Request{4: one, 5: two}, 6, false},
		"later than the first":             {map[int64]schemas.Request{4: two, 5: one}, 6, true},
		"parked meanwhile, and read twice": {map[int64]schemas.Request{4: two, 9: two}, 6, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsked()
			for written, q := range row.recalled {
				a.recall(a.fingerprint(&q, at(written)))
			}
			require.Equal(t, row.differs, a.differs(a.fingerprint(&one, at(row.comes))))
			if !row.differs {
				require.True(t, a.differs(a.fingerprint(&two, at(0))), "it has come here now, and stands")
				a.recall(a.fingerprint(&two, at(0)))
				require.False(t, a.differs(a.fingerprint(&one, at(row.comes))))
			}
		})
	}
}

func TestAskedKeepsTheNewestIDs(t *testing.T) {
	const ids, newest = 10 * idSets * setPlaces, 10_000
	a, kept := newAsked(), 0
	for i := range ids {
		if a.differs(a.fingerprint(&schemas.Request{RequestID: fmt.Sprint(i)}, time.Now())) { // as fast as it can be asked so often
			t.Fatalf("%d was not there before", i)
		}
	}
	for i := range newest {
		if a.differs(a.fingerprint(&schemas.Request{RequestID: fmt.Sprint(ids - 1 - i), CouponType: 1}, time.Now())) {
			kept++
		}
	}
	require.Greater(t, kept, newest-10)
}
