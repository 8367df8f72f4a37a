package main

import (
	"io"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/fx/fxevent"
)

// newLogger writes to w, and lets no line flood it. The text form quotes what could break a line.
func newLogger(cfg LogConfig, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // one of four words
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		return slog.New(newLimitedHandler(slog.NewTextHandler(w, options)))
	}
	return slog.New(newLimitedHandler(slog.NewJSONHandler(w, options)))
}

// quiet is for commands that say themselves, in one sentence, what is wrong.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// graphLogger tells at debug what fx does, and what it could not do.
func graphLogger(log *slog.Logger) fxevent.Logger {
	graph := &fxevent.SlogLogger{Logger: log.With("component", "graph")}
	graph.UseLogLevel(slog.LevelDebug)
	graph.UseErrorLevel(slog.LevelDebug) // the error itself is returned, and told once
	return graph
}

// kafkaLogger hears of the Kafka client what is a warning or worse. Below that
// the client prints requests.
type kafkaLogger struct{ log *slog.Logger }

func (kafkaLogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (k kafkaLogger) Log(level kgo.LogLevel, msg string, pairs ...any) {
	if level == kgo.LogLevelError {
		k.log.Error("kafka client", append([]any{"message", msg}, pairs...)...)
		return
	}
	k.log.Warn("kafka client", append([]any{"message", msg}, pairs...)...)
}
