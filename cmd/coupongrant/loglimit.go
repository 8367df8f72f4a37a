package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// limitedHandler lets no line flood the log: of lines that say the same it lets
// logBurst through in each logPeriod, and tells with the next how many it has kept
// back. Lines say the same if their text is, and the attributes that are part of it
// (sameAttrs): a partition that goes wrong must not hide what another waits for.
type limitedHandler struct {
	slog.Handler

	of    string // the component
	lines *loggedLines
}

const (
	logBurst  = 10
	logPeriod = time.Minute
	logKinds  = 1000 // that are told apart at once; beyond that they are counted anew
)

// sameAttrs are attributes whose values make two lines different in kind: a
// hold's, and the Kafka client's own text.
var sameAttrs = map[string]bool{"hold": true, "where": true, "message": true}

// loggedLines are shared by all handlers that come from one.
type loggedLines struct {
	mu    sync.Mutex
	kinds map[lineKind]*lineCount
}

type lineKind struct {
	level           slog.Level
	component, text string
}

type lineCount struct {
	since      time.Time
	let        int // through, since then
	suppressed int
}

func newLimitedHandler(h slog.Handler) *limitedHandler {
	return &limitedHandler{Handler: h, lines: &loggedLines{kinds: map[lineKind]*lineCount{}}}
}

func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo { // somebody wants to see everything
		return h.Handler.Handle(ctx, r)
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if sameAttrs[a.Key] {
			text += "\x00" + a.Value.String()
		}
		return true
	})
	suppressed, let := h.lines.let(lineKind{r.Level, h.of, text}, r.Time)
	if !let {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.Handler.Handle(ctx, r)
}

// let says whether a line may pass, and how many like it did not since the last.
func (l *loggedLines) let(kind lineKind, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := l.kinds[kind]
	if count == nil {
		if len(l.kinds) >= logKinds {
			clear(l.kinds)
		}
		count = &lineCount{since: now}
		l.kinds[kind] = count
	}
	if now.Sub(count.since) >= logPeriod {
		count.since, count.let = now, 0
	}
	if count.let >= logBurst {
		count.suppressed++
		return 0, false
	}
	count.let++
	suppressed, count.suppressed = count.suppressed, 0
	return suppressed, true
}

func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := h.of
	for _, a := range attrs {
		if a.Key == "component" {
			of = a.Value.String()
		}
	}
	return &limitedHandler{Handler: h.Handler.WithAttrs(attrs), of: of, lines: h.lines}
}

func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithGroup(name), of: h.of, lines: h.lines}
}
