package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The shares are those of P3 in docs/guarantees.md.
func TestNewestKeepsTheNewest(t *testing.T) {
	const ids = 4 * idSets * setPlaces
	n, random := newNewest[int](idSets), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	came := make([]uint64, ids)
	gone := map[int]int{1000: 0, 10_000: 0, 20_000: 0, 40_000: 0} // by how many others came after it
	for i := range ids {
		came[i] = random.Uint64()
		known, before := n.come(came[i])
		require.False(t, before)
		*known = i
		for others := range gone {
			if i < others {
				continue
			}
			if known := n.find(came[i-others]); known == nil || *known != i-others {
				gone[others]++
			}
		}
	}
	require.Zero(t, gone[1000])
	require.LessOrEqual(t, gone[10_000], 2, "one in 3,600,000")
	require.InDelta(t, (ids-20_000)/24_000, gone[20_000], 15)
	require.InEpsilon(t, (ids-40_000)/270, gone[40_000], 0.1)
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
