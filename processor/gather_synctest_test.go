//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// While every slot is taken and more could be called, transactions are few, and no
// slot waits for one: the calls take as long as they would one after the other. What
// comes to a replica with free slots is not kept for the sake of others to come.
func TestTransactionsAreGatheredOnlyWhileSlotsAreScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const call, backlog = 5 * time.Millisecond, 400
		var mu sync.Mutex
		var ended []time.Time
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
			time.Sleep(call)
			return granted(1), nil
		}))
		s.kafka.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, time.Now())
			return nil, nil, false
		})
		transactions := func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(ended)
		}
		cfg := s.config("r1")
		cfg.MaxInFlight = 1
		r := s.start(cfg)
		s.produce(0, nil, s.request("first"))
		s.settled(1)

		before, began := len(transactions()), time.Now()
		s.produce(0, nil, s.requests("backlog", backlog)...)
		onceEach(t, 1+backlog, s.settled(1+backlog))
		busy := transactions()[before:]
		took := busy[len(busy)-1].Sub(began)
		require.Less(t, took, backlog*call*6/5, "slots waited for transactions")
		require.LessOrEqual(t, len(busy), int(took/gatherTime)*3/2, "for %d requests in %v", backlog, took)

		for i := range 10 { // each as soon as the one before has its end
			before, began := len(transactions()), time.Now()
			s.produce(0, nil, s.request(fmt.Sprint("quiet-", i)))
			for len(transactions()) == before {
				time.Sleep(time.Millisecond)
			}
			require.Less(t, time.Since(began), call+gatherTime/5, "it was kept")
		}
		require.NoError(t, r.stopped())
	})
}
