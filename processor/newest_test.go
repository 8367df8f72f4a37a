package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewestKeepsTheNewest(t *testing.T) {
	const ids, lately, sooner = 4 * idSets * setPlaces, 10_000, 1000
	n, random := newNewest[int](idSets), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	came := make([]uint64, ids)
	gone := func(i int) bool {
		known := n.find(came[i])
		return known == nil || *known != i
	}
	goneLately := 0
	for i := range ids {
		came[i] = random.Uint64()
		require.Nil(t, n.find(came[i]))
		n.add(came[i], i)
		if i >= sooner && gone(i-sooner) {
			t.Fatalf("%d is gone", i-sooner)
		}
		if i >= lately && gone(i-lately) {
			goneLately++
		}
	}
	require.LessOrEqual(t, goneLately, 2, "one in 3,600,000 was reckoned")
}

func TestNewOnePushesOutWhoHasBeenThereForLongest(t *testing.T) {
	n := newNewest[string](1)
	for id := range uint64(setPlaces) {
		require.Zero(t, n.next(id), "there is room")
		n.add(id+1, string(rune('a'+id)))
	}
	*n.find(1) = "A"
	require.Equal(t, "A", n.next(99))

	n.add(99, "z")

	require.Nil(t, n.find(1))
	require.Equal(t, "b", n.next(100))
	require.Equal(t, "b", *n.find(2))
	require.Equal(t, "z", *n.find(99))
}
