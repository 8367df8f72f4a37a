//go:build synctests

package processor

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Slow calls of store requests hold every slot. Loyalty gets those that come
// free until it has its half, and keeps it, although its calls give their slots
// back eighty times as often.
func TestSlowCallsOfOneTopicLeaveTheOtherItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow, fast, slots, loyal = 8 * time.Second, 100 * time.Millisecond, 8, 400
		var granting atomic.Int64
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(outID(r), "store") {
				time.Sleep(slow)
			} else {
				time.Sleep(fast)
			}
			return granted(granting.Add(1)), nil
		}))
		cfg := s.config("r1")
		cfg.MaxInFlight = slots
		r := s.start(cfg)
		s.produce(0, nil, s.requests("store", 100)...)
		time.Sleep(2 * slow)
		before := len(s.allEnds())
		s.produceTo(s.topics.Loyalty, 0, nil, s.requests("loyalty", loyal)...)
		half := fast * loyal / (slots / 2)
		time.Sleep(slow + half + time.Second)
		ends := map[string]int{}
		for source := range ids(s.allEnds()) {
			topic, _, _ := strings.Cut(source, "/")
			ends[topic]++
		}
		require.Equal(t, loyal, ends[s.topics.Loyalty])
		require.GreaterOrEqual(t, ends[s.topics.Store], before+slots/2*int(half/slow), "and the store its half")
		onceEach(t, 100+loyal, s.settled(100+loyal))
		require.NoError(t, r.stopped())
	})
}
