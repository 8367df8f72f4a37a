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
// what others have called it knows what recollection reads back.
//
// It is a table like that of asked. It outlives sessions; the scheduler goroutine
// owns it.
type grants struct {
	seed   maphash.Seed
	places []grantPlace
}

type grantPlace struct {
	id    uint64
	only  uint64 // the one record that is known to have asked; 0: any may have
	since int64  // milliseconds of Unix
}

func newGrants(places int) *grants {
	return &grants{seed: maphash.MakeSeed(), places: make([]grantPlace, places)}
}

// note keeps the earlier time of an id that is known.
func (g *grants) note(requestID string, since time.Time) { g.keep(requestID, 0, since) }

// noteRecord notes a record that others may have called. They may have parked it as well, so
// that the record in the retry topic is no repeat: it is the same one.
func (g *grants) noteRecord(e earlier) {
	g.keep(e.request.RequestID, maphash.String(g.seed, e.source), e.since)
}

func (g *grants) keep(requestID string, only uint64, since time.Time) {
	id := maphash.String(g.seed, requestID)
	place := g.place(id)
	if place.id != id {
		*place = grantPlace{id: id, only: only, since: since.UnixMilli()}
		return
	}
	if place.only != only {
		place.only = 0
	}
	place.since = min(place.since, since.UnixMilli())
}

// since is when the id of a task may have been granted first, to another record if it
// was not called here; false: nothing is known.
func (g *grants) since(t *task) (at time.Time, known bool) {
	id := maphash.String(g.seed, t.request.RequestID)
	place := g.place(id)
	if place.id != id || place.only != 0 && place.only == maphash.String(g.seed, t.source) {
		return at, false
	}
	return time.UnixMilli(place.since), true
}

func (g *grants) place(id uint64) *grantPlace { return &g.places[id%uint64(len(g.places))] }
