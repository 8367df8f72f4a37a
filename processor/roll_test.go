package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// In whatever order tasks end, the roll is the tasks that have not, in order.
func TestRollIsWhoIsLeftInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var r roll
	var want []*task
	for i := range int64(2000) {
		if len(want) > 0 && random.IntN(2) == 0 {
			at := random.IntN(len(want))
			r.remove(want[at])
			want = append(want[:at], want[at+1:]...)
		} else {
			want = append(want, &task{offset: i})
			r.add(want[len(want)-1])
		}
		require.Equal(t, len(want), r.size)
		require.Equal(t, want, append([]*task{}, r.all()...))
		if len(want) == 0 {
			require.Nil(t, r.first())
		} else {
			require.Same(t, want[0], r.first())
		}
	}
}
