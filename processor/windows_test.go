package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func numbered(number int32) partition { return partition{"store", number} }

func TestWindowsShareTheBytesOfTheReplica(t *testing.T) {
	ws := newWindows(100, 1000, 3000)
	for number, want := range []int{1000, 1000, 1000, 750, 600} {
		ws.Assign(numbered(int32(number)), position{})
		for _, o := range ws.open {
			require.Equal(t, want, o.maxBytes)
		}
	}
	ws.Drop(numbered(0))
	ws.Drop(numbered(1))
	for _, o := range ws.open {
		require.Equal(t, 1000, o.maxBytes, "those who stay get it back")
	}
}

// Partitions come and go, fill and empty. All bounds together keep within the
// replica's, a window above its bound is paused, and an empty one is not: nobody
// waits for room that another holds.
func TestWindowsKeepWithinTheBytesOfTheReplica(t *testing.T) {
	const total = 10_000
	shrunken := 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		ws := newWindows(1000, 4000, total)
		for range 500 {
			p := numbered(random.Int32N(12))
			o, ok := ws.open[p]
			switch op := random.IntN(20); {
			case !ok:
				ws.Assign(p, position{})
			case op == 0:
				ws.Drop(p)
			case op < 12 && !o.Full():
				o.Admit(o.next, 1+random.IntN(500), 1)
			case len(o.entries) > 0:
				o.Finish(o.entries[0].offset, endOf(o.entries[0].offset))
				pos, _, _ := o.Ready(func(position) bool { return true })
				o.Committed(pos)
			}
			bounds := 0
			for _, o := range ws.open {
				bounds += o.maxBytes
				require.True(t, o.Full() || o.bytes < o.maxBytes, "%d bytes of %d", o.bytes, o.maxBytes)
				require.False(t, o.Full() && o.bytes == 0, "an empty window is paused")
				if o.bytes > o.maxBytes+500 {
					shrunken++
				}
			}
			require.LessOrEqual(t, bounds, total)
		}
	}
	require.Positive(t, shrunken, "windows above a bound that has shrunk were seen")
}
