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
// Ids and what they ask for are fingerprints under a key of the process: an open_id cannot
// be read from them, and that two ids are taken for one has to be expected once in 10^14
// requests. The session goroutine owns what is remembered.
type asked struct {
	seed maphash.Seed
	ids  newest[asking]
}

func newAsked() *asked { return &asked{maphash.MakeSeed(), newNewest[asking](idSets)} }

// fingerprint tells a request from others, and one that repeats it from one that does not.
type fingerprint struct {
	id uint64
	asking
}

type asking struct {
	content uint64
	written int64 // milliseconds of Unix; remembered as 0, if it came here
}

// fingerprint may be called at any time, by anyone.
func (a *asked) fingerprint(q *schemas.Request, written time.Time) fingerprint {
	return fingerprint{maphash.String(a.seed, q.RequestID), asking{maphash.Comparable(a.seed, grant(q)), max(written.UnixMilli(), 1)}}
}

// recall notes what was read back.
func (a *asked) recall(of fingerprint) {
	if known, before := a.ids.come(of.id); !before || of.written < known.written {
		*known = of.asking
	}
}

// differs notes a request that comes, and says that its id has asked for something else
// before: then that stands.
func (a *asked) differs(of fingerprint) bool {
	known, before := a.ids.come(of.id)
	if before && known.content != of.content && of.written > known.written {
		return true
	}
	*known = asking{content: of.content}
	return false
}
