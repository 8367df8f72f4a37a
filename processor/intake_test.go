package processor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What waits to be decoded is taken from all topics alike, in the order in which
// it came.
func TestTopicsTakeTurnsAtBeingDecoded(t *testing.T) {
	q := undecoded{}
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
	require.Empty(t, q)
	require.Empty(t, q.take(10))
}
