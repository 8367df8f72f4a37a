package processor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// loggedHolds logs to the buffer, without times.
func loggedHolds() (*holds, *bytes.Buffer) {
	var log bytes.Buffer
	untimed := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: untimed}))
	return newHolds(logger, func(string, int) {}), &log
}

func TestHoldIsLoggedWhenItComesAndWhenItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log := loggedHolds()
		for range 5 {
			h.Set(holdKafka, "brokers", "no broker answers")
			time.Sleep(time.Second)
		}
		require.Equal(t, "level=WARN msg=waiting hold=kafka where=brokers reason=\"no broker answers\"\n", log.String())

		log.Reset()
		h.Clear(holdKafka, "brokers")
		h.Clear(holdKafka, "brokers")
		require.Equal(t, "level=INFO msg=\"goes on\" hold=kafka where=brokers waited=5s\n", log.String())
	})
}

func TestNewReasonOfAHoldIsShownAndNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log := loggedHolds()
		since := time.Now()
		h.Set(holdKafka, "", "one broker is gone")
		time.Sleep(time.Minute)
		h.Set(holdKafka, "", "all brokers are gone")
		require.Equal(t, 1, strings.Count(log.String(), "\n"))
		require.Equal(t, []Hold{{Kind: holdKafka, Reason: "all brokers are gone", Since: since.UTC()}}, h.Current())
	})
}

func TestHoldsAreListedOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := loggedHolds()
		h.Set(holdTopic, "b", "")
		h.Set(holdTopic, "a", "")
		time.Sleep(time.Second)
		h.Set(holdApp, "", "")
		require.Equal(t, []string{"topic a", "topic b", "app "}, named(h.Current()))
	})
}

func TestHoldsAreClearedByKindAndByPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := loggedHolds()
		for _, kind := range []string{holdMetadata, holdLostInput, holdTopic} {
			h.Set(kind, "store/0", "")
			h.Set(kind, "store/1", "")
			time.Sleep(time.Second)
		}
		h.ClearKind(holdMetadata, holdTopic)
		require.Equal(t, []string{"lost-input store/0", "lost-input store/1"}, named(h.Current()))
		h.ClearWhere("store/0")
		require.Equal(t, []string{"lost-input store/1"}, named(h.Current()))
	})
}

func TestHoldsOfAKindAreCounted(t *testing.T) {
	counts := map[string]int{}
	h := newHolds(slog.New(slog.DiscardHandler), func(kind string, n int) { counts[kind] = n })
	h.Set(holdTopic, "a", "")
	h.Set(holdTopic, "b", "")
	h.Set(holdTopic, "b", "again")
	h.Set(holdApp, "", "")
	require.Equal(t, map[string]int{holdTopic: 2, holdApp: 1}, counts)
	h.Clear(holdTopic, "a")
	h.Clear(holdApp, "")
	require.Equal(t, map[string]int{holdTopic: 1, holdApp: 0}, counts)
}

func named(holds []Hold) (names []string) {
	for _, h := range holds {
		names = append(names, h.Kind+" "+h.Where)
	}
	return names
}
