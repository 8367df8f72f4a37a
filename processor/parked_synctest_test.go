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
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// More parked requests than the windows hold are due within one second, while
// each transaction takes its time. Each is called when it is due, not before, and
// no later than five seconds after.
func TestParkedRequestsAreCalledWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, each = 4, 5000
		var mu sync.Mutex
		called := map[string]time.Time{}
		s := newShop(t, partitions, always(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			called[outID(r)] = time.Now()
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			return granted(1), nil
		}))
		s.kafka.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			s.kafka.SleepControl(func() { time.Sleep(20 * time.Millisecond) })
			return nil, nil, false
		})
		due := map[string]time.Time{}
		var parked []*kgo.Record
		for number := range int32(partitions) {
			for i := range each {
				id := fmt.Sprintf("parked-%d-%d", number, i)
				due[id] = time.Now().Add(5*time.Minute + time.Duration(i)*time.Second/each).Truncate(time.Millisecond)
				parked = append(parked, s.parked(number, s.request(id), fmt.Sprintf("%s/%d/%d", s.topics.Store, number, i),
					kgo.RecordHeader{Key: headerNextAt, Value: []byte(rfc3339(due[id]))}))
			}
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), parked...).FirstErr())
		r := s.start(s.config("r1"))
		time.Sleep(5*time.Minute + 10*time.Second)
		mu.Lock()
		sofar := maps.Clone(called)
		mu.Unlock()
		require.Len(t, sofar, partitions*each)
		var latest time.Duration
		for id, at := range sofar {
			late := at.Sub(due[id])
			require.GreaterOrEqual(t, late, time.Duration(0), "%s is called before it is due", id)
			latest = max(latest, late)
		}
		t.Log("called after due by", latest, "at most")
		require.Less(t, latest, 5*time.Second)
		onceEach(t, partitions*each, on(s.topics.Granted, s.settled(partitions*each)))
		require.NoError(t, r.stopped())
	})
}
