package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ofTopic(topic string, offset int64) *task {
	return &task{assignment: assignment{partition: partition{topic: topic}}, offset: offset}
}

var twoInputs = Topics{Store: "store", Loyalty: "loyalty", Retry: "retry"}

// taken starts calls until there is no task or no slot, and says in which order,
// as topic and offset.
func taken(q *turns) (order []string) {
	for t := q.peek(); t != nil && q.free(); t = q.peek() {
		order = append(order, t.topic+string(rune('0'+t.offset)))
		q.start()
	}
	return order
}

func pushed(q *turns, topic string, tasks int) {
	for offset := range int64(tasks) {
		q.push(ofTopic(topic, offset))
	}
}

func TestTopicsTakeTurns(t *testing.T) {
	q := newTurns(99, twoInputs)
	pushed(q, "store", 4)
	pushed(q, "loyalty", 2)
	require.Equal(t, []string{"store0", "loyalty0", "store1", "loyalty1", "store2", "store3"}, taken(q))
	require.Nil(t, q.peek())
}

func TestPeekIsWhatIsTaken(t *testing.T) {
	q := newTurns(99, twoInputs)
	q.push(ofTopic("loyalty", 0))
	require.Equal(t, q.peek(), q.peek())
	q.push(ofTopic("store", 0))
	first := q.peek()
	q.drop()
	require.NotEqual(t, first, q.peek())
	require.Zero(t, q.inFlight)
	require.Len(t, taken(q), 1)
	require.Equal(t, 1, q.inFlight)
}

func TestTurnsForgetWhatIsRemoved(t *testing.T) {
	q := newTurns(99, twoInputs)
	pushed(q, "store", 3)
	pushed(q, "loyalty", 3)
	q.remove(func(t *task) bool { return t.topic == "store" && t.offset != 1 })
	require.Equal(t, []string{"store1", "loyalty0", "loyalty1", "loyalty2"}, taken(q))
}

func TestSlotsAreShared(t *testing.T) {
	for name, row := range map[string]struct {
		slots, store, loyalty, retry int
		want                         map[string]int
	}{
		"a topic alone gets all":         {slots: 10, store: 50, want: map[string]int{"store": 10}},
		"the retry topic alone gets all": {slots: 10, retry: 50, want: map[string]int{"retry": 10}},
		"two get half each":              {slots: 10, store: 50, loyalty: 50, want: map[string]int{"store": 5, "loyalty": 5}},
		"who wants less leaves the rest": {slots: 10, store: 50, loyalty: 2, want: map[string]int{"store": 8, "loyalty": 2}},
		"retry gets an eighth of an input's": {
			slots: 34, store: 50, loyalty: 50, retry: 50,
			want: map[string]int{"store": 16, "loyalty": 16, "retry": 2},
		},
		"what cannot be divided goes to an input": {
			slots: 39, store: 50, loyalty: 50, retry: 50,
			want: map[string]int{"store": 19, "loyalty": 18, "retry": 2},
		},
		"or a slot at the least": {
			slots: 3, store: 50, loyalty: 50, retry: 50,
			want: map[string]int{"store": 1, "loyalty": 1, "retry": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newTurns(row.slots, twoInputs)
			pushed(q, "store", row.store)
			pushed(q, "loyalty", row.loyalty)
			pushed(q, "retry", row.retry)
			taken(q)
			require.Equal(t, row.want, held(q))
		})
	}
}

// held is how many slots each topic has.
func held(q *turns) map[string]int {
	slots := map[string]int{}
	for _, t := range q.topics {
		if t.inFlight > 0 {
			slots[t.topic] = t.inFlight
		}
	}
	return slots
}

func TestTopicThatComesBackGetsEverySlotThatComesFree(t *testing.T) {
	q := newTurns(10, twoInputs)
	pushed(q, "store", 100)
	taken(q)
	pushed(q, "loyalty", 100)
	for want := range 5 {
		require.Equal(t, want, held(q)["loyalty"])
		q.ended("store")
		taken(q)
	}
	q.ended("store")
	taken(q)
	require.Equal(t, map[string]int{"store": 5, "loyalty": 5}, held(q), "its share, and no more")
}

// Where leave to call is scarce and slots are not, calls start in turn, however
// long those of one topic take, until they hold their share of the slots.
func TestScarceLeaveIsSharedByStarts(t *testing.T) {
	const slots, ticks = 1000, 1600
	q := newTurns(slots, twoInputs)
	starts, slow := map[string]int{}, []int{}
	for tick := range ticks {
		for _, topic := range []string{"store", "loyalty", "retry"} {
			q.push(ofTopic(topic, 0))
		}
		if len(slow) > 0 && slow[0]+300 <= tick {
			slow = slow[1:]
			q.ended("loyalty")
		}
		topic := q.peek().topic
		starts[topic]++
		q.start()
		if topic == "loyalty" {
			slow = append(slow, tick)
		} else {
			q.ended(topic)
		}
	}
	require.InDelta(t, ticks*8/17, starts["store"], 2)
	require.InDelta(t, ticks*8/17, starts["loyalty"], 2)
	require.InDelta(t, ticks/17, starts["retry"], 2)
}

// A topic that yielded because it held its share has no claim to more than its
// turn afterwards.
func TestYieldingEarnsNothing(t *testing.T) {
	q := newTurns(10, twoInputs)
	pushed(q, "store", 10000)
	pushed(q, "loyalty", 10000)
	taken(q)
	for range 1000 { // calls of the store end, those of loyalty hang
		q.ended("store")
		taken(q)
	}
	for range 5 {
		q.ended("loyalty")
	}
	for range 5 {
		q.ended("store")
	}
	starts := map[string]int{}
	for range 100 { // from here on one call at a time
		topic := q.peek().topic
		starts[topic]++
		q.start()
		q.ended(topic)
	}
	require.InDelta(t, starts["store"], starts["loyalty"], 1)
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
