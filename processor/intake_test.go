package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What waits to be decoded is taken from all topics alike, in the order in which
// it came.
func TestTopicsTakeTurnsAtBeingDecoded(t *testing.T) {
	q := newUndecoded()
	for offset := range int64(1000) {
		q.push(ofTopic("store", offset))
	}
	for offset := range int64(3) {
		q.push(ofTopic("loyalty", offset))
	}
	taken := map[string][]int64{}
	for _, task := range q.take(10) {
		taken[task.topic] = append(taken[task.topic], task.offset)
	}
	require.Equal(t, map[string][]int64{"store": {0, 1, 2, 3, 4, 5, 6}, "loyalty": {0, 1, 2}}, taken)

	rest := q.take(5000)
	require.Len(t, rest, 993)
	require.Equal(t, int64(7), rest[0].offset)
	require.True(t, q.empty())
	require.Empty(t, q.take(10))
}

// Between its fetch and its decoding a record has no id but in its bytes.
func TestFindKnowsWhatIsNotDecodedYet(t *testing.T) {
	p := &Processor{
		sight: new(sight), recent: newRecent(pastTopics, 5), holds: newHolds(discard, func(string, int) {}), watchdog: newWatchdog(time.Minute, nil),
	}
	q := newUndecoded()
	p.sight.undecoded.Store(q)
	for i, id := range []string{"order-1", "order-12", "order-1"} {
		task := pastTask("", pastTopics.Store, int64(i), 0)
		task.record.Value = append([]byte{0, 0, 0, 0, 1, byte(2 * len(id))}, id...)
		q.push(task)
	}
	found := p.Find("order-1")
	require.Len(t, found, 2)
	require.Equal(t, []int64{0, 2}, []int64{found[0].Offset, found[1].Offset})
	require.Equal(t, stateWaits, found[0].State)
	require.Equal(t, "it waits to be decoded", found[0].Why)
	require.Empty(t, p.Find("order"))
	q.take(10)
	require.Empty(t, p.Find("order-1"))
}
