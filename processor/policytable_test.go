package processor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

//go:generate go test -run TestPolicyInTheDocsIsCurrent -update

const (
	policyPage  = "../docs/policy.md"
	policyBegin = "<!-- policy: made by `go generate ./processor` -->\n"
	policyEnd   = "<!-- policy end -->"
)

func TestPolicyInTheDocsIsCurrent(t *testing.T) {
	page, err := os.ReadFile(policyPage)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(page), policyBegin)
	require.True(t, found, "the page has no table")
	current, after, found := strings.Cut(rest, policyEnd)
	require.True(t, found, "the table has no end")
	want := policyInMarkdown(DefaultConfig().Retry)
	if *update {
		current = want
		require.NoError(t, os.WriteFile(policyPage, []byte(before+policyBegin+want+policyEnd+after), 0o644))
	}
	require.Equal(t, want, current, "run go generate ./processor")
}

func policyInMarkdown(r Retry) string {
	var out strings.Builder
	line := func(cells ...string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	head := append([]string{"answer", "granted?"}, PolicySituations()...)
	line(append(head, "meaning")...)
	line(slices.Repeat([]string{"---"}, len(head)+1)...)
	for _, row := range PolicyTable(r) {
		name, maybe := row.Code, "no"
		if row.SubCode != "" {
			name += ": `" + row.SubCode + "`"
		}
		if row.MayHaveGranted {
			maybe = "maybe"
		}
		line(slices.Concat([]string{name, maybe}, row.Actions, []string{row.Meaning})...)
	}
	return out.String()
}

// What every answer comes to, said here once more and by hand: on the first
// attempt, when attempts are used up; in doubt: on the first, used up, parked
// before, given up.
func TestPolicyOfEveryCode(t *testing.T) {
	const app, once, waits = "all stop, a probe every 30s", "again within 200ms", "again within 30s"
	const ban, unknown = "all wait out the ban, else 1m", "dead letter grant-unknown"
	all := func(word string) []string { return slices.Repeat([]string{word}, 6) }
	refused := func(reason string) []string {
		return []string{"failed " + reason, "failed " + reason, once, "parked", "parked", unknown}
	}
	inDoubt := []string{once, "parked", once, "parked", "parked", unknown}
	trouble := []string{once, waits, once, waits, waits, waits}
	want := map[string][]string{}
	for _, class := range []struct {
		actions []string
		rows    string
	}{
		{all("granted"), "granted"},
		{all("again at once"), "canceled"},
		{all(ban), "4 5 6 7 8 *isp.call-limited *isv.BUSINESS_LIMIT_CONTROL"},
		{all(app), "9 11 12 13 21 22 23 24 25 26 27 28 29 32 33 34 40-app 41-app 44 53 *isv.invalid-permission *isv.permission-* *isv.appkey-* no-credentials"},
		{[]string{"again at once", app, "again at once", app, app, app}, "30 31"},
		{trouble, "10 *isp.* dns refused tls connect-timeout connect connection-lost timeout bad-body http-503"},
		{inDoubt, "3 15 42 43 45 46 47 50 -9999 anything-else no-code no-coupon ambiguous"},
		{refused("REJECTED"), "40-request 41-request *isv.missing-parameter *isv.invalid-parameter *isv.*-not-exist not-sendable"},
		{[]string{"dead letter conflicting-request", "dead letter conflicting-request", once, "parked", "parked", unknown}, "41-id"},
		{refused("COUPON_INVALID"), "-3"},
		{refused("OUT_OF_STOCK"), "-6"},
		{refused("LIMIT_REACHED"), "-7"},
		{[]string{once, "failed BUSINESS_EXCEPTION", once, "parked", "parked", unknown}, "-11"},
	} {
		for name := range strings.FieldsSeq(class.rows) {
			want[name] = class.actions
		}
	}
	r := DefaultConfig().Retry
	r.MaxBackoff = 30 * time.Second
	got := map[string][]string{}
	for _, row := range PolicyTable(r) {
		name := strings.ReplaceAll(row.Code, " ", "-")
		switch {
		case row.SubCode != "":
			name = "*" + row.SubCode
		case row.RefusesID:
			name += "-id"
		case row.Code == "40" || row.Code == "41":
			name += "-" + row.About.String()
		}
		require.NotContains(t, got, name)
		got[name] = row.Actions
	}
	require.Equal(t, want, got)
}

// answersOfEveryKind are all that there are: an unlisted one too.
func answersOfEveryKind() (all []*topclient.Error) {
	for _, row := range allRows() {
		all = append(all, row.Answer())
	}
	return all
}

// Whatever is configured short of trusting refusals: nobody in doubt fails, and
// no answer that may have granted fails anyone.
func TestNobodyInDoubtFails(t *testing.T) {
	for _, r := range []Retry{{}, {Code10: Code10Request}, {Code42: FailRefusal}, {RefusalInDoubt: FailRefusal}} {
		cfg := DefaultConfig()
		cfg.Retry.Code10, cfg.Retry.Code42 = r.Code10, r.Code42
		if r.RefusalInDoubt != "" {
			cfg.Retry.RefusalInDoubt = r.RefusalInDoubt
		}
		p := policy{cfg: cfg}
		broken := 0
		for _, answer := range answersOfEveryKind() {
			for _, at := range cfg.Retry.situations() {
				if (at.inDoubt || answer.MayHaveGranted) && p.on(answer, at).action == actFail {
					broken++
				}
			}
		}
		if cfg.Retry.RefusalInDoubt == FailRefusal || cfg.Retry.Code42 == FailRefusal {
			require.NotZero(t, broken, "the test must see it where refusals are trusted")
		} else {
			require.Zero(t, broken)
		}
	}
}

func TestDebatableCodesAreReadAsConfigured(t *testing.T) {
	p := testPolicy()
	p.cfg.Retry.Code10, p.cfg.Retry.Code42 = Code10Request, FailRefusal
	for code, want := range map[string]string{"10": "parked", "42": "failed REJECTED", "43": "failed REJECTED", "45": "parked", "7": "", "25": ""} {
		for _, answer := range answersOfEveryKind() {
			if answer.Code != code {
				continue
			}
			before := *answer
			v := p.on(answer, situation{often: true})
			require.Equal(t, before, *answer, "an answer is not changed, it is read")
			if want == "" {
				require.Same(t, answer, p.read(answer))
				continue
			}
			require.Equal(t, want, v.String(), code)
		}
	}
	require.Nil(t, p.read(nil))
}
