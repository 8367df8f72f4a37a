package breaker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBreakerHalfOpenLetsNoMoreThanItsProbesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		tripAndWait(t, b)
		first, _, ok := b.Allow()
		require.True(t, ok)
		second, _, ok := b.Allow()
		require.True(t, ok)
		before := b.gb.Counts()
		_, wait, ok := b.Allow()
		require.False(t, ok)
		require.Equal(t, recheck, wait)
		require.Equal(t, before, b.gb.Counts(), "a refusal counts nothing")
		first(Success)
		require.Equal(t, HalfOpen, b.State())
		second(Success)
		require.Equal(t, Closed, b.State())
	})
}

func TestBreakerFailedProbeOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		tripAndWait(t, b)
		call(t, b, time.Millisecond, Success)
		call(t, b, time.Millisecond, Failure)
		require.Equal(t, Open, b.State())
		_, wait, ok := b.Allow()
		require.False(t, ok)
		require.GreaterOrEqual(t, wait, 10*time.Second, "the open time starts anew")
	})
}

func TestBreakerExcludedProbeGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		tripAndWait(t, b)
		calls(t, b, 50, Excluded)
		require.Equal(t, HalfOpen, b.State(), "they neither close nor open it")
		calls(t, b, 2, Success)
		require.Equal(t, Closed, b.State())
	})
}

// Half-open has no timer of its own: only the caller's deadline ends a probe
// that hangs, and then the breaker goes on.
func TestBreakerHungProbesBlockNoLongerThanTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		tripAndWait(t, b)
		start := time.Now()
		for range 2 {
			go call(t, b, callTimeout, Failure)
		}
		synctest.Wait()
		for b.State() == HalfOpen {
			_, wait, ok := b.Allow()
			require.False(t, ok)
			time.Sleep(wait)
		}
		require.Equal(t, Open, b.State())
		require.LessOrEqual(t, time.Since(start), callTimeout+recheck)
	})
}

func TestBreakerResultsOfCallsFromBeforeTheOpeningAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		late, _, ok := b.Allow()
		require.True(t, ok)
		tripAndWait(t, b)
		late(Failure)
		require.Equal(t, HalfOpen, b.State(), "an old failure is no failed probe")
	})
}
