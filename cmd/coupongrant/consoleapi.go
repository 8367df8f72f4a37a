package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/schemas"
)

// memory is what this replica remembers of requests, for the console. Its
// functions are set before it serves.
type memory struct {
	recent  func(limit int) []processor.Trail
	letters func(limit int) []processor.Trail
	find    func(requestID string) []processor.Trail
	topics  *scanning // for what it does not remember
	flags   string    // by which another command finds what this process works with
}

// newMemory remembers nothing until it is told how.
func newMemory(flags string, scan topicScan) memory {
	nothing := func(int) []processor.Trail { return nil }
	return memory{
		recent: nothing, letters: nothing, find: func(string) []processor.Trail { return nil },
		topics: &scanning{scan: scan}, flags: flags,
	}
}

func (m *memory) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/recent", m.recentEnds)
	mux.HandleFunc("GET /api/dead-letters", m.deadLetters)
	mux.HandleFunc("GET /api/requests", m.request) // ?id=, for ids that no path can hold, such as ".."
	mux.HandleFunc("GET /api/requests/{id}", m.request)
}

const (
	defaultLimit = 50
	mostLimit    = 1000
)

func (m *memory) recentEnds(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	answer(w, http.StatusOK, struct {
		Recent []processor.Trail `json:"recent"`
	}{trailsOf(m.recent(limit))})
}

// deadLetter is one of this replica's, and how a person puts it back.
type deadLetter struct {
	RequestID string     `json:"request_id"` // empty: it could not be decoded
	Source    string     `json:"source"`
	Reason    string     `json:"reason"`
	Error     string     `json:"error"`
	At        *time.Time `json:"at"`
	Attempts  int        `json:"attempts"`
	InDoubt   bool       `json:"in_doubt"`
	Command   string     `json:"command"` // a dry run: it says what --yes would do; empty: a replay would not help
}

func (m *memory) deadLetters(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	letters := []deadLetter{}
	for _, t := range m.letters(limit) {
		letters = append(letters, deadLetter{
			RequestID: t.RequestID, Source: t.Source, Reason: t.Reason, Error: t.Detail, At: t.EndedAt,
			Attempts: t.Attempts, InDoubt: t.InDoubt, Command: m.replayCommand(t),
		})
	}
	answer(w, http.StatusOK, struct {
		DeadLetters []deadLetter `json:"dead_letters"`
	}{letters})
}

func (m *memory) request(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if id == "" {
		id = r.URL.Query().Get("id")
	}
	if id == "" {
		http.Error(w, "name a request: /api/requests/ID, or ?id=ID", http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("scan") == "1" {
		m.topics.serve(w, r, id)
		return
	}
	answer(w, http.StatusOK, struct {
		RequestID string            `json:"request_id"`
		Trails    []processor.Trail `json:"trails"`
	}{id, trailsOf(m.find(id))})
}

func limitOf(w http.ResponseWriter, r *http.Request) (int, bool) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, true
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > mostLimit {
		http.Error(w, fmt.Sprintf("limit is %q: use 1 to %d", text, mostLimit), http.StatusBadRequest)
		return 0, false
	}
	return limit, true
}

// trailsOf is never null in JSON.
func trailsOf(trails []processor.Trail) []processor.Trail {
	if trails == nil {
		return []processor.Trail{}
	}
	return trails
}

// replayCommand is for a person's shell, and the source of what was parked is a
// header that anyone who may write to the retry topic has a hand in.
func (m *memory) replayCommand(t processor.Trail) string {
	if t.Reason == string(schemas.ConflictingRequest) {
		return "" // it is never put back
	}
	return "coupongrant dead-letters replay --source " + shellWord(t.Source) + m.flags
}

// flagsToReach gives the flags by which another command finds the same brokers, topics
// and registry, and is let in: the file of this process, and what does not stand in
// it. Secrets are for the person to give.
func flagsToReach(cfg Config) string {
	flags := ""
	for _, from := range cfg.Origins {
		if file, ok := strings.CutPrefix(from, "file "); ok {
			flags = " --config " + shellWord(file)
			break
		}
	}
	base := defaultConfig()
	usual := map[string]string{}
	for _, s := range base.settings() {
		usual[s.key] = s.value.String()
	}
	for _, s := range cfg.settings() {
		text := s.value.String()
		from := cfg.Origins[s.key]
		if !leadsThere(s.key) || s.secret || strings.HasPrefix(from, "file ") {
			continue
		}
		if from == "" && text == usual[s.key] { // one that was set may be a default again, over a file that says something else
			continue
		}
		between := " "
		if _, isBool := s.value.(scalar[bool]); isBool {
			between = "=" // or else the word after the flag is none of its own
		}
		flags += " --" + s.key + between + shellWord(text)
	}
	return flags
}

// leadsThere says that a setting is one of where the cluster is and of how to get in.
func leadsThere(key string) bool {
	switch section(key) {
	case "registry", "topics":
		return true
	}
	return key == "kafka.brokers" || key == "kafka.group" || key == "insecure.accept" ||
		strings.HasPrefix(key, "kafka.tls.") || strings.HasPrefix(key, "kafka.sasl.")
}
