package processor

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestMailboxGivesEverythingInOrderOnce(t *testing.T) {
	m := newMailbox[int](newBell())
	require.Empty(t, m.take())
	m.put(1, 2)
	m.put()
	m.put(3)
	require.Equal(t, []int{1, 2, 3}, m.take())
	require.Empty(t, m.take())
}

// Two owners that write to each other would wait for ever if putting could.
func TestPuttingNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox[int](newBell())
		var putters sync.WaitGroup
		for range 10 {
			putters.Go(func() {
				for i := range 1000 {
					m.put(i)
				}
			})
		}
		putters.Wait()
		require.Len(t, m.take(), 10_000)
	})
}

func TestBellOfAnEmptyPutIsSilent(t *testing.T) {
	m := newMailbox[int](newBell())
	m.put()
	require.Empty(t, m.notify)
	m.put(1)
	m.put(2)
	require.Len(t, m.notify, 1, "rings add up to one")
}

func TestMailboxesCanShareABell(t *testing.T) {
	b := newBell()
	numbers, words := newMailbox[int](b), newMailbox[string](b)
	numbers.put(1)
	words.put("one")
	<-b
	require.Equal(t, []int{1}, numbers.take())
	require.Equal(t, []string{"one"}, words.take())
}

// The bubble fails if the goroutine that waits for the bell outlives the wait.
func TestAwaitedEndsWithTheBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBell()
		ctx, done := b.awaited(t.Context())
		defer done()
		synctest.Wait()
		require.NoError(t, ctx.Err())
		b.ring()
		synctest.Wait()
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		require.Empty(t, b, "the ring is used up")
	})
}

func TestAwaitedEndsAtOnceIfTheBellRangBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBell()
		b.ring()
		ctx, done := b.awaited(t.Context())
		defer done()
		<-ctx.Done()
	})
}

func TestAwaitedEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBell()
		parent, cancel := context.WithCancel(t.Context())
		ctx, done := b.awaited(parent)
		cancel()
		<-ctx.Done()
		done()
		b.ring()
		require.Len(t, b, 1, "nobody is left to hear it")
	})
}
