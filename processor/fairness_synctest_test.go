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
	"github.com/twmb/franz-go/pkg/kmsg"
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

// A backlog of store requests fills every fetch and every window, while each
// transaction takes its time. A new loyalty request is read, and called, within a
// few transactions all the same, from the first moment on.
func TestBacklogOfOneTopicDoesNotKeepOutTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, each, loyal, transaction = 16, 4000, 40, 50 * time.Millisecond
		called := make(chan time.Time, loyal)
		s := newShop(t, partitions, always(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(outID(r), "loyalty") {
				called <- time.Now()
			} else {
				time.Sleep(2 * transaction)
			}
			return granted(1), nil
		}))
		s.kafka.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			s.kafka.SleepControl(func() { time.Sleep(transaction) })
			return nil, nil, false
		})
		for partition := range int32(partitions) {
			s.produce(partition, nil, s.requests(fmt.Sprint("store-", partition), each)...)
		}
		r := s.start(s.config("r1"))
		for i := range loyal {
			produced := time.Now()
			s.produceTo(s.topics.Loyalty, int32(i%partitions), nil, s.request(fmt.Sprint("loyalty-", i)))
			require.Less(t, (<-called).Sub(produced), 8*transaction)
			time.Sleep(transaction)
		}
		require.Greater(t, s.lag("coupongrant"), int64(partitions*each/2), "the backlog was there all the while")
		require.NoError(t, r.stopped())
	})
}
