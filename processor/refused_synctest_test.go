//go:build synctests

package processor

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// INVALID_RECORD is what a topic answers that is compacted, to a record without a key,
// and what brokers answer that judge schemas: no matter of size. It is a hold that names
// the topic, never a smaller record, and it ends with its cause.
func TestRecordThatATopicsSettingsRefuseIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(sick)
		s := newShop(t, 1, gateway)
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, Topic: s.topics.Retry})
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("stuck"))
		time.Sleep(5 * time.Minute)
		require.Positive(t, refused.Hits())
		require.Empty(t, s.allEnds(), "neither parked nor anything else")
		held := reasons(r.Health().Holds, holdTopic)
		require.Contains(t, held, s.topics.Retry)
		require.Contains(t, held, "a compacted topic takes no record without a key")

		refused.Remove()
		gateway.to(grantsAlways)
		ends := s.settled(2)
		require.Len(t, on(s.topics.Retry, ends), 1, "parked")
		require.Len(t, on(s.topics.Granted, ends), 1, "and granted from there")
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}
