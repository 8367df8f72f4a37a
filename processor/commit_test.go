package processor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A finished set that was committed may seem too large at the next look, by a byte:
// that holds nobody up before there is something to commit with it.
func TestSetThatDoesNotFitIsAHoldOnlyWhereSomethingIsToBeCommitted(t *testing.T) {
	s := leaving()
	o := s.windows.Assign(partition{"store", 0}, position{ceiling: 10, finished: []int64{3}})
	for offset := range int64(3) {
		o.Admit(offset, 1, 0)
	}
	o.Finish(1, &end{})
	s.commits.budget = 1
	o.dirty = true

	require.Empty(t, s.nextBatch(false).positions)
	require.Empty(t, s.holds.Current(), "the end of offset 1 waits for offset 0, as with less room it would")
	require.False(t, o.dirty)

	o.dirty, o.wish = true, 20
	require.Empty(t, s.nextBatch(false).positions)
	require.Len(t, s.holds.Current(), 1)
	require.Contains(t, s.holds.Current()[0].Reason, "does not fit")
	require.True(t, o.dirty, "it is tried again")

	o.wish = 0
	s.nextBatch(false)
	require.Empty(t, s.holds.Current())
}

// Metadata is refused after the results have been taken: what was held for those is over.
func TestRefusedMetadataEndsWhatIsHeldForResults(t *testing.T) {
	s := &session{
		log: slog.New(slog.DiscardHandler), holds: newHolds(slog.New(slog.DiscardHandler), func(string, int) {}),
		tx: &transaction{metadataSize: 3000}, commits: commits{budget: metadataBudget, failures: 7, notBefore: time.Now()},
	}
	s.holds.Set(holdTopic, whereResults, "the brokers did not take all results")
	s.holds.Set(holdTransaction, "", "7 transactions in a row did not commit")
	s.metadataRefused(&batch{positions: map[assignment]position{{}: {finished: []int64{3}}}}, errMetadataLarge)
	require.Empty(t, s.holds.Current())
	require.Zero(t, s.commits.failures)
	require.Less(t, s.commits.budget, 3000)
}

// However large the window is: what Produce has no room for waits there for the brokers.
func TestProducerHasRoomForTheLargestBatch(t *testing.T) {
	p := &Processor{cfg: DefaultConfig(), contact: newContact(DefaultConfig(), nil)}
	p.cfg.WindowRecords, p.cfg.TransactionalID = 80_000, "r1"
	client, err := kgo.NewClient(p.options(t.Context(), cluster{}, newLease(time.Second))...)
	require.NoError(t, err)
	defer client.Close()
	require.GreaterOrEqual(t, client.OptValue(kgo.MaxBufferedRecords), int64(batchEnds+p.cfg.WindowRecords))
}
