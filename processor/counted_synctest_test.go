//go:build synctests

package processor

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker lists none of its partitions. They are opened as they were committed, and
// count among those that there are: or the shares of the fleet would add up to more
// than the whole of gateway.rate.
func TestPartitionsThatAreNotListedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions = 6
		s := newShop(t, partitions, always(grantsAlways))
		silent := s.kafka.LeaderFor(s.topics.Store, 0)
		s.kafka.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			return nil, errors.New("silent"), s.kafka.CurrentNode() == silent
		})
		client, err := kgo.NewClient(append(s.options(), kgo.RequestRetries(1))...)
		require.NoError(t, err)
		defer client.Close()
		l, err := readLogs(t.Context(), client, s.topics.Inputs())
		require.NoError(t, err)
		require.NotContains(t, l, storeZero, "the control")
		require.NotEmpty(t, l)

		events := newMailbox[event](newBell())
		as := newAssignments(events, s.config("r1"), nil, nil, nil)
		all, held := map[string]map[int32]kgo.Offset{}, 0.0
		for _, topic := range s.topics.Inputs() {
			all[topic] = map[int32]kgo.Offset{}
			for number := range int32(partitions) {
				all[topic][number] = kgo.NewOffset()
				as.fetched[partition{topic, number}] = freshAt(0)
				held += s.topics.weight(topic)
			}
		}
		_, err = as.open(t.Context(), client, all)
		require.NoError(t, err)
		told := events.take()
		require.Len(t, told, 1)
		require.Equal(t, held, told[0].inputs)
	})
}
