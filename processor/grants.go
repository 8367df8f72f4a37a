package processor

import (
	"hash/maphash"
	"time"
)

// grants remembers for which of the newest request ids of this replica a coupon may
// have been granted, and since when. A producer may send a request twice. If the
// first record is granted and the gateway refuses the second, since the grant used up
// the member's limit, or for what is wrong with the gateway at that moment, the refusal
// says nothing about the coupon: the second is in doubt from the start, as if it had
// been called before. What other replicas or earlier processes have called it does
// not know.
//
// It is a table like that of asked. It outlives sessions; the scheduler goroutine
// owns it.
type grants struct {
	seed   maphash.Seed
	places []grantPlace
}

type grantPlace struct {
	id    uint64
	since int64 // milliseconds of Unix
}

func newGrants(places int) *grants {
	return &grants{seed: maphash.MakeSeed(), places: make([]grantPlace, places)}
}

// note keeps the earlier time of an id that is known.
func (g *grants) note(requestID string, since time.Time) {
	id := maphash.String(g.seed, requestID)
	if place := g.place(id); place.id != id || since.UnixMilli() < place.since {
		place.id, place.since = id, since.UnixMilli()
	}
}

// since is when an id may have been granted first; false: nothing is known.
func (g *grants) since(requestID string) (at time.Time, known bool) {
	id := maphash.String(g.seed, requestID)
	place := g.place(id)
	return time.UnixMilli(place.since), place.id == id
}

func (g *grants) place(id uint64) *grantPlace { return &g.places[id%uint64(len(g.places))] }
