package processor

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// A partition whose log nobody can look at, since it has no leader for the moment, is
// opened as it was committed: that is no sign of a gap, and what had ended above the
// watermark is believed, or it would end again.
func TestPartitionWithoutLeaderIsOpenedAsItWasCommitted(t *testing.T) {
	p := partition{"store", 0}
	committed := position{watermark: 5, ceiling: 12, leaderEpoch: 2, finished: []int64{7, 9}}
	for _, acceptLostInput := range []bool{false, true} {
		as := &assignments{acceptLostInput: acceptLostInput, fetched: map[partition]metadata{p: {position: committed}}}
		log, err := as.boundsOf(p, nil)
		require.NoError(t, err)
		o := as.opening(p, log)
		require.Nil(t, o.withheld)
		require.Equal(t, committed, o.metadata.position, "accepted: %v", acceptLostInput)
	}
}

// Where nothing is committed only the log says where it begins. A leader that is missing
// comes by itself; what else is in the way is told, and nothing is opened.
func TestPartitionOfWhichNothingIsKnown(t *testing.T) {
	p := partition{"store", 0}
	for _, missing := range []error{errNotListed, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition} {
		log, err := (&assignments{}).boundsOf(p, map[partition]bound{p: {err: missing}})
		require.NoError(t, err)
		require.Equal(t, bound{unseen: true}, log)
	}
	_, err := (&assignments{}).boundsOf(p, map[partition]bound{p: {err: kerr.TopicAuthorizationFailed}})
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
}

// To go on over metadata that cannot be read puts all of the log in doubt, so its end has
// to be known. Who holds such a partition needs to know nothing of its log, and is not
// kept from the others by it.
func TestPartitionWithoutLeaderIsNotGoneOnOverForeignMetadata(t *testing.T) {
	p := partition{"store", 0}
	for _, acceptForeign := range []bool{false, true} {
		as := &assignments{
			acceptForeign: acceptForeign, fetched: map[partition]metadata{p: freshAt(5)}, foreign: map[partition]error{p: errForeignMetadata},
		}
		log, err := as.boundsOf(p, nil)
		if acceptForeign {
			require.ErrorIs(t, err, errNotListed)
			continue
		}
		require.NoError(t, err)
		require.NotNil(t, as.opening(p, log).withheld)
	}
}
