package processor

import (
	"hash/maphash"
	"time"
)

// grants remembers for which of the newest request ids a coupon may have been granted,
// and since when. A producer may send a request twice. If the first record is granted
// and the gateway refuses the second, since the grant used up the member's limit, or
// for what is wrong with the gateway at that moment, the refusal says nothing about the
// coupon: the second is in doubt from the start, as if it had been called before. Of
// what others have called it knows what recollection reads back. And it remembers which
// coupon an id was answered with: another one is a second grant, of a gateway that has
// forgotten the first, or never was idempotent.
//
// It is a table like that of asked. It outlives sessions; the scheduler goroutine
// owns it.
type grants struct {
	seed   maphash.Seed
	places []grantPlace
}

type grantPlace struct {
	id     uint64
	only   uint64 // the origin of all records that are known to have asked; 0: of several, or one was called here
	since  int64  // milliseconds of Unix
	coupon int64  // the instance that it was granted first; 0: none that we know of
}

func newGrants(places int) *grants {
	return &grants{seed: maphash.MakeSeed(), places: make([]grantPlace, places)}
}

// note keeps the earlier time of an id that is known.
func (g *grants) note(requestID string, since time.Time) {
	g.keep(maphash.String(g.seed, requestID), 0, since.UnixMilli())
}

// noteRecord notes a record that others may have called. They may have parked it as well, so
// that the record in the retry topic is no repeat: it is the same one. It takes the place
// of none that is newer.
func (g *grants) noteRecord(e earlier) {
	id, since := maphash.String(g.seed, e.requestID), e.since.UnixMilli()
	if place := g.place(id); place.id == id || place.since <= since {
		g.keep(id, maphash.String(g.seed, e.origin), since)
	}
}

func (g *grants) keep(id, only uint64, since int64) {
	place := g.place(id)
	if place.id != id {
		*place = grantPlace{id: id, only: only, since: since}
		return
	}
	if place.only != only {
		place.only = 0
	}
	place.since = min(place.since, since)
}

// since is when the id of a task may have been granted first; false: nothing is known but
// of the very record that it is, or is put back for.
func (g *grants) since(t *task) (at time.Time, known bool) {
	id := maphash.String(g.seed, t.request.RequestID)
	place := g.place(id)
	if place.id != id || place.only != 0 && place.only == maphash.String(g.seed, t.origin()) {
		return at, false
	}
	return time.UnixMilli(place.since), true
}

// another is the coupon that an id has been granted before the one that it is granted now;
// false: none, or the same. The id has just been noted.
func (g *grants) another(requestID string, coupon int64) (before int64, found bool) {
	place := g.place(maphash.String(g.seed, requestID))
	if place.coupon == 0 {
		place.coupon = coupon
	}
	return place.coupon, place.coupon != coupon
}

func (g *grants) place(id uint64) *grantPlace { return &g.places[id%uint64(len(g.places))] }
