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
		known, _ := n.come(came[i])
		*known = i
		if i >= sooner && gone(i-sooner) {
			t.Fatalf("%d is gone", i-sooner)
		}
		if i >= lately && gone(i-lately) {
			goneLately++
		}
	}
	require.LessOrEqual(t, goneLately, 2, "one in 3,600,000 was reckoned")
}

func TestNewOnePushesOutWhoCameTheLongestTimeAgo(t *testing.T) {
	n := newNewest[string](1)
	come := func(id uint64, known string) {
		at, before := n.come(id)
		require.False(t, before)
		require.Empty(t, *at)
		*at = known
	}
	for id := range uint64(setPlaces) {
		require.Empty(t, n.last(id), "there is room")
		come(id+1, string(rune('a'+id)))
	}
	known, before := n.come(1) // again: it outlasts those that came since it did first
	require.True(t, before)
	require.Equal(t, "a", *known)
	require.Equal(t, "b", n.last(99))

	come(99, "z")

	require.Nil(t, n.find(2))
	require.Equal(t, "c", n.last(100))
	require.Equal(t, "a", *n.find(1))
	require.Equal(t, "z", *n.find(99))
}
