package breaker

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const callTimeout = 5 * time.Second

func testConfig() Config {
	return Config{Interval: time.Minute, MinCalls: 10, FailureRatio: 0.5, OpenFor: 10 * time.Second, Probes: 2}
}

// call asks for leave, spends took, and reports r. Leave must be given.
func call(t *testing.T, b *Breaker, took time.Duration, r Result) {
	t.Helper()
	done, _, ok := b.Allow()
	require.True(t, ok, "the breaker refused a call in state %s", b.State())
	time.Sleep(took)
	done(r)
}

func calls(t *testing.T, b *Breaker, n int, r Result) {
	t.Helper()
	for range n {
		call(t, b, time.Millisecond, r)
	}
}

func trip(t *testing.T, b *Breaker) {
	t.Helper()
	calls(t, b, 10, Failure)
	require.Equal(t, Open, b.State())
}

// tripAndWait leaves the breaker half-open.
func tripAndWait(t *testing.T, b *Breaker) {
	t.Helper()
	trip(t, b)
	_, wait, ok := b.Allow()
	require.False(t, ok)
	time.Sleep(wait)
	require.Equal(t, HalfOpen, b.State())
}

func TestBreakerOpensByRatioOnlyAfterEnoughCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		for range 4 {
			call(t, b, time.Millisecond, Failure)
			call(t, b, time.Millisecond, Success)
		}
		require.Equal(t, Closed, b.State(), "8 calls are too few")
		call(t, b, time.Millisecond, Success)
		call(t, b, time.Millisecond, Failure)
		require.Equal(t, Open, b.State(), "5 of 10 failed")
	})
}

func TestBreakerForgetsWhatTheWindowHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		calls(t, b, 9, Failure)
		time.Sleep(time.Minute)
		calls(t, b, 9, Failure)
		require.Equal(t, Closed, b.State())
		calls(t, b, 1, Failure)
		require.Equal(t, Open, b.State())
	})
}

func TestBreakerFailuresInARowOpenAfterALongGoodSpell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		calls(t, b, 10_000, Success)
		calls(t, b, 9, Failure)
		require.Equal(t, Closed, b.State())
		calls(t, b, 1, Failure)
		require.Equal(t, Open, b.State(), "the ratio alone would be 10 of 10,010")
	})
}

// The trap: a call that outlives the window is not counted. Validate refuses
// such a Config, and the smallest that it accepts does open.
func TestBreakerSlowFailingCallsOpenWhatValidateAccepts(t *testing.T) {
	for _, c := range []struct {
		name     string
		interval time.Duration
		valid    bool
		want     State
	}{
		{"window shorter than a call", callTimeout - time.Second, false, Closed},
		{"smallest window accepted", 5 * callTimeout, true, Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.Interval = c.interval
				require.Equal(t, c.valid, cfg.Validate(callTimeout) == nil)
				b := New(cfg, nil)
				var wg sync.WaitGroup
				for range 4 { // four in flight, each failing by its deadline, over and over
					wg.Go(func() {
						for range 10 {
							if done, _, ok := b.Allow(); ok {
								time.Sleep(callTimeout)
								done(Failure)
							}
						}
					})
				}
				wg.Wait()
				require.Equal(t, c.want, b.State())
			})
		})
	}
}

func TestBreakerExcludedResultsNeitherOpenNorDilute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		calls(t, b, 1000, Excluded)
		require.Equal(t, Closed, b.State())
		for range 5 {
			call(t, b, time.Millisecond, Success)
			call(t, b, time.Millisecond, Failure)
		}
		require.Equal(t, Open, b.State(), "the thousand excluded ones are no base of the ratio")
	})
}

func TestBreakerOpenRefusesAndCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		trip(t, b)
		before := b.gb.Counts()
		for range 100 {
			done, wait, ok := b.Allow()
			require.False(t, ok)
			require.Nil(t, done)
			require.Positive(t, wait)
		}
		require.Equal(t, before, b.gb.Counts())
	})
}

