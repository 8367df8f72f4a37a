//go:build synctests

package processor

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A key with seconds of calls waiting fills more than its partition's equal part of
// the windows. The others in that partition do not feel it while there is room.
func TestHotKeyLeavesTheOthersOfItsPartitionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hot, others, partitions = 400, 400, 8
		var mu sync.Mutex
		began := map[string]time.Time{}
		s := newShop(t, partitions, always(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			began[outID(r)] = time.Now()
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			return granted(1), nil
		}))
		cfg := s.config("r1")
		cfg.WindowBytes, cfg.WindowTotalBytes = 1<<20, 4<<20
		r := s.start(cfg)
		s.produce(0, []byte("hot"), s.requests("hot", hot)...)
		sent := map[string]time.Time{}
		for i, q := range s.requests("other", others) {
			sent[q.RequestID] = time.Now()
			s.produce(0, fmt.Appendf(nil, "k%d", i), q)
			time.Sleep(10 * time.Millisecond)
		}
		inputs := 3 * partitions // with those of the retry topic
		held := 0
		for _, p := range r.Status().Partitions {
			held = max(held, p.Bytes)
		}
		require.Greater(t, held, cfg.WindowTotalBytes/inputs, "else it proves nothing")
		var worst time.Duration
		mu.Lock()
		sofar := maps.Clone(began)
		mu.Unlock()
		for id, at := range sent {
			began, called := sofar[id]
			require.True(t, called, "%s waits for the hot key", id)
			worst = max(worst, began.Sub(at))
		}
		require.Less(t, worst, time.Second)
		require.Less(t, len(sofar), hot+others, "the hot key has requests that wait")
		s.settled(hot + others)
		require.NoError(t, r.stopped())
	})
}
