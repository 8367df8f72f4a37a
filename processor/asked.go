package processor

import (
	"hash/maphash"

	"github.com/coupongrant/coupongrant/schemas"
)

// asked remembers which coupon for whom the newest request ids of this replica
// asked for, so that one that is used again for another is not called: Tmall, which
// goes by the id alone, would answer with the first one's coupon. What other
// replicas or earlier sessions have seen it does not know; the audit does, and it
// names differences in the other members too, which harm nobody here.
//
// Both sides are fingerprints under a key of the process: an open_id cannot be
// read from them, and two ids of 100,000 are taken for one in 10^14 looks. The
// session goroutine owns it.
type asked struct {
	seed   maphash.Seed
	byID   map[uint64]uint64
	newest []uint64 // ids, in a ring
	next   int
}

const askedIDs = 100_000

func newAsked() *asked {
	return &asked{seed: maphash.MakeSeed(), byID: map[uint64]uint64{}}
}

// wanted is which coupon is asked for, and for whom.
type wanted struct {
	openID, code string
	kind         int32
}

// differs notes what a request asks for, and says that its id has asked for
// something else before.
func (a *asked) differs(q *schemas.Request) bool {
	c := wanted{q.OpenID.Reveal(), q.CouponCode, q.CouponType} // leaves this function as 64 bits under a random key
	id, sum := maphash.String(a.seed, q.RequestID), maphash.Comparable(a.seed, c)
	if before, ok := a.byID[id]; ok {
		return before != sum
	}
	a.byID[id] = sum
	if len(a.newest) < askedIDs {
		a.newest = append(a.newest, id)
		return false
	}
	delete(a.byID, a.newest[a.next])
	a.newest[a.next] = id
	a.next = (a.next + 1) % askedIDs
	return false
}
