package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// commandsOf are the commands of a page: the lines of its sh blocks, and what stands
// in the text as `coupongrant ...` with something to do.
func commandsOf(page string) (commands []string) {
	for at, part := range strings.Split(page, "```") {
		if at%2 == 0 {
			for _, found := range regexp.MustCompile("`(coupongrant [a-z][^`]*)`").FindAllStringSubmatch(part, -1) {
				commands = append(commands, found[1])
			}
			continue
		}
		block, _ := strings.CutPrefix(part, "sh\n")
		for line := range strings.Lines(block) {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	return commands
}

func runbookCommands(t *testing.T) map[string]string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	require.NoError(t, err)
	all := map[string]string{} // a page that it stands on
	for _, page := range pages {
		commands := commandsOf(fileText(t, page))
		require.NotEmpty(t, commands, page)
		for _, command := range commands {
			all[command] = filepath.Base(page)
		}
	}
	return all
}

// What a runbook tells an engineer to run does run, as it stands.
func TestOurCommandsInTheRunbooksWork(t *testing.T) {
	s := newSite(t).ready().learn()
	const id = "checkout-5f3a-0001289"
	source := s.ask(id)
	s.dead(source, "grant-unknown", s.value(id, 247))
	secret := writeFile(t, "secret")
	ran := 0
	for command, page := range runbookCommands(t) {
		args := strings.Fields(strings.SplitN(command, " | ", 2)[0])
		if args[0] != "coupongrant" {
			continue
		}
		ran++
		if strings.Contains(command, " --") { // more than the name of a command
			require.Contains(t, command, " --config /etc/coupongrant.yaml", "%s: or it asks a cluster on this machine", page)
		}
		for i := range args {
			switch args[i] {
			case "ID":
				args[i] = id
			case "/etc/coupongrant.yaml":
				args[i] = writeFile(t, "kafka:\n  group: coupongrant\n")
			}
		}
		switch args[1] {
		case "tail": // it goes on until somebody ends it
			args = append(args, "--to-end")
		case "doctor", "config":
			args = append(args, "--gateway.app_key", "42", "--gateway.app_secret_file", secret, "--gateway.session_file", secret)
		}
		got := s.run("", args[1:]...)
		if args[1] == "doctor" || args[1] == "audit" { // their code tells what they find of this site
			require.NotEqual(t, 2, got.code, "%s: %s: %s", page, command, got.stderr)
			continue
		}
		require.Equal(t, exitDone, got.code, "%s: %s: %s", page, command, got.stderr)
	}
	require.Greater(t, ran, 10)
}

// Every trouble that the alert can name has its mend.
func TestRunbookOfTroubleNamesEveryKind(t *testing.T) {
	kinds := regexp.MustCompile("`([a-z-]+)`")
	var named []string
	for line := range strings.Lines(fileText(t, filepath.Join(runbooks, "CouponGrantAppTrouble.md"))) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			for _, found := range kinds.FindAllStringSubmatch(cells[1], -1) {
				named = append(named, found[1])
			}
		}
	}
	var exposed []string
	_, values, _ := strings.Cut(pageRows(t)["coupongrant_app_trouble"].labels, ":")
	for _, found := range kinds.FindAllStringSubmatch(values, -1) {
		exposed = append(exposed, found[1])
	}
	require.NotEmpty(t, exposed)
	require.ElementsMatch(t, append(exposed, "trouble"), named, "the heading is a cell too")
}

// What a runbook looks for in the metrics is there.
func TestMetricsThatRunbooksLookForAreExposed(t *testing.T) {
	rows := pageRows(t)
	pattern := regexp.MustCompile(`/metrics \| grep (?:-E )?['"]?([^'"]+)['"]?$`)
	looked := 0
	for command, page := range runbookCommands(t) {
		found := pattern.FindStringSubmatch(command)
		if found == nil {
			require.NotContains(t, command, "/metrics", page)
			continue
		}
		looked++
		for _, word := range strings.Split(regexp.MustCompile(`\(.*\)`).ReplaceAllString(found[1], ""), "|") {
			require.True(t, slices.ContainsFunc(sortedKeys(rows), func(name string) bool { return strings.Contains(name, strings.TrimSuffix(word, "_")) }),
				"%s: no metric holds %q", page, word)
		}
	}
	require.Greater(t, looked, 5)
}
