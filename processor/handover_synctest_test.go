//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHandOverRepeatsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(takes(500*time.Millisecond, new(atomic.Int64)))
		s := newShop(t, 4, gateway)
		var replicas []*replica
		produced := 0
		for i := range 4 { // each newcomer takes partitions from the others, under load
			replicas = append(replicas, s.start(s.config(fmt.Sprint("r", i))))
			for range 20 {
				s.spread(fmt.Sprint("id-", produced), 8, 4)
				produced += 8
				time.Sleep(200 * time.Millisecond)
			}
		}
		for _, r := range replicas[:3] { // and gives them back when it leaves
			require.NoError(t, r.stopped())
			s.spread(fmt.Sprint("id-", produced), 8, 4)
			produced += 8
			time.Sleep(time.Second)
		}
		onceEach(t, produced, s.settled(produced))
		for id, n := range gateway.calls {
			require.Equal(t, 1, n, "calls for %s", id)
		}
		require.NoError(t, replicas[3].stopped())
	})
}

func TestHandOverLeavesNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 4, always(func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			time.Sleep(500 * time.Millisecond)
			if strings.HasSuffix(outID(r), "7") { // refused: in doubt it would be parked
				return refused("-7"), nil
			}
			return granted(1), nil
		}))
		first := s.start(s.config("r1"))
		s.spread("id", 400, 4)
		time.Sleep(700 * time.Millisecond)
		second := s.start(s.config("r2"))
		ends := s.settled(400)
		onceEach(t, 400, ends)
		require.Empty(t, on(s.topics.Retry, ends))
		require.Len(t, on(s.topics.Failed, ends), 40)
		require.EqualValues(t, 400, calls.Load())
		require.NoError(t, first.stopped())
		require.NoError(t, second.stopped())
	})
}

func TestHangingCallDoesNotHoldUpARebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 4, always(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(outID(r), "hangs") {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return granted(1), nil
		}))
		first := s.start(s.config("r1"))
		for i, request := range s.requests("hangs", 4) {
			s.produce(int32(i), nil, request)
		}
		time.Sleep(time.Second)
		began := time.Now()
		second := s.start(s.config("r2"))
		for reasons(second.Health().Holds, holdStarting) != "" {
			time.Sleep(100 * time.Millisecond)
		}
		s.spread("free", 40, 4)
		for len(on(s.topics.Granted, s.allEnds())) < 40 {
			time.Sleep(100 * time.Millisecond)
		}
		require.Less(t, time.Since(began), handOverTime+5*time.Second)
		first.killed()
		second.killed()
	})
}
