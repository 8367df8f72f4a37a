package topsim_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

//go:generate go test -run TestFaultTableIsCurrent -update

const faultTable = "../../docs/gateway-faults.md"

var update = flag.Bool("update", false, "write "+faultTable)

const tableHead = `# What the client reports for each fault of the simulator

Written by ` + "`go generate ./topclient/topsim`" + ` from the list that the tests run (` + "`topsim.Faults()`" + `): each fault strikes
one call of the real client. A test fails when this page is out of date.

- **Faults** are names for ` + "`coupongrant gateway --fault`" + `, scripts, the control API and ` + "`topsim.Parse`" + `. A name with
  a star exists a second time with ` + "`-after-grant`" + ` at its end: there the coupon was given before things went wrong.
  FORM stands for each way in which the API's own codes may arrive: ` + "`F1`, `F1-number`" + ` and so on; which one
  the real service uses is not known.
- **Given** says whether the ledger has a coupon afterwards.
- **The client** says whom the trouble is about (` + "`Error.About`" + `), whether a coupon may have been granted all the
  same (` + "`MayHaveGranted`" + `), and ` + "`Error.Code`" + ` if that is a word of the client. Where the gateway gave a number,
  that is the code, and left out here.

No row has a coupon that the client rules out, and none has a coupon of the client that the ledger does not
know.
`

var groupTitles = []struct{ group, title string }{
	{topsim.GroupConnection, "The connection"},
	{topsim.GroupHTTP, "HTTP"},
	{topsim.GroupEnvelope, "The envelope"},
	{topsim.GroupPlatform, "Codes of the platform"},
	{topsim.GroupBackend, "Codes of whoever serves the API"},
	{topsim.GroupBusiness, "Codes of the API itself"},
	{topsim.GroupCredentials, "Credentials that died"},
}

// tableRow is all faults of a group that come to the same.
type tableRow struct {
	says   string
	faults []tableFault
}

// tableFault is a fault, and its second kind if that comes to the same.
type tableFault struct {
	topsim.Fault
	given, givenAfter, starred bool
}

func TestFaultTableIsCurrent(t *testing.T) {
	var page strings.Builder
	page.WriteString(tableHead)
	for _, g := range groupTitles {
		rows := rowsOf(t, g.group)
		require.NotEmpty(t, rows)
		fmt.Fprintf(&page, "\n## %s\n| Faults | Given | The client |\n|---|---|---|\n", g.title)
		for _, row := range rows {
			fmt.Fprintf(&page, "| %s | %s | %s |\n", row.names(), row.given(), row.says)
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(faultTable, []byte(page.String()), 0o644))
	}
	current, err := os.ReadFile(faultTable)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(current), "run go generate ./topclient/topsim")
}

func rowsOf(t *testing.T, group string) []*tableRow {
	t.Helper()
	var rows []*tableRow
	for _, f := range topsim.Faults() {
		if f.Group != group {
			continue
		}
		got := callUnder(t, f)
		says := inWords(got)
		at := slices.IndexFunc(rows, func(r *tableRow) bool { return r.says == says })
		if at < 0 {
			at = len(rows)
			rows = append(rows, &tableRow{says: says})
		}
		rows[at].add(f, got.given)
	}
	return rows
}

// add takes a fault in, together with its other kind if that is in already.
func (r *tableRow) add(f topsim.Fault, given bool) {
	base, second := strings.CutSuffix(f.Name, "-after-grant")
	before := slices.IndexFunc(r.faults, func(known tableFault) bool { return known.Name == base })
	if second && before >= 0 {
		r.faults[before].starred, r.faults[before].givenAfter = true, given
		return
	}
	r.faults = append(r.faults, tableFault{Fault: f, given: given})
}

// inWords is a report as the table has it. Numbers of the gateway are left out,
// so that what is alike is in one row.
func inWords(r report) string {
	if r.err == nil {
		return "the coupon"
	}
	words := []string{"about the " + r.err.About.String(), "nothing granted"}
	if r.err.About == topclient.AboutUnknown {
		words[0] = "about nobody known"
	}
	if r.err.MayHaveGranted {
		words[1] = "**may have granted**"
	}
	switch _, err := strconv.Atoi(r.err.Code); {
	case r.err.Business != "":
		words = append(words, "`Business` "+r.err.Business)
	case err != nil:
		words = append(words, "`"+r.err.Code+"`")
	}
	switch {
	case r.err.Throttled && r.err.RetryAfter > 0:
		words = append(words, "`Throttled`, `RetryAfter` as told")
	case r.err.Throttled:
		words = append(words, "`Throttled`, `RetryAfter` 0")
	}
	return strings.Join(words, ", ")
}

func (r *tableRow) given() string {
	all := map[string]bool{}
	for _, f := range r.faults {
		switch {
		case f.starred && f.given != f.givenAfter:
			all["no; * yes"] = true
		case f.given:
			all["yes"] = true
		default:
			all["no"] = true
		}
	}
	var words []string
	for _, word := range []string{"no", "no; * yes", "yes"} {
		if all[word] {
			words = append(words, word)
		}
	}
	return strings.Join(words, " / ")
}

func (r *tableRow) names() string {
	if r.faults[0].Group == topsim.GroupBusiness {
		return r.businessNames()
	}
	var names []string
	for _, f := range r.faults {
		name := f.label()
		if wordy(f.Group) {
			name += " " + f.Text
		}
		names = append(names, name)
	}
	if wordy(r.faults[0].Group) {
		return strings.Join(names, "<br>")
	}
	return strings.Join(names, ", ")
}

// wordy groups need their texts; the others' names say it all.
func wordy(group string) bool {
	return group != topsim.GroupPlatform && group != topsim.GroupBackend
}

func (f tableFault) label() string {
	if f.starred {
		return "`" + f.Name + "`*"
	}
	return "`" + f.Name + "`"
}

// businessNames leaves the forms out where a code stands in nearly all of them;
// every row is of one code.
func (r *tableRow) businessNames() string {
	code, _, _ := strings.Cut(strings.TrimPrefix(r.faults[0].Name, "business-"), "-")
	if len(r.faults) < len(topsim.Forms())/2 {
		var names []string
		for _, f := range r.faults {
			names = append(names, f.label())
		}
		return strings.Join(names, ", ")
	}
	name := "`business-" + code + "-`FORM"
	if r.faults[0].starred {
		name += "*"
	}
	if len(r.faults) < len(topsim.Forms()) {
		name += ", in all other forms"
	}
	return name
}
