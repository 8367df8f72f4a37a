package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func numbered(number int32) partition { return partition{"store", number} }

func TestWindowsShareTheBytesOfTheReplica(t *testing.T) {
	ws := newWindows(100, 1000, 4800) // 4200 equally, 600 for who needs more
	bounds := func() (all []int) {
		ws.divide()
		for number := range ws.lastEpoch {
			all = append(all, ws.open[numbered(int32(number))].maxBytes) //nolint:gosec // a few
		}
		return all
	}
	for number := range int32(10) {
		ws.Assign(numbered(number), position{})
	}
	first, second := ws.open[numbered(0)], ws.open[numbered(1)]
	require.Equal(t, []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000}, bounds(), "420 and all that is lent, but no more than one may have")

	first.Admit(0, 900, 1)
	require.Equal(t, []int{1000, 540, 540, 540, 540, 540, 540, 540, 540, 540}, bounds(), "480 are lent")
	second.Admit(0, 600, 1)
	require.Equal(t, []int{900, 600, 420, 420, 420, 420, 420, 420, 420, 420}, bounds(), "more than there was is lent")
	require.True(t, first.Full() && second.Full())

	first.Finish(0, endOf(0))
	pos, _, _ := first.Ready(func(position) bool { return true })
	first.Committed(pos)
	require.Equal(t, []int{840, 1000, 840, 840, 840, 840, 840, 840, 840, 840}, bounds())
	require.True(t, second.Full(), "until half is left of what it may have")
	require.False(t, first.Full())

	ws.Drop(numbered(1))
	for _, o := range ws.open {
		require.Equal(t, 1000, o.maxBytes, "those who stay get it back")
	}
}

// Partitions come and go, fill and empty. Each has its equal part whatever others
// hold, together they go beyond their parts by no more than is lent, and an empty one
// is not paused: nobody waits for room that another holds.
func TestWindowsKeepWithinTheBytesOfTheReplica(t *testing.T) {
	const total, one, largest = 2000, 800, 50
	shrunken, most := 0, 0
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 2))
		ws := newWindows(1000, one, total)
		allowed := total / lent
		for range 500 {
			p := numbered(random.Int32N(12))
			o, ok := ws.open[p]
			came := false
			switch op := random.IntN(20); {
			case !ok:
				ws.Assign(p, position{})
				came = true
			case op == 0:
				ws.Drop(p)
			case op < 12 && !o.Full():
				o.Admit(o.next, 1+random.IntN(largest), 1)
			case len(o.entries) > 0:
				o.Finish(o.entries[0].offset, endOf(o.entries[0].offset))
				pos, _, _ := o.Ready(func(position) bool { return true })
				o.Committed(pos)
			}
			ws.divide()
			part, above := min(one, (total-total/lent)/max(len(ws.open), 1)), 0
			for _, o := range ws.open {
				above += max(o.bytes-part, 0)
				require.True(t, o.Full() || o.bytes < o.maxBytes, "%d bytes of %d", o.bytes, o.maxBytes)
				require.False(t, o.Full() && o.bytes == 0, "an empty window is paused")
				require.False(t, o.Full() && o.bytes <= part/2, "what others hold keeps nobody from an equal part")
				require.GreaterOrEqual(t, o.maxBytes, part)
			}
			if came && above > allowed { // parts have shrunk, and nobody takes back what is there
				allowed = above
				shrunken++
			}
			require.LessOrEqual(t, above, allowed+largest*len(ws.open), "a window that is not full takes one more")
			allowed = max(total/lent, min(allowed, above))
			most = max(most, above)
		}
	}
	require.Positive(t, shrunken, "windows above a part that has shrunk were seen")
	require.Greater(t, most, total/lent-largest, "all that is lent was taken")
}

// Under a backlog of every partition all windows are full. Each is resumed when half
// of it has ended, however many others wait for the same room: a pause makes the
// client fetch again.
func TestFullWindowsAreResumedAtHalfUnderABacklogOfAll(t *testing.T) {
	const partitions, record = 16, 10
	ws := newWindows(100_000, 8000, 48_000)
	for number := range int32(partitions) {
		ws.Assign(numbered(number), position{})
	}
	fill := func(o *owned) {
		for !o.Full() {
			o.Admit(o.next, record, 1)
			ws.divide()
		}
	}
	wasFull := map[*owned]int{}
	for _, o := range ws.open {
		fill(o)
		wasFull[o] = o.bytes
	}
	for range 1000 {
		for _, o := range ws.open {
			o.Finish(o.entries[0].offset, endOf(o.entries[0].offset))
			pos, _, _ := o.Ready(func(position) bool { return true })
			o.Committed(pos)
			ws.divide()
			if o.Full() {
				continue
			}
			require.LessOrEqual(t, o.bytes, wasFull[o]*6/10)
			fill(o)
			wasFull[o] = o.bytes
		}
	}
}

func TestWithheldWindowHoldsNothing(t *testing.T) {
	ws := newWindows(100, 1000, 4800)
	for number := range int32(10) {
		ws.Assign(numbered(number), position{})
	}
	o := ws.open[numbered(0)]
	o.Admit(0, 900, 1)
	o.withheld = true
	ws.divide()

	records, bytes := ws.Load()
	require.Zero(t, records)
	require.Zero(t, bytes)
	require.Equal(t, 1000, ws.open[numbered(1)].maxBytes, "the whole room")
}
