//go:build synctests

package processor

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// grantsOnce grants each request once and then says that its member has enough:
// the hardest for whoever asks again without knowing that he did. It counts the
// calls of each.
type grantsOnce struct {
	mu    sync.Mutex
	calls map[string]int
}

func (g *grantsOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[outID(r)]++
	if g.calls[outID(r)] > 1 {
		return refused("-7"), nil
	}
	return granted(1), nil
}

// withoutGroup has requests granted, some long before the others, and then takes
// away all that the group knew of it.
func withoutGroup(t *testing.T) (*shop, *grantsOnce) {
	t.Helper()
	gateway := &grantsOnce{calls: map[string]int{}}
	s := newShop(t, 1, always(gateway.RoundTrip))
	for _, age := range []string{"old", "new"} {
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests(age, 5)...)
		require.Eventually(t, func() bool { return s.lag("coupongrant") == 0 && len(s.allEnds()) >= 5 }, time.Minute, time.Second)
		require.NoError(t, r.stopped())
		if age == "old" {
			time.Sleep(DefaultConfig().IdempotencyWindow + time.Hour)
		}
	}
	require.Len(t, on(s.topics.Granted, s.allEnds()), 10)
	_, err := kadm.NewClient(s.client).DeleteGroups(t.Context(), "coupongrant")
	require.NoError(t, err)
	return s, gateway
}

// What docs/operations.md says to do when the group is lost: a commit that is not
// ours, then once with leave to go on over it. Everything is in doubt then.
func TestLostGroupIsGoneOnFromInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gateway := withoutGroup(t)
		s.commit(partition{s.topics.Store, 0}, 0, "lost")
		cfg := s.config("r1")
		cfg.AcceptForeignOffsets = true
		r := s.start(cfg)
		ends := s.settled(20)
		require.NoError(t, r.stopped())
		require.Empty(t, on(s.topics.Failed, ends), "nobody fails who was granted")
		require.Len(t, on(s.topics.Retry, ends), 5, "the new ones are parked")
		letters := on(s.topics.DeadLetter, ends)
		require.Len(t, letters, 5)
		for _, letter := range letters {
			require.Equal(t, "grant-unknown", headerText(letter, headerReason))
		}
		for id, calls := range gateway.calls {
			if id[:3] == "old" {
				require.Equal(t, 1, calls, "%s: Tmall may have forgotten it, and would grant again", id)
			} else {
				require.Greater(t, calls, 1, id)
			}
		}
	})
}

// And what it warns of: to just start.
func TestLostGroupBeganAnewIsUntrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gateway := withoutGroup(t)
		r := s.start(s.config("r1"))
		ends := s.settled(20)
		require.NoError(t, r.stopped())
		require.Len(t, on(s.topics.Failed, ends), 10, "who has a coupon is told to have failed")
		for id, calls := range gateway.calls {
			require.Equal(t, 2, calls, id)
		}
	})
}
