//go:build synctests

package processor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition whose log nobody can look at keeps its replica in the group, and the others
// at work, whether something of it is committed or nothing is.
func TestPartitionWithoutLeaderHoldsUpNobodyElse(t *testing.T) {
	for name, committed := range map[string]int{"something is committed": 5, "nothing is committed": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				s := newShop(t, 2, takes(time.Millisecond, &calls))
				if committed > 0 {
					r := s.start(s.config("r1"))
					s.produce(1, nil, s.requests("before", committed)...)
					s.settled(committed)
					require.NoError(t, r.stopped())
				}
				unseen := s.unseen(s.topics.Store, 1, -1)
				s.produce(0, nil, s.requests("other", 5)...)
				r := s.start(s.config("r2"))
				onceEach(t, committed+5, s.settled(committed+5))
				require.Positive(t, unseen.Hits())
				require.Empty(t, r.Health().Holds)

				unseen.Remove()
				s.produce(1, nil, s.requests("late", 5)...)
				onceEach(t, committed+10, s.settled(committed+10))
				require.EqualValues(t, committed+10, calls.Load())
				require.NoError(t, r.stopped())
			})
		})
	}
}

// Where nothing is committed its log may begin anywhere. That is no gap.
func TestPartitionWithoutLeaderIsReadFromWhereItsLogBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(time.Millisecond, &calls))
		s.produce(1, nil, s.requests("id", 8)...)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 1, 3))
		unseen := s.unseen(s.topics.Store, 1, 6)
		r := s.start(s.config("r1"))
		onceEach(t, 5, s.settled(5))
		require.EqualValues(t, 6, unseen.Hits())
		require.EqualValues(t, 5, calls.Load())
		time.Sleep(time.Minute)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// unseen has a partition without a leader for as many looks at its log; -1: until removed.
func (s *shop) unseen(topic string, number int32, looks int) *kfake.FaultHandle {
	return s.kafka.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: looks, Topic: topic, Partitions: []int32{number},
	})
}
