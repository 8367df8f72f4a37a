package processor

import (
	"hash/maphash"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// asked remembers what the newest request ids that this replica has seen asked for, so
// that one that is used again for something else is not called: Tmall, which goes by
// the id alone, would answer with the first one's coupon. Of what came before it, it
// knows what recollection reads back; what others have seen meanwhile it does not know.
// The audit does, and names differences in members too that Tmall is not told.
//
// What is read back may have been the later one of two, and refused for that: so by it
// only what was written after it differs.
//
// It is a table of fixed size in which an id may take the place of another that was
// there before it: what is read back takes places too. Ids and what they ask for are
// fingerprints under a key of the process: an open_id cannot be read from them, and
// that two ids are taken for one has to be expected once in 10^14 requests. The
// session goroutine owns its places.
type asked struct {
	seed   maphash.Seed
	places [askedPlaces]fingerprint
}

// askedPlaces: after 10,000 other ids one in 14 has lost its place.
const askedPlaces = 1 << 17

func newAsked() *asked { return &asked{seed: maphash.MakeSeed()} }

// fingerprint tells a request from others, and one that repeats it from one that does not.
type fingerprint struct {
	id, content uint64
	written     int64 // milliseconds of Unix; in a place 0, if it came here
}

// fingerprint may be called at any time, by anyone.
func (a *asked) fingerprint(q *schemas.Request, written time.Time) fingerprint {
	return fingerprint{maphash.String(a.seed, q.RequestID), maphash.Comparable(a.seed, grant(q)), max(written.UnixMilli(), 1)}
}

// recall notes what was read back.
func (a *asked) recall(of fingerprint) {
	if place := a.place(of); place.id != of.id || of.written < place.written {
		*place = of
	}
}

// differs notes a request that comes, and says that its id has asked for something else
// before: then that stands.
func (a *asked) differs(of fingerprint) bool {
	place := a.place(of)
	if place.id == of.id && place.content != of.content && of.written > place.written {
		return true
	}
	*place = fingerprint{id: of.id, content: of.content}
	return false
}

func (a *asked) place(of fingerprint) *fingerprint { return &a.places[of.id%askedPlaces] }
