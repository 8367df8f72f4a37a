package processor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where a log begins that could not be looked at is not known: to commit that it is 0, for
// a ban that is passed on or on the way out, would make a gap of it.
func TestPlaceOfALogThatWasNotSeenIsNotCommitted(t *testing.T) {
	s := &session{
		windows: newWindows(10, 1<<20, 1<<20), tx: &transaction{nonce: newNonce()}, commits: commits{budget: metadataBudget},
		holds: newHolds(slog.New(slog.DiscardHandler), func(string, int) {}),
	}
	o := s.windows.Assign(partition{"store", 1}, freshAt(0).position)
	o.unseen = true
	s.learnBan(time.Now().Add(time.Minute))
	require.True(t, s.nextBatch(false).empty())
	require.True(t, s.nextBatch(true).empty())

	o.Admit(100, 1, 0)
	require.False(t, s.nextBatch(false).empty(), "it has been read from")
}
