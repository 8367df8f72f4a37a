package processor

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const testRetryTopic = "retry"

// keyed is a task as a lane sees it; no key is a null key.
func keyed(a assignment, offset int64, key ...byte) *task {
	return &task{assignment: a, offset: offset, record: &kgo.Record{Key: key}}
}

func storeAssignment(epoch uint64) assignment {
	return assignment{partition{"store", 0}, epoch}
}

func TestLaneLetsOneThroughAtATimeInOrder(t *testing.T) {
	ls, a := lanes{}, storeAssignment(1)
	first, second, third := keyed(a, 1, 'k'), keyed(a, 2, 'k'), keyed(a, 3, 'k')
	require.True(t, ls.join(first, testRetryTopic))
	require.False(t, ls.join(second, testRetryTopic))
	require.False(t, ls.join(third, testRetryTopic))

	require.Equal(t, second, ls.leave(first))
	require.Equal(t, third, ls.leave(second))
	require.Nil(t, ls.leave(third))
	require.Empty(t, ls, "a lane without tasks costs nothing")
}

func TestOtherKeysDoNotWait(t *testing.T) {
	a, again := storeAssignment(1), storeAssignment(2)
	elsewhere := assignment{partition{"store", 1}, 1}
	for name, other := range map[string]*task{
		"another key":         keyed(a, 2, 'l'),
		"no key":              keyed(a, 2),
		"another partition":   keyed(elsewhere, 2, 'k'),
		"another epoch":       keyed(again, 2, 'k'),
		"a parked one's turn": keyed(assignment{partition{testRetryTopic, 0}, 1}, 2, 'k'),
	} {
		t.Run(name, func(t *testing.T) {
			ls := lanes{}
			require.True(t, ls.join(keyed(a, 1, 'k'), testRetryTopic))
			require.True(t, ls.join(other, testRetryTopic))
		})
	}
}

func TestNullKeyIsNoOrderAndEmptyKeyIsOne(t *testing.T) {
	ls, a := lanes{}, storeAssignment(1)
	unkeyed := []*task{keyed(a, 1), keyed(a, 2)}
	require.True(t, ls.join(unkeyed[0], testRetryTopic))
	require.True(t, ls.join(unkeyed[1], testRetryTopic))
	require.Nil(t, ls.leave(unkeyed[1]), "nor one in leaving")
	first, second := keyed(a, 4), keyed(a, 5)
	first.record.Key, second.record.Key = []byte{}, []byte{}
	require.True(t, ls.join(first, testRetryTopic))
	require.False(t, ls.join(second, testRetryTopic))
}

func TestParkedRequestsOfOneKeyDoNotWaitForEachOther(t *testing.T) {
	ls, retry := lanes{}, assignment{partition{testRetryTopic, 0}, 1}
	require.True(t, ls.join(keyed(retry, 1, 'k'), testRetryTopic))
	require.True(t, ls.join(keyed(retry, 2, 'k'), testRetryTopic))
}

func TestTaskInTheMiddleCanLeave(t *testing.T) {
	ls, a := lanes{}, storeAssignment(1)
	first, second, third := keyed(a, 1, 'k'), keyed(a, 2, 'k'), keyed(a, 3, 'k')
	for _, joining := range []*task{first, second, third} {
		ls.join(joining, testRetryTopic)
	}
	second.lane.remove(second)
	require.Equal(t, third, ls.leave(first))
}

func TestOnlyTheFirstCanLeaveItsLane(t *testing.T) {
	ls, a := lanes{}, storeAssignment(1)
	second := keyed(a, 2, 'k')
	ls.join(keyed(a, 1, 'k'), testRetryTopic)
	ls.join(second, testRetryTopic)
	require.Panics(t, func() { ls.leave(second) })
}

func TestLanesOfADroppedAssignmentAreForgotten(t *testing.T) {
	ls, before, now := lanes{}, storeAssignment(1), storeAssignment(2)
	ls.join(keyed(before, 1, 'k'), testRetryTopic)
	ls.join(keyed(before, 2, 'l'), testRetryTopic)
	ls.join(keyed(now, 1, 'k'), testRetryTopic)
	ls.drop(before)
	require.Len(t, ls, 1)
	require.False(t, ls.join(keyed(now, 2, 'k'), testRetryTopic))
}
