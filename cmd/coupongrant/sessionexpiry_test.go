package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
)

func TestExpiryIsATimeOrADateInBeijing(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"2027-02-28":                "2027-02-28T00:00:00+08:00",
		"2027-02-28T16:00:00Z":      "2027-02-28T16:00:00Z",
		"2027-02-28T16:00:00+08:00": "2027-02-28T16:00:00+08:00",
	} {
		cfg, err := load(t, "", nil, "--gateway.session_expires_at="+text)
		require.NoError(t, err)
		require.Equal(t, want, cfg.SessionExpiresAt.String())
		again, err := parseExpiry(cfg.SessionExpiresAt.String())
		require.NoError(t, err)
		require.True(t, again.Equal(cfg.SessionExpiresAt.Time))
	}
	for text, want := range map[string]string{ // as they stand in a file, quoted or not
		"2027-02-28":                "2027-02-28T00:00:00+08:00",
		`"2027-02-28"`:              "2027-02-28T00:00:00+08:00",
		"2027-02-28T16:00:00Z":      "2027-02-28T16:00:00Z",
		"2027-02-28T08:00:00+08:00": "2027-02-28T08:00:00+08:00",
	} {
		cfg, err := load(t, "gateway:\n  session_expires_at: "+text+"\n", nil)
		require.NoError(t, err, text)
		require.Equal(t, want, cfg.SessionExpiresAt.String(), text)
	}
	_, err := load(t, "", nil, "--gateway.session_expires_at=soon")
	require.ErrorContains(t, err, "gateway.session_expires_at")
	require.ErrorContains(t, err, "2027-02-28")
}

// watched runs the watch for a while, from so long before the session's end on,
// and returns what it logged and what the metric says then.
func watched(t *testing.T, before, lasts time.Duration) (lines []string, left float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out output
		registry := prometheus.NewRegistry()
		lc := fxtest.NewLifecycle(t)
		cfg := defaultConfig()
		cfg.SessionExpiresAt = expiry{time.Now().Add(before)}
		require.NoError(t, watchSession(fx.Lifecycle(lc), cfg, slog.New(slog.NewTextHandler(&out, nil)), registry))
		require.NoError(t, lc.Start(t.Context()))
		time.Sleep(lasts)
		synctest.Wait()
		families, err := registry.Gather()
		require.NoError(t, err)
		left = families[0].GetMetric()[0].GetGauge().GetValue()
		require.NoError(t, lc.Stop(context.WithoutCancel(t.Context())))
		lines = strings.Split(strings.TrimSpace(out.String()), "\n")
	})
	return lines, left
}

func TestSessionsEndIsWarnedOfAt14And7And3And1Days(t *testing.T) {
	lines, left := watched(t, 20*day, 30*day)
	require.Len(t, lines, 5, lines)
	for i, want := range []string{"days_left=14.0 ", "days_left=7.0 ", "days_left=3.0 ", "days_left=1.0 ", "has expired"} {
		require.Contains(t, lines[i], want)
		require.Contains(t, lines[i], "replace the content of gateway.session_file")
	}
	require.InDelta(t, (-10 * day).Seconds(), left, 1)
}

func TestSessionThatEndsSoonIsWarnedOfOnceAtTheStart(t *testing.T) {
	lines, left := watched(t, 5*day, time.Hour)
	require.Len(t, lines, 1, lines)
	require.Contains(t, lines[0], "days_left=5.0 ")
	require.InDelta(t, (5*day - time.Hour).Seconds(), left, 1)
}

func TestSessionWithoutAKnownEndIsNotWatched(t *testing.T) {
	registry := prometheus.NewRegistry()
	require.NoError(t, watchSession(fxtest.NewLifecycle(t), defaultConfig(), quiet(), registry))
	n, err := testutil.GatherAndCount(registry)
	require.NoError(t, err)
	require.Zero(t, n)
}
