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
// It is a table of fixed size in which a newer id may take the place of an older
// one. Ids and what they ask for are fingerprints under a key of the process: an
// open_id cannot be read from them, and that two ids are taken for one has to be
// expected once in 10^14 requests. The session goroutine owns it.
type asked struct {
	seed   maphash.Seed
	places [askedPlaces]struct{ id, coupon uint64 }
}

// askedPlaces: after 10,000 newer ids one in 14 has lost its place.
const askedPlaces = 1 << 17

func newAsked() *asked { return &asked{seed: maphash.MakeSeed()} }

// wanted is which coupon is asked for, and for whom.
type wanted struct {
	openID, code string
	kind         int32
}

// differs notes what a request asks for, and says that its id has asked for
// something else before.
func (a *asked) differs(q *schemas.Request) bool {
	id := maphash.String(a.seed, q.RequestID)
	coupon := maphash.Comparable(a.seed, wanted{q.OpenID.Reveal(), q.CouponCode, q.CouponType})
	place := &a.places[id%askedPlaces]
	if place.id == id {
		return place.coupon != coupon
	}
	place.id, place.coupon = id, coupon
	return false
}
