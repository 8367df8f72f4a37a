package processor

import (
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The watchdog's goroutine tells of silence while kgo's tells of an answer. Whichever
// is first, the hold is gone with the next answer: one that stayed would say for ever
// of a replica that works that no broker answers.
func TestAnAnswerEndsTheHoldOfSilentBrokersWheneverItComes(t *testing.T) {
	h := newHolds(slog.New(slog.DiscardHandler), func(string, int) {})
	c := newContact(DefaultConfig(), h)
	for range 1000 {
		told := make(chan struct{})
		h.mu.Lock() // so that the hold is decided on, and not stated yet
		go func() { defer close(told); c.tell("no broker has answered") }()
		for !c.silent.Load() {
			runtime.Gosched()
		}
		h.mu.Unlock()
		c.answered()
		<-told
		c.answered()
		require.Empty(t, h.Current(), "it has answered since")
	}
}

func TestSilenceOfBrokersIsToldInItsTime(t *testing.T) {
	h := newHolds(slog.New(slog.DiscardHandler), func(string, int) {})
	c := newContact(DefaultConfig(), h)
	now := time.Now()
	look := func(after time.Duration, member bool) []Hold {
		c.look(now.Add(after), member)
		return h.Current()
	}
	require.Empty(t, look(0, true))
	require.Empty(t, look(c.bound, true))
	require.Empty(t, look(c.bound+2*time.Second, false), "who waits for others to join has nothing to hear")
	require.Empty(t, look(2*c.bound+time.Second, true))
	require.Len(t, look(2*c.bound+3*time.Second, true), 1)
	before := h.Current()[0]
	require.NotEqual(t, before.Reason, look(2*c.bound+5*time.Second, true)[0].Reason, "it says for how long")
	require.Equal(t, before.Since, h.Current()[0].Since)
	c.answered()
	require.Empty(t, h.Current())
	c.look(time.Now(), true)
	require.NotEqual(t, c.since.Round(0), c.since, "it is counted by the monotonic clock: a wall clock may be set")
}