func TestBreakerWaitEndsExactlyWhenAProbeMayRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(testConfig(), nil)
		trip(t, b)
		_, wait, _ := b.Allow()
		time.Sleep(wait - 2*minWait)
		_, rest, ok := b.Allow()
		require.False(t, ok)
		require.Equal(t, 2*minWait, rest)
		time.Sleep(rest)
		done, _, ok := b.Allow()
		require.True(t, ok)
		done(Success)
	})
}

func TestBreakerOpenTimeIsSpreadOverAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := map[time.Duration]bool{}
		for range 50 {
			b := New(testConfig(), nil)
			trip(t, b)
			_, wait, _ := b.Allow()
			require.GreaterOrEqual(t, wait, 10*time.Second)
			require.LessOrEqual(t, wait, 12*time.Second+minWait)
			waits[wait] = true
		}
		require.Greater(t, len(waits), 25)
	})
}

func TestBreakerTellsEachChangeOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []change
		var b *Breaker
		b = New(testConfig(), func(from, to State) {
			require.Equal(t, to, b.State(), "a listener may ask the breaker")
			told = append(told, change{from, to})
		})
		tripAndWait(t, b)
		call(t, b, time.Millisecond, Failure)
		_, wait, _ := b.Allow()
		time.Sleep(wait)
		calls(t, b, 2, Success)
		require.Equal(t, []change{
			{Closed, Open}, {Open, HalfOpen}, {HalfOpen, Open}, {Open, HalfOpen}, {HalfOpen, Closed},
		}, told)
	})
}

func TestBreakerSlowListenerHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told []State
		b := New(testConfig(), func(_, to State) {
			<-release
			told = append(told, to)
		})
		finished := make(chan struct{})
		go func() {
			calls(t, b, 10, Failure)
			close(finished)
		}()
		time.Sleep(time.Second)
		require.Equal(t, Open, b.State(), "State answers while the listener hangs")
		_, wait, ok := b.Allow()
		require.False(t, ok)
		time.Sleep(wait)
		done, _, ok := b.Allow()
		require.True(t, ok)
		done(Failure)
		require.Empty(t, told)
		close(release)
		<-finished
		require.Equal(t, []State{Open, HalfOpen, Open}, told)
	})
}

func TestBreakerMisusePanics(t *testing.T) {
	b := New(testConfig(), nil)
	done, _, _ := b.Allow()
	require.Panics(t, func() { done(Result(9)) })
	done(Success)
	require.PanicsWithValue(t, "breaker: done called twice", func() { done(Success) })
	require.Panics(t, func() { New(Config{}, nil) })
}

// gauge remembers the most there were at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

func TestBreakerUnderConcurrentCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported atomic.Int64
		var told []change
		atOnce := map[State]*gauge{Closed: {}, HalfOpen: {}, Open: {}} // Open: leave was given just before
		b := New(testConfig(), func(from, to State) { told = append(told, change{from, to}) })
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for range 200 {
					done, wait, ok := b.Allow()
					if !ok {
						time.Sleep(wait)
						continue
					}
					g := atOnce[b.State()]
					g.add(1)
					time.Sleep(50 * time.Millisecond)
					g.add(-1)
					done(Result(reported.Add(1) / 500 % 2)) // 500 good, 500 bad, and so on
				}
			})
		}
		wg.Wait()
		require.NotEmpty(t, told)
		for i, c := range told[1:] {
			require.Equal(t, told[i].to, c.from, "the changes form a chain")
		}
		require.Equal(t, 32, atOnce[Closed].most)
		require.Equal(t, 2, atOnce[HalfOpen].most)
	})
}

func TestStateNames(t *testing.T) {
	require.Equal(t, []string{"closed", "half-open", "open", "state 7"},
		[]string{Closed.String(), HalfOpen.String(), Open.String(), State(7).String()})
}
