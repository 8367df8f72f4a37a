package processor

// newest keeps what is known of each of the newest request ids, by their fingerprints, in a
// table of fixed size. An id has one set of a few places to be in, and a new one pushes
// out the one that has been in its set for longest. So an id outlasts whatever comes
// in the next moments, and goes when setPlaces newer ones have come to its set: of
// those with 10,000 newer ones one in 3,600,000 has gone, with 20,000 one in 24,000, with 40,000
// one in 270 (reckoned; TestNewestKeepsTheNewest).
//
// Who owns the table looks at it and changes it; what it gives is good until the next add.
type newest[T any] struct{ sets []idSet[T] }

// idSet has who came last in front.
type idSet[T any] [setPlaces]struct {
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
	for i := range set {
		if set[i].id == id {
			return &set[i].known
		}
	}
	return nil
}

// next is what an id would push out that is not there; of an empty place the zero value.
func (n *newest[T]) next(id uint64) T { return n.set(id)[setPlaces-1].known }

// add has an id come that is not there.
func (n *newest[T]) add(id uint64, known T) {
	set := n.set(id)
	copy(set[1:], set[:])
	set[0].id, set[0].known = id, known
}

func (n *newest[T]) set(id uint64) *idSet[T] { return &n.sets[id%uint64(len(n.sets))] }
