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

// What the engine says of itself while a request is called, waits behind another
// of its key, is parked, and is done.
func TestStatusFollowsARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			switch {
			case !bad.Load():
				return granted(1), nil
			case strings.HasPrefix(outID(r), "slow"):
				time.Sleep(8 * time.Second)
				return granted(1), nil
			default:
				return refusedInDoubt(r)
			}
		}))
		r := s.start(s.config("r1"))
		time.Sleep(5 * time.Second)
		s.produce(0, []byte("key"), s.request("slow"), s.request("behind"))
		sent := time.Now()
		time.Sleep(4200 * time.Millisecond)

		status := r.Status()
		require.WithinDuration(t, time.Now(), status.At, 1500*time.Millisecond)
		require.Equal(t, 1, status.Gateway.InFlight)
		require.Equal(t, "closed", status.Gateway.Breaker)
		p := status.Partitions[1] // by topic: loyalty, store, retry
		require.Equal(t, s.topics.Store, p.Topic)
		require.Equal(t, 2, p.Unfinished)
		require.EqualValues(t, 2, p.Backlog)
		require.EqualValues(t, 2, p.End)
		require.EqualValues(t, 2, p.Next)
		require.Equal(t, OldestStatus{Offset: 0, RequestID: "slow", Written: p.Oldest.Written}, *p.Oldest)
		require.WithinDuration(t, sent, p.Oldest.Written, time.Second)
		require.Regexp(t, `^its oldest request slow \(offset 0\) is being called for 4\.\d s, attempt 1$`, p.Why)

		slow, behind := r.Find("slow"), r.Find("behind")
		require.Len(t, slow, 1)
		require.Equal(t, stateCalled, slow[0].State)
		require.Len(t, behind, 1)
		require.Equal(t, stateWaits, behind[0].State)
		require.Contains(t, behind[0].Why, "it waits for the request slow (offset 0), which is before it in the order of its key: the request slow is being called for 4.")
		require.Empty(t, r.Find("nobody"))

		time.Sleep(20 * time.Second)
		behind = r.Find("behind")
		require.Len(t, behind, 2, "the request, and where it was parked: %+v", behind)
		require.Equal(t, []string{"parked", stateCommitted, "", stateWaits},
			[]string{behind[0].End, behind[0].State, behind[1].End, behind[1].State})
		require.Equal(t, behind[0].Source, behind[1].Source)
		require.Len(t, behind[0].Log, 5)
		require.True(t, behind[0].InDoubt)
		require.NotNil(t, behind[1].NextAt)
		require.Contains(t, behind[1].Why, "it is parked after 5 attempts, and due at")
		status = r.Status()
		for _, p := range status.Partitions {
			require.Zero(t, p.Backlog, "%+v", p)
			if p.Topic == s.topics.Retry {
				require.EqualValues(t, 1, p.Parked)
				require.Contains(t, p.Why, "its oldest request behind (offset 0) is parked after 5 attempts, and due at")
			} else {
				require.Empty(t, p.Why)
				require.Nil(t, p.Oldest)
			}
		}
		recent := r.Recent(10)
		require.Equal(t, []string{"parked", "granted"}, []string{recent[0].End, recent[1].End})

		bad.Store(false)
		time.Sleep(6 * time.Minute)
		require.Equal(t, "granted", r.Recent(1)[0].End)
		require.Empty(t, whys(r.Status()))
		require.NoError(t, r.stopped())
		require.Empty(t, r.Status().Partitions)
		require.Equal(t, "granted", r.Find("slow")[0].End, "it is remembered")
	})
}

// A breaker that opens, and an app in trouble, are said of every partition that
// has something to call, in the words of the hold.
func TestStatusSaysWhatStopsAllCalls(t *testing.T) {
	for name, row := range map[string]struct {
		gateway always
		want    string
	}{
		"breaker": {status(503), `its oldest request r-\d+ \(offset \d+\) (waits for the gateway: the breaker is not closed, next probe in|is called again in)`},
		"app":     {platform(25, ""), `waits, as all do: all calls are stopped, (next probe in|a probe is under way).*the secret is wrong`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, row.gateway)
				r := s.start(s.config("r1"))
				time.Sleep(5 * time.Second)
				s.produce(0, nil, s.requests("r", 100)...)
				time.Sleep(4 * time.Second)
				require.Regexp(t, row.want, whys(r.Status()))
				if name == "app" {
					require.Equal(t, []string{"signature"}, r.Status().Gateway.Trouble)
				}
				s.client.Close()
				require.NoError(t, r.stopped())
			})
		})
	}
}

// A replica that loses a partition says so of what it had there.
func TestFindSaysThatAPartitionHasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) { return hangs(r) }))
		r := s.start(s.config("r1"))
		time.Sleep(5 * time.Second)
		for number := range int32(2) {
			s.produce(number, nil, s.requests([]string{"a", "b"}[number], 3)...)
		}
		time.Sleep(2 * time.Second)
		other := s.start(s.config("r2"))
		time.Sleep(30 * time.Second)
		moved := 0
		for _, id := range []string{"a-0", "b-0"} {
			here, there := r.Find(id), other.Find(id)
			require.Len(t, here, 1)
			if here[0].State == stateMoved {
				moved++
				require.Len(t, there, 1)
				require.NotEqual(t, stateMoved, there[0].State)
			} else {
				require.Empty(t, there)
			}
		}
		require.Equal(t, 1, moved)
		require.NoError(t, other.stopped())
		require.NoError(t, r.stopped())
	})
}

// Where retention has overtaken a partition, what was read of it has not moved and
// goes on: it is only the partition that is held.
func TestFindSaysThatWhatWasReadOfAHeldPartitionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Hour, &calls))
		r := s.start(s.config("r1"))
		s.spread("held", 1, 1)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, calls.Load())
		r.line.cut()
		s.spread("vanishes", 5, 1)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 6))
		r.line.mend()
		time.Sleep(2 * time.Minute)
		r.until(func() bool { return r.Find("held-0")[0].State == stateWaits }) // between two calls
		found := r.Find("held-0")
		require.Len(t, found, 1)
		require.Equal(t, stateWaits, found[0].State)
		require.Contains(t, found[0].Why, "it is called again in")
		require.Contains(t, reasons(r.Health().Holds, holdLostInput), "what was read ends first")
		require.NoError(t, r.stopped())
	})
}
