package breaker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// rounds runs n calls, ten at a time, that all succeed.
func rounds(b *Breaker, n int, took time.Duration) {
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range n / 10 {
				if done, _, ok := b.Allow(); ok {
					time.Sleep(took)
					done(Success)
				}
			}
		})
	}
	wg.Wait()
}

func TestBreakerOpensOnSlowCallsAlthoughTheySucceed(t *testing.T) {
	for name, row := range map[string]struct {
		slowCall, took time.Duration
		want           State
	}{
		"slow":                  {2 * time.Second, 2*time.Second + time.Millisecond, Open},
		"not slow":              {2 * time.Second, 2*time.Second - time.Millisecond, Closed},
		"nothing is called so":  {0, callTimeout - time.Millisecond, Closed},
		"the default opens not": {DefaultConfig().SlowCall, callTimeout - time.Millisecond, Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.SlowCall = row.slowCall
				b := New(cfg, nil)
				rounds(b, 30, row.took)
				require.Equal(t, row.want, b.State())
			})
		})
	}
}

// A gateway that hangs shows after SlowCall, not after the calls' deadline; and a
// slow call is one failure, not a success or a failure more when it ends.
func TestBreakerCountsASlowCallOnceAndBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.SlowCall = time.Second
		b := New(cfg, nil)
		var ends []func(Result)
		for range 9 {
			done, _, ok := b.Allow()
			require.True(t, ok)
			ends = append(ends, done)
		}
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 9, b.gb.Counts().TotalFailures, "while they still run")
		for i, end := range ends {
			end(Result(i % 3))
		}
		require.EqualValues(t, 9, b.gb.Counts().TotalFailures)
		require.Zero(t, b.gb.Counts().TotalSuccesses)
		require.PanicsWithValue(t, "breaker: done called twice", func() { ends[0](Success) })
		call(t, b, time.Second+time.Millisecond, Success)
		require.Equal(t, Open, b.State())
	})
}

func TestBreakerHungProbesBlockNoLongerThanSlowCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.SlowCall = time.Second
		b := New(cfg, nil)
		tripAndWait(t, b)
		hung, _, ok := b.Allow()
		require.True(t, ok)
		time.Sleep(time.Second + time.Millisecond)
		require.Equal(t, Open, b.State())
		_, wait, _ := b.Allow()
		time.Sleep(wait)
		calls(t, b, 2, Success)
		require.Equal(t, Closed, b.State(), "the gateway is back, one call still hangs")
		hung(Failure)
		require.Equal(t, Closed, b.State())
	})
}
