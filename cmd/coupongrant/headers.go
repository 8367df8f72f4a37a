package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers of the program's records, as the outside world relies on them.
const (
	headerSource       = "coupongrant-source"
	headerReason       = "coupongrant-reason"
	headerError        = "coupongrant-error"
	headerAttempts     = "coupongrant-attempts"
	headerFirstAttempt = "coupongrant-first-attempt-at"
	headerInDoubt      = "coupongrant-in-doubt"
	headerNextAt       = "coupongrant-next-at"
	headerFailedAt     = "coupongrant-failed-at"
	headerValueSize    = "coupongrant-value-size"
	headerReplayOf     = "coupongrant-replay-of"
)

// maxText bounds what is kept of a text of others, as memory has to hold many. All that
// the program itself writes into the headers above is shorter; its coupongrant-attempt-log,
// which may take some KiB, is read by the processor alone.
const maxText = 512

// beginning holds nothing else of the text in memory.
func beginning[T string | []byte](text T) string {
	return strings.Clone(string(text[:min(len(text), maxText)]))
}

// header of a record, its beginning; empty if it has none of the name.
func header(r *kgo.Record, name string) string {
	at := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
	if at < 0 {
		return ""
	}
	return beginning(r.Headers[at].Value)
}

// headerCount is nil where a header is no number.
func headerCount(r *kgo.Record, name string) *int {
	n, err := strconv.Atoi(header(r, name))
	if err != nil {
		return nil
	}
	return &n
}

// headerTime is nil where a header is no time.
func headerTime(r *kgo.Record, name string) *time.Time {
	at, err := time.Parse(time.RFC3339, header(r, name))
	if err != nil {
		return nil
	}
	return &at
}

// rfc3339 is how headers say a time.
func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
