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
// It outlives sessions; the scheduler goroutine owns it.
type grants struct {
	seed maphash.Seed
	ids  newest[granting]
}

type granting struct {
	only   uint64 // the origin of all records that are known to have asked; 0: of several, or one was called here
	since  int64  // milliseconds of Unix
	coupon int64  // the instance that it was granted first; 0: none that we know of
}

func newGrants(sets int) *grants {
	return &grants{maphash.MakeSeed(), newNewest[granting](sets)}
}

// note keeps the earlier time of an id that is known.
func (g *grants) note(requestID string, since time.Time) {
	g.keep(maphash.String(g.seed, requestID), 0, since.UnixMilli())
}

// noteRecord notes a record that others may have called. They may have parked it as well, so
// that the record in the retry topic is no repeat: it is the same one. It pushes out none
// that is newer.
func (g *grants) noteRecord(e earlier) {
	id, since := maphash.String(g.seed, e.requestID), e.since.UnixMilli()
	if g.ids.find(id) != nil || g.ids.last(id).since <= since {
		g.keep(id, maphash.String(g.seed, e.origin), since)
	}
}

func (g *grants) keep(id, only uint64, since int64) {
	known, before := g.ids.come(id)
	if !before {
		*known = granting{only: only, since: since}
		return
	}
	if known.only != only {
		known.only = 0
	}
	known.since = min(known.since, since)
}

// since is when the id of a task may have been granted first; false: nothing is known but
// of the very record that it is, or is put back for.
func (g *grants) since(t *task) (at time.Time, known bool) {
	of := g.ids.find(maphash.String(g.seed, t.request.RequestID))
	if of == nil || of.only != 0 && of.only == maphash.String(g.seed, t.origin()) {
		return at, false
	}
	return time.UnixMilli(of.since), true
}

// another is the coupon that an id has been granted before the one that it is granted now;
// false: none, or the same. The id has just been noted.
func (g *grants) another(requestID string, coupon int64) (before int64, found bool) {
	of := g.ids.find(maphash.String(g.seed, requestID))
	if of.coupon == 0 {
		of.coupon = coupon
	}
	return of.coupon, of.coupon != coupon
}
