//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

// The app's calls of the day are used up ten minutes before midnight in Beijing.
// Each replica is told by the answers to its own calls, those that it makes at once;
// those that are killed or stopped, and who takes over from them, call nobody until
// it is over.
func TestBanUntilMidnightIsObeyedByTheFleetAndItsSuccessors(t *testing.T) {
	for _, atOnce := range []int{1, 8} {
		t.Run(fmt.Sprint(atOnce, " at once"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { banUntilMidnight(t, atOnce) })
		})
	}
}

func banUntilMidnight(t *testing.T, atOnce int) {
	const partitions, requests = 6, 60
	midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(16 * time.Hour)
	time.Sleep(time.Until(midnight.Add(-10 * time.Minute)))
	var m meter
	s := newShop(t, partitions, nil)
	start := func(name string) *replica {
		cfg := s.config(name)
		cfg.MaxInFlight = atOnce
		s.gateway = m.of(name, func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			if left := time.Until(midnight); left > 0 {
				return platform(7, fmt.Sprintf(`,"sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for %d more seconds"`, (left+time.Second-1)/time.Second))(r)
			}
			return granted(1), nil
		})
		return s.start(cfg)
	}
	killed, stopped, stays := start("killed"), start("stopped"), start("stays")
	time.Sleep(10 * time.Second) // each has its part
	s.spread("id", requests, partitions)
	time.Sleep(time.Minute)
	for _, name := range []string{"killed", "stopped", "stays"} {
		require.NotEmpty(t, m.all(name), name)
		require.LessOrEqual(t, len(m.all(name)), atOnce, "%s is told once", name)
	}
	told := len(m.all(""))
	require.Contains(t, reasons(stays.Health().Holds, holdGateway), "until "+midnight.Format(time.RFC3339))

	killed.killed()
	require.NoError(t, stopped.stopped())
	time.Sleep(time.Minute) // one has all of it
	again, successor := start("stopped"), start("successor")
	time.Sleep(time.Until(midnight))
	require.Len(t, m.all(""), told, "nobody calls again before midnight")
	require.Len(t, on(s.topics.Granted, s.allEnds()), 0)

	onceEach(t, requests, s.settled(requests))
	require.Len(t, on(s.topics.Granted, s.allEnds()), requests)
	require.Less(t, m.all("")[told].Sub(midnight), 2*time.Second, "it is over to the second")
	require.NotEmpty(t, m.all("successor"))
	for _, r := range []*replica{stays, again, successor} {
		require.NoError(t, r.stopped())
	}
}

// A predecessor whose clock was wrong keeps nobody from calling.
func TestBanLongerThanAnyIsNotObeyed(t *testing.T) {
	for _, ban := range []time.Duration{24 * time.Hour, 48 * time.Hour} {
		t.Run(ban.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(grantsAlways)
				s := newShop(t, 1, gateway)
				m := freshAt(0)
				m.nonce, m.ban = newNonce(), time.Now().Add(ban)
				s.commit(partition{s.topics.Store, 0}, 0, m.encode())
				r := s.start(s.config("r1"))
				s.produce(0, nil, s.request("id"))
				time.Sleep(time.Minute)
				require.Equal(t, ban > topclient.LongestBan, gateway.total() == 1)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// Who waited for the end of a ban has expired meanwhile, so that nobody calls after it:
// the replica is ready again all the same.
func TestBanIsOverThoughNobodyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(platform(7, `,"sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 600 more seconds"`))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		request := s.request("expires")
		request.ExpiresAt = time.Now().UTC().Truncate(time.Millisecond).Add(5 * time.Minute)
		s.produce(0, nil, request)
		time.Sleep(9 * time.Minute)
		onceEach(t, 1, s.allEnds())
		require.Contains(t, reasons(r.Health().Holds, holdGateway), "limits our calls")
		time.Sleep(2 * time.Minute)
		require.Empty(t, r.Health().Holds)
		require.Equal(t, 1, gateway.total())
		require.NoError(t, r.stopped())
	})
}
