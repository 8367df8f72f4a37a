package processor

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A caller that waits for its next call has forgotten the one before. A task keeps
// its record, and that the whole fetch it came with: callers by the hundred would
// hold on to as many, long after their windows have let go of them.
func TestCallerThatWaitsHoldsOnToNoCall(t *testing.T) {
	made := make(chan struct{})
	c := newCallers(1, func(context.Context, call) { made <- struct{}{} })
	defer c.dismiss()
	for _, kind := range []string{"the first call of a caller", "one that was handed to it"} {
		forgotten := make(chan struct{})
		func() {
			of := &task{source: kind}
			runtime.AddCleanup(of, func(told chan struct{}) { close(told) }, forgotten)
			c.start(t.Context(), call{task: of})
		}()
		<-made
		c.ended()
		require.Eventually(t, func() bool {
			runtime.GC()
			select {
			case <-forgotten:
				return true
			default:
				return false
			}
		}, 10*time.Second, 10*time.Millisecond, kind)
	}
}

// Calls one after the other are made by one goroutine, calls at once by as many.
func TestCallersAreAsManyAsTheMostCallsAtOnce(t *testing.T) {
	made, over := make(chan struct{}), make(chan struct{})
	c := newCallers(3, func(context.Context, call) { made <- struct{}{}; <-over })
	defer c.dismiss()
	for _, atOnce := range []int{1, 1, 3, 2, 3} {
		for range atOnce {
			c.start(t.Context(), call{task: new(task)})
			<-made
		}
		for range atOnce {
			over <- struct{}{}
			c.ended()
		}
	}
	require.Equal(t, 3, c.idle, "nobody has a call, so these are all")
}

// After a burst the callers go that nobody needs any more, and those stay that have
// calls now and then.
func TestCallersWithoutCallsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, over := make(chan struct{}), make(chan struct{})
		c := newCallers(5, func(context.Context, call) { made <- struct{}{}; <-over })
		atOnce := func(n int) {
			for range n {
				c.start(t.Context(), call{task: new(task)})
				<-made
			}
			for range n {
				over <- struct{}{}
				c.ended()
			}
		}
		atOnce(5)
		c.look()
		require.Equal(t, 5, c.idle, "each had a call since the last look")
		atOnce(2)
		c.look()
		require.Equal(t, 2, c.idle)
		c.look()
		require.Zero(t, c.idle)
		synctest.Wait()
		require.Empty(t, c.calls, "and they have gone: the bubble fails if one stays")
		atOnce(1)
		c.dismiss()
	})
}
