package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

func TestDeadLettersAreChosen(t *testing.T) {
	s := newSite(t).ready().learn()
	first := s.ask("request-a")
	s.dead(first, "invalid-request", s.value("request-a", 247))
	s.dead(s.ask("request-b"), "grant-unknown", s.value("request-b", 247), head(headerInDoubt, "true"))
	s.dead(s.ask("request-c"), "undecodable", []byte("not a request "+proof.Canary))
	s.dead(s.ask("request-d"), "too-large", []byte{}, head(headerValueSize, "3000000"))
	where := map[string]position{}
	for _, r := range s.visible(defaultConfig().Processor.Topics.DeadLetter) {
		one := letterOf(r)
		where[one.Reason] = one.position()
	}
	at := where["grant-unknown"]
	for name, row := range map[string]struct {
		give []string
		want []string // reasons
	}{
		"all, oldest first": {nil, []string{"invalid-request", "grant-unknown", "undecodable", "too-large"}},
		"by reason":         {[]string{"--reason", "grant-unknown,too-large"}, []string{"grant-unknown", "too-large"}},
		"by request":        {[]string{"--request-id", "request-b"}, []string{"grant-unknown"}},
		"by source":         {[]string{"--source", first}, []string{"invalid-request"}},
		"so many":           {[]string{"--limit", "2"}, []string{"invalid-request", "grant-unknown"}},
		"since":             {[]string{"--since", "1h"}, []string{"invalid-request", "grant-unknown", "undecodable", "too-large"}},
		"not since":         {[]string{"--since", "2099-01-01"}, nil},
		"until":             {[]string{"--until", "1h"}, nil},
		"by place":          {[]string{"--partition", partitionOf(at), "--offset", offsetOf(at)}, []string{"grant-unknown"}},
		"by another place":  {[]string{"--partition", partitionOf(at), "--offset", "1000-"}, nil},
		"of no partition":   {[]string{"--partition", "77"}, nil},
		"two choices":       {[]string{"--reason", "undecodable", "--request-id", "request-b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run("", append([]string{"dead-letters", "list", "--json"}, row.give...)...)
			require.Equal(t, exitDone, got.code, got.stderr)
			var reasons []string
			for line := range strings.Lines(got.stdout) {
				var one letter
				require.NoError(t, json.Unmarshal([]byte(line), &one))
				reasons = append(reasons, one.Reason)
			}
			require.Equal(t, row.want, reasons)
			text := s.run("", append([]string{"dead-letters", "list"}, row.give...)...)
			require.Equal(t, exitDone, text.code, text.stderr)
			require.Equal(t, len(row.want), strings.Count(text.stdout, "why it is dead"))
			require.NotContains(t, got.stdout+got.stderr+text.stdout+text.stderr, proof.Canary)
		})
	}
	text := s.run("", "dead-letters", "list").stdout
	require.Contains(t, text, at.String()+"  grant-unknown  request request-b")
	require.Contains(t, text, "0 attempts, in doubt")
	require.Contains(t, text, "4 dead letters: 1 grant-unknown, 1 invalid-request, 1 too-large, 1 undecodable")

	s.reach[3] = "http://127.0.0.1:1"
	deaf := s.run("", "dead-letters", "list")
	require.Equal(t, exitDone, deaf.code, "the registry is only asked for the request ids")
	require.Contains(t, deaf.stderr, "request ids are not shown: registry.url is http://127.0.0.1:1")
	require.Equal(t, 1, strings.Count(deaf.stderr, "\n"))
	require.Contains(t, deaf.stdout, "4 dead letters")
	require.Equal(t, exitFailed, s.run("", "dead-letters", "list", "--request-id", "request-b").code)
}

func partitionOf(p position) string { return strings.Split(p.String(), "/")[1] }
func offsetOf(p position) string    { return strings.Split(p.String(), "/")[2] }

func TestWrongChoicesAreRefused(t *testing.T) {
	for says, give := range map[string][]string{
		`--reason is "bogus": use undecodable, unknown-schema, invalid-request`: {"--reason", "bogus"},
		`--since is "soon"`:  {"--since", "soon"},
		`--until is "later"`: {"--until", "later"},
		"--until is 24h, which is not after --since (1h)": {"--since", "1h", "--until", "24h"},
		"--limit is -1":             {"--limit", "-1"},
		"--partition is -7":         {"--partition", "-7"},
		"--offset needs":            {"--offset", "3"},
		`--offset is "7-3"`:         {"--partition", "0", "--offset", "7-3"},
		`--offset is "x"`:           {"--partition", "0", "--offset", "x"},
		`--source is "store-1"`:     {"--source", "store-1"},
		"--request-id: the request": {"--request-id", strings.Repeat("x", 65)},
	} {
		for _, command := range []string{"list", "replay"} {
			got := runWith(t, "", append([]string{"dead-letters", command}, give...)...)
			require.Equal(t, exitUsage, got.code, says)
			require.Contains(t, got.stderr, says)
		}
	}
	for _, rate := range []string{"0", "-1", "NaN", "1e9"} {
		got := runWith(t, "", "dead-letters", "replay", "--rate", rate)
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.stderr, "--rate is")
	}
}
