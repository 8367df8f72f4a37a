package topclient

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:generate go test -run TestCodeTableInTheDocsIsCurrent -update

const (
	codesPage = "../docs/gateway.md"
	codesHead = "| code | sub-code | about | granted? | meaning |\n|---|---|---|---|---|\n"
)

var update = flag.Bool("update", false, "write the code table into "+codesPage)

// The page ends with the table.
func TestCodeTableInTheDocsIsCurrent(t *testing.T) {
	page, err := os.ReadFile(codesPage)
	require.NoError(t, err)
	text, current, found := strings.Cut(string(page), codesHead)
	require.True(t, found, "the page has no table")
	var rows strings.Builder
	for _, row := range CodeTable() {
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", row.Code, inCode(row.SubCode), row.aboutInWords(), row.grantedInWords(), row.Meaning)
	}
	if *update {
		current = rows.String()
		require.NoError(t, os.WriteFile(codesPage, []byte(text+codesHead+current), 0o644))
	}
	require.Equal(t, rows.String(), current, "run go generate ./topclient")
}

func inCode(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func (r CodeRow) aboutInWords() string {
	if r.Throttled {
		return r.About.String() + ", throttled"
	}
	return r.About.String()
}

func (r CodeRow) grantedInWords() string {
	if r.MayHaveGranted {
		return "maybe"
	}
	return "no"
}

func TestOwnCodesAllHaveARow(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range OwnCodeTable() {
		rows[row.Code] = true
		require.True(t, isListed(row.Code), row.Code)
	}
	for _, code := range ownCodes {
		require.True(t, rows[code], code)
	}
}

// What a row gives for its answer is what the gateway's answer would be judged.
func TestAnswerOfARowIsJudgedAsTheRowSays(t *testing.T) {
	for _, row := range CodeTable() {
		msg := "Invalid arguments:timestamp"
		if row.RefusesID {
			msg = "Invalid arguments:out_id"
		} else if row.About == AboutRequest {
			msg = "Invalid arguments:uuid"
		}
		answer := row.Answer()
		got := judge(answer.Code, strings.Replace(answer.SubCode, "*", "x", 1), msg)
		require.Equal(t, verdict{answer.About, answer.MayHaveGranted, answer.Throttled, answer.Business, answer.RefusesID}, got, "%+v", row)
	}
}
