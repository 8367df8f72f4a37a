//go:build synctests

package processor

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// INVALID_RECORD is what a topic answers that is compacted, to a record without a key,
// and what brokers answer that judge schemas: no matter of size. It is a hold that names
// the topic, never a smaller record, and it ends with its cause.
func TestRecordThatATopicsSettingsRefuseIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(sick)
		s := newShop(t, 2, gateway)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, Topic: s.topics.Retry})
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("stuck"))
		for i := range 30 {
			s.produce(1, nil, s.request(fmt.Sprint("other-", i)))
			time.Sleep(10 * time.Second)
		}
		require.Positive(t, refused.Hits())
		onceEach(t, 30, s.allEnds())
		require.Len(t, on(s.topics.Granted, s.allEnds()), 30, "the others go on, and it is neither parked nor anything else")
		held := reasons(r.Health().Holds, holdTopic)
		require.Contains(t, held, s.topics.Retry)
		require.Contains(t, held, "a compacted topic takes no record without a key")
		for _, p := range r.Status().Partitions {
			require.Equal(t, p.Topic == s.topics.Store && p.Partition == 0, strings.HasPrefix(p.Why, "held: "), "%s/%d: %s", p.Topic, p.Partition, p.Why)
		}

		refused.Remove()
		gateway.to(grantsAlways)
		time.Sleep(2 * refusedFor)
		require.Len(t, on(s.topics.Retry, s.allEnds()), 1, "soon")
		ends := s.settled(32)
		require.Len(t, on(s.topics.Retry, ends), 1, "parked")
		require.Len(t, on(s.topics.Granted, ends), 31, "and granted from there")
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// A broker refuses a batch as a whole, once. That it takes long to answer must not keep
// what was in it from going out in time.
func TestWhatWasRefusedTogetherGoesOutInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, takes(200*time.Millisecond, new(atomic.Int64)))
		r := s.start(s.config("r1"), slowly(kmsg.Produce, time.Second))
		s.produce(0, nil, s.requests("id", 3000)...)
		time.Sleep(2 * time.Second) // of at least 3000/256 x 200 ms
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: 1, Topic: s.topics.Granted})
		began := time.Now()
		onceEach(t, 3000, s.settled(3000))
		require.Less(t, time.Since(began), time.Minute)
		require.EqualValues(t, 1, refused.Hits())
		require.NoError(t, r.stopped())
	})
}

// More is refused by itself than can go out one by one within a transaction: partitions that
// have nothing of it go on, and when the cause is gone, all does.
func TestManyRefusedEndsLeaveOtherPartitionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const garbage, others = 2500, 30
		s := newShop(t, 2, always(grantsAlways))
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, Topic: s.topics.DeadLetter})
		r := s.start(s.config("r1"), slowly(kmsg.Produce, 5*time.Millisecond))
		var records []*kgo.Record
		for i := range garbage {
			records = append(records, &kgo.Record{Topic: s.topics.Store, Value: fmt.Append(nil, "garbage ", i)})
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), records...).FirstErr())
		for i := range others {
			s.produce(1, nil, s.request(fmt.Sprint("other-", i)))
			time.Sleep(10 * time.Second)
		}
		require.Len(t, on(s.topics.Granted, s.allEnds()), others)
		require.Contains(t, reasons(r.Health().Holds, holdTopic), "is refused")
		refused.Remove()
		time.Sleep(time.Minute)
		require.Len(t, on(s.topics.DeadLetter, s.allEnds()), garbage)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// Nor is what goes out without what is optional sent one by one, when it is too much for that.
func TestManyShrunkEndsGoOutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const garbage = 2500
		s := newShop(t, 2, always(grantsAlways))
		require.NoError(t, s.setTopic(s.topics.DeadLetter, "max.message.bytes", "4096"))
		r := s.start(s.config("r1"), slowly(kmsg.Produce, 10*time.Millisecond))
		var records []*kgo.Record
		for i := range garbage {
			records = append(records, &kgo.Record{Topic: s.topics.Store, Value: append(bytes.Repeat([]byte{1}, 5000), fmt.Sprint(i)...)})
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), records...).FirstErr())
		s.produce(1, nil, s.requests("other", 5)...)
		time.Sleep(5 * time.Minute)
		require.Len(t, on(s.topics.DeadLetter, s.allEnds()), garbage)
		require.Len(t, on(s.topics.Granted, s.allEnds()), 5)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}
