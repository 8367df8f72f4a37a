package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	dashboardFile = "../../deploy/grafana/coupongrant.json"
	rulesFile     = "../../deploy/prometheus/rules.yaml"
	ruleTestsFile = "../../deploy/prometheus/rules_test.yaml"
	runbooks      = "../../docs/runbooks"
)

type alertRule struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct {
		Summary    string
		RunbookURL string `yaml:"runbook_url"`
	}
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alertRule } }
	require.NoError(t, yaml.Unmarshal([]byte(fileText(t, rulesFile)), &file))
	require.Len(t, file.Groups, 1)
	require.NotEmpty(t, file.Groups[0].Rules)
	return file.Groups[0].Rules
}

func fileText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// panelQueries are the expressions of the dashboard.
func panelQueries(t *testing.T) []string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal([]byte(fileText(t, dashboardFile)), &dashboard))
	var all []string
	for _, panel := range dashboard.Panels {
		require.NotEqual(t, panel.Type != "row", len(panel.Targets) == 0, "panel %q shows nothing", panel.Title)
		for _, target := range panel.Targets {
			all = append(all, target.Expr)
		}
	}
	return append(all, dashboard.Annotations.List[0].Expr)
}

var (
	metricInQuery = regexp.MustCompile(`\b((?:coupongrant|go|process)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	labelInQuery  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	rowOfMetric   = regexp.MustCompile("(?m)^\\| `(coupongrant_[a-z0-9_]+)` \\| ([a-z]+) \\| ([^|]*) \\|")
)

type metricRow struct{ kind, labels string }

// pageRows are what the page, which a test keeps current, says that the program
// exposes.
func pageRows(t *testing.T) map[string]metricRow {
	t.Helper()
	rows := map[string]metricRow{}
	for _, row := range rowOfMetric.FindAllStringSubmatch(fileText(t, metricsPage), -1) {
		rows[row[1]] = metricRow{row[2], row[3]}
	}
	require.NotEmpty(t, rows)
	return rows
}

// unknownIn says what of a query the program does not expose; empty: nothing.
func unknownIn(query string, rows map[string]metricRow) string {
	for _, found := range metricInQuery.FindAllStringSubmatch(query, -1) {
		name := found[1]
		if name == "go_goroutines" || name == "process_cpu_seconds_total" || name == "process_resident_memory_bytes" {
			continue // of the standard collectors
		}
		row, ok := rows[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if of, cut := strings.CutSuffix(name, suffix); cut && !ok {
				row, ok = rows[of]
				ok = ok && row.kind == "histogram"
			}
		}
		if !ok {
			return name
		}
		for _, label := range labelInQuery.FindAllStringSubmatch(found[2], -1) {
			if label[1] == "job" || label[1] == "instance" {
				continue // of the scrape configuration
			}
			for _, value := range strings.Split(label[2], "|") {
				if !strings.Contains(row.labels, "`"+label[1]+"`") || !strings.Contains(row.labels, "`"+value+"`") {
					return name + "{" + label[1] + "=" + value + "}"
				}
			}
		}
	}
	return ""
}

func TestDashboardAndRulesNameOnlyWhatIsExposed(t *testing.T) {
	rows := pageRows(t)
	for _, query := range panelQueries(t) {
		require.Empty(t, unknownIn(query, rows), query)
		require.Regexp(t, metricInQuery, query)
	}
	for _, rule := range alertRules(t) {
		require.Empty(t, unknownIn(rule.Expr, rows), rule.Alert)
		require.Regexp(t, metricInQuery, rule.Expr)
	}
	for query, says := range map[string]string{ // what it can see
		`sum(coupongrant_nothing)`:                          "coupongrant_nothing",
		`coupongrant_holds{reason="no-such"} > 0`:           "coupongrant_holds{reason=no-such}",
		`coupongrant_holds{kind="app"}`:                     "coupongrant_holds{kind=app}",
		`rate(coupongrant_outcomes_total_bucket{job="a"})`:  "coupongrant_outcomes_total_bucket",
		`coupongrant_transactions_total{state=~"error|no"}`: "coupongrant_transactions_total{state=no}",
	} {
		require.Equal(t, says, unknownIn(query, rows))
	}
}

// Each alert says what is wrong and has a page of its own, and each page an
// alert.
func TestEachAlertHasItsRunbookAndItsTests(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	require.NoError(t, err)
	without := map[string]bool{}
	for _, page := range pages {
		without[strings.TrimSuffix(filepath.Base(page), ".md")] = true
	}
	tests := fileText(t, ruleTestsFile)
	for _, rule := range alertRules(t) {
		require.True(t, without[rule.Alert], "%s has no runbook, or two rules have its name", rule.Alert)
		delete(without, rule.Alert)
		require.Contains(t, []string{"critical", "warning"}, rule.Labels.Severity, rule.Alert)
		require.NotEmpty(t, rule.Annotations.Summary, rule.Alert)
		require.True(t, strings.HasSuffix(rule.Annotations.RunbookURL, "/docs/runbooks/"+rule.Alert+".md"), rule.Annotations.RunbookURL)
		require.Equal(t, 2, strings.Count(tests, "alertname: "+rule.Alert+"\n"), "%s has one case in which it fires and one in which not", rule.Alert)
		require.Regexp(t, "alertname: "+rule.Alert+"\n\\s+exp_alerts:\n", tests, "it fires")
		require.Regexp(t, "alertname: "+rule.Alert+"\n\\s+exp_alerts: \\[\\]\n", tests, "it does not")
		page := fileText(t, filepath.Join(runbooks, rule.Alert+".md"))
		for _, heading := range []string{"# " + rule.Alert, "## What it means", "## What is affected", "## First look", "## Mend", "## It is over when"} {
			require.Contains(t, page, heading+"\n", rule.Alert)
		}
		require.Contains(t, page, "```sh\n", "%s: exact commands", rule.Alert)
	}
	require.Empty(t, without, "pages without an alert")
}
