//go:build integration

package proof_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// analystsPage holds the SQL and the reader that are tested: what stands there
// is what runs.
const analystsPage = "../../docs/analytics.md"

// pageBlock is the code block of the page that a comment names.
func pageBlock(t testing.TB, name string) string {
	t.Helper()
	page, err := os.ReadFile(analystsPage)
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "<!-- "+name+" -->\n```")
	require.True(t, found, "%s names no block %s", analystsPage, name)
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, found := strings.Cut(rest, "\n```\n")
	require.True(t, found)
	return block
}

// analyst answers by what the page says, in a folder of its own.
type analyst struct {
	*system
	folder string
}

func newAnalyst(s *system) *analyst { return &analyst{s, s.t.(*testing.T).TempDir()} }

func (a *analyst) file(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.folder, name)
	require.NoError(a.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// records reads the topics by the page's own reader.
func (a *analyst) records() string {
	a.t.Helper()
	ours := strings.NewReplacer(
		`"coupon-granted"`, `"`+a.topics.Granted+`"`, `"coupon-grant-failed"`, `"`+a.topics.Failed+`"`,
		`"coupon-grant-dead-letter"`, `"`+a.topics.DeadLetter+`"`,
		`"coupon-grant-requested.store"`, `"`+a.topics.Inputs[0]+`"`, `"coupon-grant-requested.loyalty"`, `"`+a.topics.Inputs[1]+`"`,
	)
	reader := a.file("records.py", ours.Replace(pageBlock(a.t, "file: records.py")))
	p := runProcess(a.t, nil, python(a.t), "-B", reader, strings.Join(a.brokers, ","), a.registry)
	require.Zero(a.t, p.wait(a.t, 2*patience), p.stderr.String())
	return p.stdout.String()
}

// asked is one question with its flags, and the page's query for it.
type asked struct {
	name      string
	flags     []string
	variables []string // of the page
	query     string
}

func questionsAsked(t testing.TB) []asked {
	t.Helper()
	byDay := pageBlock(t, "sql: time-to-grant")
	const day = "CAST(timezone(getvariable('zone'), granted_at) AS DATE) AS day"
	require.Contains(t, byDay, day)
	byChannel := strings.ReplaceAll(strings.ReplaceAll(byDay, day, "channel"), "day", "channel")
	all := []asked{{name: "time-to-grant", flags: []string{"--by", "channel"}, query: byChannel}, {name: "time-to-grant", query: byDay}}
	for _, name := range []string{"grants", "failures", "discount", "repeats"} {
		all = append(all, asked{name: name, query: pageBlock(t, "sql: "+name)})
	}
	periods := []struct{ flags, variables []string }{
		{},
		{[]string{"--since", "2026-11-11", "--until", "2026-11-12"}, []string{"since=2026-11-10 16:00:00+00", "until=2026-11-11 16:00:00+00"}},
		{[]string{"--since", "2026-11-11T16:00:00.001Z", "--time-zone", "America/New_York"}, []string{"since=2026-11-11 16:00:00.001+00", "zone=America/New_York"}},
	}
	var questions []asked
	for _, q := range all {
		for _, p := range periods {
			questions = append(questions, asked{q.name, append(p.flags, q.flags...), p.variables, q.query})
		}
	}
	return questions
}

// bySQL answers from lines that a reader wrote.
func (a *analyst) bySQL(q asked, lines string) [][]string {
	a.t.Helper()
	a.file("records.jsonl", lines)
	tables, query := a.file("tables.sql", pageBlock(a.t, "sql: tables")), a.file("query.sql", q.query)
	p := runProcess(a.t, nil, python(a.t), append([]string{"-B", filepath.Join(foreignClients, "query.py"), a.folder, tables, query}, q.variables...)...)
	require.Zero(a.t, p.wait(a.t, patience), p.stderr.String())
	return readCSV(a.t, p.stdout.String())
}

func (a *analyst) byReport(q asked) [][]string {
	a.t.Helper()
	text := a.do(append([]string{"report", q.name, "--csv"}, q.flags...)...)
	require.NotContains(a.t, text, "canaryOpenId")
	return readCSV(a.t, text)
}

func readCSV(t testing.TB, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return rows
}

// The page's reader shares no code with the program, and DuckDB shares none with
// the report.
func TestReportsEqualTheSameQuestionsInSQL(t *testing.T) {
	h := newHistory(t)
	h.fill(600)
	a := newAnalyst(h.system)
	lines := a.records()
	require.NotContains(t, lines, "canaryOpenId")
	ours := a.do("tail", "--to-end", "--json")
	require.NotContains(t, ours, "canaryOpenId")

	answers := map[string][][]string{}
	for _, q := range questionsAsked(t) {
		report := a.byReport(q)
		name := strings.Join(append([]string{q.name}, q.flags...), " ")
		require.Greater(t, len(report), 2, "%s is answered by rows", name)
		require.Equal(t, a.bySQL(q, lines), report, name)
		answers[name] = report
		switch q.name {
		case "grants", "failures", "discount": // for which the program's own lines are enough
			require.Equal(t, a.bySQL(q, ours), report, "%s, from tail", name)
		}
	}
	require.NotEqual(t, answers["grants"], answers["grants --since 2026-11-11 --until 2026-11-12"])
	h.requireOddities(answers)
	a.requireThatDifferencesShow(lines, answers)
}

// requireOddities: what reports may get wrong was really there.
func (h *history) requireOddities(answers map[string][][]string) {
	h.t.Helper()
	column := func(table, name string) (values []string) {
		rows := answers[table]
		for i, head := range rows[0] {
			if head == name {
				for _, row := range rows[1:] {
					values = append(values, row[i])
				}
			}
		}
		require.NotEmpty(h.t, values, "%s has a column %s", table, name)
		return values
	}
	require.Subset(h.t, column("grants", "kind"), []string{"", "store-checkout", "loyalty-milestone"})
	require.Subset(h.t, column("grants", "store_id"), []string{"", `店,"北京"`, "two\nlines", "=1+1"})
	require.Subset(h.t, column("failures", "reason"), []string{"UNKNOWN", "LIMIT_REACHED", "OUT_OF_STOCK", "COUPON_INVALID", "BUSINESS_EXCEPTION", "REJECTED", "EXPIRED"})
	require.Subset(h.t, column("repeats", "content"), []string{"same", "conflicting"})
	require.Subset(h.t, column("repeats", "coupons"), []string{"0", "1", "2"})
	require.Subset(h.t, column("repeats", "unfinished"), []string{"0", "1"})
	require.Contains(h.t, column("repeats", "replays"), "1")
	require.Subset(h.t, column("time-to-grant", "counted_from"), []string{"occurred_at", "written"})
	require.Contains(h.t, strings.Join(column("time-to-grant", "p50_ms"), " ")+strings.Join(column("time-to-grant --by channel", "p50_ms"), " "), "-", "a clock ahead")
	huge := 0
	for _, sum := range column("discount", "discount") {
		if len(sum) > len("-9223372036854775808") {
			huge++
		}
	}
	require.Positive(h.t, huge, "sums beyond 64 bits")
	granted, coupons := column("grants", "granted"), column("grants", "coupons")
	require.NotEqual(h.t, granted, coupons, "repeats count as outcomes, not as coupons")
}

// requireThatDifferencesShow is the control: were one record read otherwise, the
// comparison would see it.
func (a *analyst) requireThatDifferencesShow(lines string, answers map[string][][]string) {
	a.t.Helper()
	change := func(kind string, edit func(map[string]any)) string {
		return a.disturbed(lines, kind, edit)
	}
	coupon := func(r map[string]any) map[string]any { return r["coupon"].(map[string]any) }
	for name, tt := range map[string]struct {
		question string
		lines    string
	}{
		"an outcome less":          {"grants", change("granted", nil)},
		"a grant of another day":   {"grants", change("granted", func(r map[string]any) { r["ended_at"] = "2026-12-24T00:00:00+00:00" })},
		"a failure less":           {"failures", change("failed", nil)},
		"another reason":           {"failures", change("failed", func(r map[string]any) { r["reason"] = "OTHER" })},
		"granted a minute later":   {"time-to-grant", change("granted", func(r map[string]any) { r["occurred_at"] = "1999-01-01T00:00:00+00:00" })},
		"a discount of one more":   {"discount", change("granted", func(r map[string]any) { coupon(r)["discount"] = 12345 })},
		"a coupon of another id":   {"discount", change("granted", func(r map[string]any) { r["coupon_code"] = "other" })},
		"an end without a request": {"repeats", change("requested", nil)},
		"a request of another id":  {"repeats", change("requested", func(r map[string]any) { r["request_id"] = "other" })},
	} {
		query := pageBlock(a.t, "sql: "+tt.question)
		require.NotEqual(a.t, answers[tt.question], a.bySQL(asked{query: query}, tt.lines), name)
	}
}

// disturbed edits the first record of a kind that matters to its question, or
// leaves it out.
func (a *analyst) disturbed(lines, kind string, edit func(map[string]any)) string {
	a.t.Helper()
	ids := map[string]int{}
	var records []map[string]any
	for line := range strings.Lines(lines) {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber() // instance ids are beyond a float64
		var r map[string]any
		require.NoError(a.t, decoder.Decode(&r))
		records = append(records, r)
		if r["kind"] == kind && r["request_id"] != "" {
			ids[r["request_id"].(string)]++
		}
	}
	var out strings.Builder
	done := false
	for _, r := range records {
		id, _ := r["request_id"].(string)
		if !done && r["kind"] == kind && (ids[id] > 1) == (kind == "requested") {
			done = true
			if edit == nil {
				continue
			}
			edit(r)
		}
		require.NoError(a.t, json.NewEncoder(&out).Encode(r))
	}
	require.True(a.t, done)
	return out.String()
}
