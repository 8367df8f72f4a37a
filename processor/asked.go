package processor

import (
	"hash/maphash"

	"github.com/coupongrant/coupongrant/schemas"
)

// asked remembers what the newest request ids that this replica has seen asked for, so
// that one that is used again for something else is not called: Tmall, which goes by
// the id alone, would answer with the first one's coupon. Of what came before it, it
// knows what recollection reads back; what others have seen meanwhile it does not know.
// The audit does, and names differences in members too that Tmall is not told.
//
// It is a table of fixed size in which a newer id may take the place of an older
// one. Ids and what they ask for are fingerprints under a key of the process: an
// open_id cannot be read from them, and that two ids are taken for one has to be
// expected once in 10^14 requests. The session goroutine owns its places.
type asked struct {
	seed   maphash.Seed
	places [askedPlaces]fingerprint
}

// askedPlaces: after 10,000 newer ids one in 14 has lost its place.
const askedPlaces = 1 << 17

func newAsked() *asked { return &asked{seed: maphash.MakeSeed()} }

// fingerprint tells a request from others, and one that repeats it from one that does not.
type fingerprint struct{ id, content uint64 }

// sent is what Tmall is told of a request beside its id.
type sent struct {
	bizCode, openID, channel, couponCode string
	couponType                           int32
	hasExtra                             bool
	extra                                string
}

// fingerprint may be called at any time, by anyone.
func (a *asked) fingerprint(q *schemas.Request) fingerprint {
	content := sent{bizCode: q.BizCode, openID: q.OpenID.Reveal(), channel: q.Channel, couponCode: q.CouponCode, couponType: q.CouponType}
	if q.Extra != nil {
		content.hasExtra, content.extra = true, *q.Extra
	}
	return fingerprint{maphash.String(a.seed, q.RequestID), maphash.Comparable(a.seed, content)}
}

// differs notes a request, and says that its id has asked for something else before.
func (a *asked) differs(of fingerprint) bool {
	place := &a.places[of.id%askedPlaces]
	if place.id == of.id {
		return place.content != of.content
	}
	*place = of
	return false
}
