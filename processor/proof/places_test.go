package proof

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// judgedLook tells how many of the breaches from one place up to another are new
// since the look before, and returns what the next one knows.
func judgedLook(before int64, known map[Kind][]uint64, from, to uint64) (n int64, next map[Kind][]uint64) {
	c := NewChecker(testTopics())
	c.before, c.places = map[Kind]int64{Lost: before}, newPlaces(known)
	r := newReport()
	for place := from; place < to; place++ {
		c.judged(&r, Lost, place, Finding{})
	}
	return *c.countNew(&r), c.places.sorted()
}

func TestPlacesTellWhatIsNewOfMoreThanAreRemembered(t *testing.T) {
	const n = maxPlaces
	for _, c := range []struct {
		name     string
		before   uint64 // breaches, from place 0 on
		from, to uint64
		want     int64
	}{
		{"as many as are remembered, of which one went and one came", n, 1, n + 1, 1},
		{"as many, all of them others", n, n, 2 * n, n},
		{"more, and one more of them", 3 * n, 0, 3*n + 1, 1},
		{"more, and the same", 3 * n, 0, 3 * n, 0},
		{"more, of which all went, and fewer came that may be the forgotten ones", 3 * n, 3 * n, 4 * n, 0},
		{"more, of which all went, and more came than were forgotten", 3 * n, 3 * n, 5*n + 7, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, known := judgedLook(0, nil, 0, c.before)
			require.Len(t, known[Lost], n)
			got, _ := judgedLook(int64(c.before), known, c.from, c.to)
			require.Equal(t, c.want, got)
		})
	}
}

// A state of before places were kept has totals only.
func TestPlacesOfAnOldStateAreCounted(t *testing.T) {
	same, _ := judgedLook(5, nil, 0, 5)
	require.Zero(t, same)
	more, _ := judgedLook(5, nil, 0, 6)
	require.EqualValues(t, 1, more)
}
