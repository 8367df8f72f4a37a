package proof_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

var auditPage = figuresPage{
	raw: "../../docs/raw/audit-*.json", path: "../../docs/guarantees.md",
	begin: "<!-- figures: audit, made by `make figures` -->", end: "<!-- figures end -->",
}

// scaleResult is what TestAuditAtScale leaves.
type scaleResult struct {
	Began   time.Time  `json:"began"`
	Command string     `json:"command"`
	Version string     `json:"version"`
	Kafka   string     `json:"kafka"`
	Go      string     `json:"go"`
	Machine string     `json:"machine"`
	Audits  []auditRun `json:"audits"`
}

// auditRun is the built program's audit as a process: Memory is the most that it
// ever had, as the kernel kept it (VmHWM).
type auditRun struct {
	History  string                  `json:"history"`
	Args     []string                `json:"args"`
	Seconds  float64                 `json:"seconds"`
	CPU      float64                 `json:"cpu_seconds"`
	Memory   int64                   `json:"most_memory_bytes"`
	ExitCode int                     `json:"exit_code"`
	Verdict  proof.Verdict           `json:"verdict"`
	Requests int64                   `json:"requests"`
	New      *int64                  `json:"new_violations,omitempty"`
	Named    map[proof.Kind][]string `json:"named"`
}

// renderAudits is a table of all audits, a row each.
func renderAudits(results []scaleResult) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| history | requests | verdict, exit code | named | most memory | CPU | time |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	for _, r := range results {
		for _, a := range r.Audits {
			fmt.Fprintf(&b, "| %s | %d | %s, %d | %s | %d MiB | %.1f s | %.1f s |\n",
				a.History, a.Requests, a.Verdict, a.ExitCode, a.namedText(), a.Memory>>20, a.CPU, a.Seconds)
		}
	}
	fmt.Fprintln(&b)
	for _, r := range results {
		fmt.Fprintf(&b, "%s: %s, %s, %s, %s; `%s`\n", r.Began.UTC().Format("2006-01-02"), r.Version, r.Kafka, r.Go, r.Machine, r.Command)
	}
	return b.String()
}

// namedText leaves out what a run puts before its topics' names.
func (a auditRun) namedText() string {
	var parts []string
	for _, kind := range []proof.Kind{proof.Lost, proof.Doubled, proof.Untrue} {
		for _, source := range a.Named[kind] {
			parts = append(parts, fmt.Sprintf("%s `%s`", kind, source[strings.LastIndexByte(source, '.')+1:]))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func TestAuditFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, auditPage, func(texts [][]byte) string {
		var results []scaleResult
		for _, text := range texts {
			var r scaleResult
			require.NoError(t, json.Unmarshal(text, &r))
			results = append(results, r)
		}
		return renderAudits(results)
	})
}

func TestAuditFiguresTellEveryAudit(t *testing.T) {
	text := renderAudits([]scaleResult{{Version: "v1", Audits: []auditRun{
		{History: "control", Requests: 7, Verdict: proof.Balanced, Memory: 5 << 20, CPU: 1, Seconds: 2},
		{History: "planted", Verdict: proof.Violated, ExitCode: 3, Named: map[proof.Kind][]string{proof.Lost: {"Test.x.store/0/5"}}},
	}}})

	require.Contains(t, text, "| control | 7 | balanced, 0 | nothing | 5 MiB | 1.0 s | 2.0 s |")
	require.Contains(t, text, "| violated, 3 | lost `store/0/5` |")
}
