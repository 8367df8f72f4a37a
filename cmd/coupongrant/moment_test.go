package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMomentsAreReadAsPeopleSayThem(t *testing.T) {
	zone := time.FixedZone("UTC+8", 8*60*60)
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                     {},
		"90m":                  now.Add(-90 * time.Minute),
		"0s":                   now,
		"2026-11-25T10:00:00Z": time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC),
		"2026-11-25 10:00":     time.Date(2026, 11, 25, 10, 0, 0, 0, zone),
		"2026-11-25 10:00:30":  time.Date(2026, 11, 25, 10, 0, 30, 0, zone),
		"2026-11-25":           time.Date(2026, 11, 25, 0, 0, 0, 0, zone),
	} {
		got, err := parseMoment("--since", text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %v", text, got)
	}
	for _, text := range []string{"soon", "-5m", "25.11.2026", "5", "2026-13-01"} {
		_, err := parseMoment("--since", text, now)
		require.ErrorContains(t, err, `--since is "`+text+`": say how long ago`)
	}
}
