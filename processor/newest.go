package processor

import "slices"

// newest keeps what is known of each of the newest request ids, by their fingerprints, in a
// table of fixed size. An id has one set of a few places to be in, and one that comes anew
// pushes out the one that came to its set the longest time ago. So an id outlasts whatever
// comes in the next moments, and goes when setPlaces others have come to its set: of those
// after which 10,000 others came one in 3,600,000 has gone, after 20,000 one in 24,000, after 40,000
// one in 270 (reckoned; TestNewestKeepsTheNewest).
//
// One goroutine owns the table. What it gives is good until the next come.
type newest[T any] struct{ sets []idSet[T] }

// idSet has who came last in front.
type idSet[T any] [setPlaces]idPlace[T]

type idPlace[T any] struct {
	id    uint64
	known T
}

const (
	setPlaces = 8
	idSets    = 1 << 14 // 131,072 ids
)

func newNewest[T any](sets int) newest[T] { return newest[T]{sets: make([]idSet[T], sets)} }

// find is what is known of an id; nil: nothing.
func (n *newest[T]) find(id uint64) *T {
	set := n.set(id)
	if at := set.index(id); at >= 0 {
		return &set[at].known
	}
	return nil
}

// last is what an id would push out that came anew; of an empty place the zero value.
func (n *newest[T]) last(id uint64) T { return n.set(id)[setPlaces-1].known }

// come makes an id the newest. What is known of it is what was known before, or the zero
// value if it comes anew.
func (n *newest[T]) come(id uint64) (known *T, before bool) {
	set := n.set(id)
	at := set.index(id)
	before = at >= 0
	if !before {
		at = setPlaces - 1
		set[at] = idPlace[T]{id: id}
	}
	it := set[at]
	copy(set[1:at+1], set[:at])
	set[0] = it
	return &set[0].known, before
}

func (n *newest[T]) set(id uint64) *idSet[T] { return &n.sets[id%uint64(len(n.sets))] }

func (s *idSet[T]) index(id uint64) int {
	return slices.IndexFunc(s[:], func(p idPlace[T]) bool { return p.id == id })
}
