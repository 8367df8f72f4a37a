package main

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// flood is what brokers that are gone make of the Kafka client's log.
func flood(log *slog.Logger, lines int) {
	client := kafkaLogger{log.With("component", "kafka")}
	for i := range lines {
		client.Log(kgo.LogLevelWarn, "unable to open connection to broker", "addr", "broker-"+strconv.Itoa(i))
	}
}

func TestFloodOfOneKindLeavesRoomForOthers(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(LogConfig{Level: "info", Format: "json"}, &out)
	flood(log, 100_000)
	require.Equal(t, logBurst, strings.Count(out.String(), "\n"))

	processor := log.With("component", "processor")
	for i := range 2 * logBurst {
		processor.Warn("waiting", "hold", "topic", "where", "store/"+strconv.Itoa(i), "reason", "it is gone")
	}
	require.Equal(t, 3*logBurst, strings.Count(out.String(), "\n"), "each hold is a line of its own")
	log.With("component", "other").Warn("kafka client", "message", "unable to open connection to broker")
	require.Equal(t, 3*logBurst+1, strings.Count(out.String(), "\n"), "another component too")
}

// The control: without the limit the same flood is all written.
func TestFloodIsOneWithoutTheLimit(t *testing.T) {
	var out bytes.Buffer
	flood(slog.New(slog.NewJSONHandler(&out, nil)), 1000)
	require.Equal(t, 1000, strings.Count(out.String(), "\n"))
}

func TestWhatWasKeptBackIsToldWithTheNextLine(t *testing.T) {
	lines := &loggedLines{kinds: map[lineKind]*lineCount{}}
	at, kind := time.Unix(1000, 0), lineKind{text: "waiting"}
	for i := range 25 {
		_, ok := lines.let(kind, at.Add(time.Duration(i)*time.Second))
		require.Equal(t, i < logBurst, ok)
	}
	suppressed, ok := lines.let(kind, at.Add(logPeriod))
	require.True(t, ok)
	require.Equal(t, 25-logBurst, suppressed)
	suppressed, _ = lines.let(kind, at.Add(logPeriod))
	require.Zero(t, suppressed, "told once")
}

func TestKindsOfLinesAreBounded(t *testing.T) {
	lines := &loggedLines{kinds: map[lineKind]*lineCount{}}
	for i := range 3 * logKinds {
		lines.let(lineKind{text: strconv.Itoa(i)}, time.Unix(0, 0))
	}
	require.LessOrEqual(t, len(lines.kinds), logKinds)
}
