//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Code 10 may hide a bad request. One that alone gets it while others are
// answered is parked, and not called for ever; the breaker stays closed. Where the
// code is said to be about the request, a few attempts are enough.
func TestRequestThatAloneGetsCode10IsParked(t *testing.T) {
	for _, reading := range []Code10{Code10Gateway, Code10Request} {
		t.Run(string(reading), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0 // of one request: never two at once
				s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
					if !strings.HasPrefix(outID(r), "alone") {
						return granted(1), nil
					}
					calls++
					return platform(10, "")(r)
				}))
				cfg := s.config("r1")
				cfg.Retry.Code10 = reading
				r := s.start(cfg)
				s.produce(0, nil, s.request("alone"))
				began := time.Now()
				for len(on(s.topics.Retry, s.allEnds())) == 0 {
					s.produce(0, nil, s.request(fmt.Sprint("other-", time.Since(began))))
					time.Sleep(time.Second)
					require.Less(t, time.Since(began), cfg.Retry.ParkAfter+2*cfg.Retry.MaxBackoff)
				}
				require.Equal(t, "true", headerText(on(s.topics.Retry, s.allEnds())[0], headerInDoubt))
				require.Equal(t, reading == Code10Request, calls == cfg.Retry.DoubtfulAttempts, "%d calls", calls)
				require.Zero(t, breakerState(t, r))
				require.Empty(t, r.Health().Holds)
				require.NotContains(t, r.log.String(), "nobody knows the meaning of", "the word is known, only whom it is about is not")
				require.NoError(t, r.stopped())
			})
		})
	}
}

// An outage that says 10 to everybody parks nobody, however long it takes.
func TestCode10ForEverybodyIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(platform(10, ""))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.spread("id", 40, 1)
		time.Sleep(10 * time.Minute)
		require.NotZero(t, breakerState(t, r))
		require.Contains(t, reasons(r.Health().Holds, holdGateway), "the gateway is in trouble")
		require.Empty(t, s.allEnds())
		gateway.to(grantsAlways)
		onceEach(t, 40, s.settled(40))
		require.Len(t, on(s.topics.Granted, s.allEnds()), 40)
		require.NoError(t, r.stopped())
	})
}

func breakerState(t *testing.T, r *replica) float64 {
	t.Helper()
	families, err := r.scraped.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "coupongrant_breaker_state" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(t, "no such metric")
	return 0
}
