//go:build synctests

package processor

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// emptied is a topic of which retention has taken everything.
func (s *shop) emptied(topic string) {
	admin := kadm.NewClient(s.client)
	ends, err := admin.ListEndOffsets(s.t.Context(), topic)
	require.NoError(s.t, err)
	_, err = admin.DeleteRecords(s.t.Context(), ends.Offsets())
	require.NoError(s.t, err)
}

// What a transactional producer wrote ends in a marker, or in what it aborted. When
// all of it has ended and retention takes it, nothing is lost, and nothing is held.
func TestRetentionOfWhatHasEndedIsNoLoss(t *testing.T) {
	for name, tail := range map[string]func(s *shop){
		"committed": func(*shop) {},
		"aborted":   func(s *shop) { s.upstream(kgo.TryAbort, s.requests("aborted", 3)...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				s := newShop(t, 1, takes(time.Millisecond, &calls))
				r := s.start(s.config("r1"))
				s.upstream(kgo.TryCommit, s.requests("a", 5)...)
				tail(s)
				onceEach(t, 5, s.settled(5))
				time.Sleep(time.Minute)
				require.Zero(t, s.lag("coupongrant"), "nor do tools show that anything is left")
				require.NoError(t, r.stopped())
				s.emptied(s.topics.Store)

				r = s.start(s.config("r1"))
				time.Sleep(time.Minute)
				require.Empty(t, r.Health().Holds)
				s.upstream(kgo.TryCommit, s.requests("b", 5)...)
				onceEach(t, 10, s.settled(10))
				require.NoError(t, r.stopped())
			})
		})
	}
}

// The retry topic is written in transactions only.
func TestRetentionOfTheRetryTopicIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			if bad.Load() && outID(r) == "trouble" {
				return refused("-9999"), nil
			}
			return granted(1), nil
		}))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("trouble"), s.request("other"))
		time.Sleep(time.Minute)
		bad.Store(false)
		time.Sleep(10 * time.Minute)
		require.Len(t, on(s.topics.Granted, s.allEnds()), 2)
		require.NotEmpty(t, on(s.topics.Retry, s.allEnds()), "it was parked")
		require.NoError(t, r.stopped())
		s.emptied(s.topics.Retry)

		r = s.start(s.config("r1"))
		time.Sleep(time.Minute)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}
