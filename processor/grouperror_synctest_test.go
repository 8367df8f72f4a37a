//go:build synctests

package processor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseJoins has the coordinator refuse so many joins, and counts those that it did.
func (s *shop) refuseJoins(most int64, why *kerr.Error) (refused *atomic.Int64) {
	refused = new(atomic.Int64)
	s.kafka.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.kafka.KeepControl()
		if refused.Load() == most {
			return nil, nil, false
		}
		refused.Add(1)
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = why.Code
		return resp, nil, true
	})
	return refused
}

// TestJoinRefusedBeforeTheFirstPollIsNoHold: the first try to join is refused, and
// the session waits for its producer id until the second one has succeeded. Its
// first poll then tells of the first try.
func TestJoinRefusedBeforeTheFirstPollIsNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, takes(20*time.Millisecond, new(atomic.Int64)))
		ready := time.Now().Add(3 * time.Second)
		refused := s.refuseJoins(1, kerr.GroupAuthorizationFailed)
		s.kafka.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if time.Now().After(ready) {
				return nil, nil, false
			}
			s.kafka.KeepControl()
			resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			resp.ErrorCode = kerr.ConcurrentTransactions.Code
			return resp, nil, true
		})
		r := s.start(s.config("a"))
		time.Sleep(10 * time.Second)

		require.EqualValues(t, 1, refused.Load())
		require.Empty(t, r.Health().Holds)
		s.produce(0, nil, s.request("r"))
		onceEach(t, 1, s.settled(1))
	})
}

// TestRefusedJoinIsAHoldUntilOneSucceeds, whatever the reason.
func TestRefusedJoinIsAHoldUntilOneSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, takes(20*time.Millisecond, new(atomic.Int64)))
		refused := s.refuseJoins(5, kerr.GroupAuthorizationFailed)
		r := s.start(s.config("a"))
		for refused.Load() < 5 {
			time.Sleep(100 * time.Millisecond)
		}
		require.Contains(t, reasons(r.Health().Holds, holdKafka), "the group cannot be joined: GROUP_AUTHORIZATION_FAILED")
		time.Sleep(30 * time.Second)
		require.Empty(t, r.Health().Holds)
	})
}

// TestMissingSomethingOfTheGroupIsNoHold: a member that was silent for too long is
// told so and joins anew at once. No person has anything to mend.
func TestMissingSomethingOfTheGroupIsNoHold(t *testing.T) {
	for _, c := range []struct {
		told *kerr.Error
		held bool
	}{
		{kerr.UnknownMemberID, false},
		{kerr.IllegalGeneration, false},
		{kerr.GroupAuthorizationFailed, true},
	} {
		t.Run(c.told.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, takes(20*time.Millisecond, new(atomic.Int64)))
				r := s.start(s.config("a"))
				time.Sleep(5 * time.Second)
				require.Empty(t, r.Health().Holds)

				told := 0
				s.kafka.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
					told++
					resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
					resp.ErrorCode = c.told.Code
					return resp, nil, true
				})
				held := false
				for range 1000 {
					time.Sleep(10 * time.Millisecond)
					held = held || reasons(r.Health().Holds, holdKafka) != ""
				}
				require.Equal(t, 1, told)
				require.Equal(t, c.held, held)
				require.Empty(t, r.Health().Holds)
			})
		})
	}
}
