package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// Every command that looks into the topics or at the set-up, as text, as JSON
// and failing, over records whose values hold an open_id, with secrets in the
// environment and in files: none of it may be in what people see.
func TestNoCommandShowsAnOpenIDOrASecret(t *testing.T) {
	t.Setenv("COUPONGRANT_REGISTRY_USER", "coupongrant")
	t.Setenv("COUPONGRANT_REGISTRY_PASSWORD", canary)
	s := newSite(t).ready().learn()
	topics := defaultConfig().Processor.Topics
	const id = "request-canary"
	source := s.ask(id)
	value := s.value(id, 247)
	require.Contains(t, string(value), proof.Canary, "it must be there to be found")
	s.write(topics.Retry, value, head(headerSource, source), head(headerAttempts, "3"), head(headerNextAt, rfc3339(time.Now())))
	s.dead(source, "invalid-request", value)
	s.dead(s.write(topics.Store, value[:len(value)-1]), "undecodable", value[:len(value)-1])
	s.dead(s.write(topics.Store, []byte(proof.Canary)), "undecodable", []byte(proof.Canary))
	s.grant(id, s.ask(id, head(headerReplayOf, source)), 7)
	s.end(topics.Granted, source, value) // a request where an outcome should be

	dir := t.TempDir()
	secret, session := filepath.Join(dir, "secret"), filepath.Join(dir, "session")
	require.NoError(t, os.WriteFile(secret, []byte(canary), 0o644))
	require.NoError(t, os.WriteFile(session, []byte(canary), 0o600))
	gateway := []string{"--gateway.url", "http://127.0.0.1:1/router/rest", "--gateway.app_key", "42", "--gateway.app_secret_file", secret, "--gateway.session_file", session}
	broken := writeFile(t, "gateway:\n  app_secret: "+canary+"\nkafka:\n  group: ["+canary+"]\n")
	commands := [][]string{
		{"request", id},
		{"request", proof.Canary + "x"},
		{"dead-letters", "list"},
		{"dead-letters", "list", "--request-id", id},
		{"dead-letters", "replay"},
		{"dead-letters", "replay", "--yes"},
		{"dead-letters", "replay", "--yes", "--again", "--limit", "1"},
		append([]string{"doctor"}, gateway...),
		{"tail", "--from-start", "--limit", "5"},
		{"tail", "--to-end"},
		{"audit"},
	}
	for _, args := range slices.Clone(commands) {
		commands = append(commands, append(slices.Clip(args), "--json"))
	}
	check := func(site string, args []string, got ran) {
		said := got.stdout + got.stderr
		require.NotEmpty(t, said, "%s: %v", site, args)
		require.NotContains(t, said, canary, "%s: %v", site, args)
		if !slices.Contains(args, proof.Canary+"x") { // who asks for it has it
			require.NotContains(t, said, proof.Canary, "%s: %v", site, args)
		}
	}
	for _, args := range commands {
		check("sound", args, s.run("", args...))
	}
	registry := s.reach[3]
	s.reach[3] = "http://127.0.0.1:1"
	patient := slices.DeleteFunc(slices.Clone(commands), func(args []string) bool {
		return slices.Contains(args, "--from-start") // it waits for the registry, and says so, for ever
	})
	for i, got := range s.runAtOnce(patient) {
		check("no registry", patient[i], got)
	}
	s.reach[3], s.reach[1] = registry, "127.0.0.1:1"
	for i, got := range s.runAtOnce(commands) {
		check("no brokers", commands[i], got)
	}
	for _, args := range [][]string{{"doctor", "--config", broken}, {"doctor", "--json", "--config", broken}} {
		check("broken settings", args, s.run("", args...))
	}
}

// runAtOnce runs commands that each wait for somebody who is not there.
func (s *site) runAtOnce(commands [][]string) []ran {
	s.Helper()
	got := make([]ran, len(commands))
	var wg sync.WaitGroup
	for i, args := range commands {
		wg.Go(func() { got[i] = s.run("", slices.Clip(args)...) })
	}
	wg.Wait()
	return got
}

// What a value, a header or an answer holds cannot move the cursor of a person
// who looks at it.
func TestNoCommandLetsRecordsMoveTheCursor(t *testing.T) {
	s := newSite(t).ready().learn()
	const id = "request-\x1b[2J-clear"
	source := s.ask(id)
	s.dead(source, "invalid-request", s.value(id, 247))
	s.dead("x\x1b[2J/0/0", "re\x1b[2Jason", s.value(id, 247))
	for _, args := range [][]string{
		{"request", id},
		{"dead-letters", "list"},
		{"dead-letters", "replay"},
		{"tail", "--from-start", "--limit", "2"},
	} {
		got := s.run("", args...)
		require.Equal(t, exitDone, got.code, got.stderr)
		require.NotContains(t, got.stdout+got.stderr, "\x1b", args[0])
		require.Contains(t, got.stdout, `\x1b`, fmt.Sprint(strings.Join(args, " ")))
	}
}
