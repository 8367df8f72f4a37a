package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// topicScan reads the topics for a request id, and tells how far it is.
type topicScan func(ctx context.Context, id string, progress func(read, total int64)) (requestTrace, error)

// newTopicScan reads what this process is configured for.
func newTopicScan(cfg Config) topicScan {
	return func(ctx context.Context, id string, progress func(read, total int64)) (requestTrace, error) {
		l, err := newLookup(cfg, kafkaOptions(cfg, quiet()))
		if err != nil {
			return requestTrace{}, err
		}
		defer l.close()
		return l.find(ctx, id, progress)
	}
}

// scanning lets one scan run at a time: each reads all the topics keep, over the
// same network as the requests.
type scanning struct {
	scan topicScan
	busy sync.Mutex
}

// progressEvery is how often a person is told how far it is.
const progressEvery = 250 * time.Millisecond

// serve answers in lines of JSON as the scan goes on: {"read","total"}, at last
// {"trace"} or {"error"}. It ends when who asked goes away.
func (s *scanning) serve(w http.ResponseWriter, r *http.Request, id string) {
	if !s.busy.TryLock() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "another search of the topics is under way at this replica: try again when it is done", http.StatusTooManyRequests)
		return
	}
	defer s.busy.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	stillAnswering(w)
	lines := &lineWriter{to: w}
	trace, err := s.scan(r.Context(), id, lines.progress)
	if err != nil {
		lines.write(map[string]string{"error": withMend(err).Error()})
		return
	}
	lines.write(map[string]requestTrace{"trace": trace})
}

// lineWriter writes each value as a line that goes out at once.
type lineWriter struct {
	to   http.ResponseWriter
	last time.Time // of the progress that was told
}

func (l *lineWriter) progress(read, total int64) {
	if time.Since(l.last) < progressEvery {
		return
	}
	l.last = time.Now()
	l.write(map[string]int64{"read": read, "total": total})
}

func (l *lineWriter) write(v any) {
	stillAnswering(l.to)
	text, err := json.Marshal(v)
	if err != nil {
		text, _ = json.Marshal(map[string]string{"error": "the answer cannot be written: " + err.Error()})
	}
	_, _ = l.to.Write(append(text, '\n')) // an error means that the caller left
	_ = http.NewResponseController(l.to).Flush()
}
