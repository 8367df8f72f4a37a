package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ofTopic(topic string, offset int64) *task {
	return &task{assignment: assignment{partition: partition{topic: topic}}, offset: offset}
}

// taken empties the turns and says in which order, as topic and offset.
func taken(q *turns) (order []string) {
	for t := q.peek(); t != nil; t = q.peek() {
		order = append(order, t.topic+string(rune('0'+t.offset)))
		q.pop()
	}
	return order
}

func TestTopicsTakeTurns(t *testing.T) {
	q := newTurns([]string{"store", "loyalty", "retry"})
	for offset := range int64(4) {
		q.push(ofTopic("store", offset))
	}
	q.push(ofTopic("loyalty", 0))
	q.push(ofTopic("loyalty", 1))
	require.Equal(t, []string{"store0", "loyalty0", "store1", "loyalty1", "store2", "store3"}, taken(q))
	require.Nil(t, q.peek())
}

func TestPeekIsWhatPopTakes(t *testing.T) {
	q := newTurns([]string{"store", "loyalty"})
	q.push(ofTopic("loyalty", 0))
	require.Equal(t, q.peek(), q.peek())
	q.push(ofTopic("store", 0))
	q.pop()
	require.Equal(t, []string{"store0"}, taken(q))
}

func TestTurnsForgetWhatIsRemoved(t *testing.T) {
	q := newTurns([]string{"store", "loyalty"})
	for offset := range int64(3) {
		q.push(ofTopic("store", offset))
		q.push(ofTopic("loyalty", offset))
	}
	q.remove(func(t *task) bool { return t.topic == "store" && t.offset != 1 })
	require.Equal(t, []string{"store1", "loyalty0", "loyalty1", "loyalty2"}, taken(q))
}

func TestTimersAreDueInOrder(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	var q timers
	_, ok := q.next()
	require.False(t, ok)
	for _, due := range []struct {
		second int
		offset int64
	}{{30, 1}, {10, 9}, {20, 4}, {10, 2}, {10, 5}} {
		q.push(&task{due: at(due.second), offset: due.offset})
	}

	next, ok := q.next()
	require.True(t, ok)
	require.Equal(t, at(10), next)
	require.Empty(t, q.due(at(9)))
	require.Equal(t, []int64{2, 5, 9, 4}, offsets(q.due(at(20))), "by time, then by offset")
	require.Equal(t, []int64{1}, offsets(q.due(at(99))))
	require.Empty(t, q.due(at(99)))
}

func TestTimersForgetWhatIsRemoved(t *testing.T) {
	var q timers
	for i := range int64(100) {
		offset := i * 37 % 101 // all over the heap
		q.push(&task{due: time.Unix(offset, 0), offset: offset})
	}
	q.remove(func(t *task) bool { return t.offset%3 == 0 })
	left := offsets(q.due(time.Unix(100, 0)))
	require.Len(t, left, 66)
	require.IsIncreasing(t, left)
}

func offsets(tasks []*task) (all []int64) {
	for _, t := range tasks {
		all = append(all, t.offset)
	}
	return all
}
