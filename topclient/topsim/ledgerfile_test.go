package topsim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fileConfig(t *testing.T) Config {
	cfg := DefaultConfig()
	cfg.DataFile = filepath.Join(t.TempDir(), "ledger.jsonl")
	cfg.OtherCoupon = Coupon{PerMember: 2}
	return cfg
}

func edit(t *testing.T, path string, change func(string) string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(change(string(text))), 0o600))
}

// The first simulator is not closed before the second one reads, as after kill -9.
func TestLedgerFileSurvivesItsProcess(t *testing.T) {
	cfg := fileConfig(t)
	before := newSim(t, cfg)
	first := inProcess(before).grant(t, before, "out-1").instance(t)
	second := inProcess(before).grant(t, before, "out-2").instance(t)

	after := newSim(t, cfg)
	require.Equal(t, int64(2), after.Stats().Grants)
	require.Equal(t, first, inProcess(after).grant(t, after, "out-1").instance(t), "a repeat")
	require.Equal(t, "15 -7", answerOf(t, inProcess(after).grant(t, after, "out-3")), "limits know old grants")
	require.Equal(t, 2, after.Ledger().MemberGrants("member-1", "coupon-1"))
	third := newParams("out-4", time.Now()).content("open_id", "member-2").signed(DemoAppSecret).form()
	require.Greater(t, inProcess(after).call(t.Context(), third).instance(t), second)

	wantEntry, _ := before.Ledger().Entry("out-2")
	gotEntry, _ := after.Ledger().Entry("out-2")
	require.True(t, wantEntry.GrantedAt.Equal(*gotEntry.GrantedAt))
	gotEntry.Calls, gotEntry.Answers, gotEntry.GrantedAt = wantEntry.Calls, wantEntry.Answers, wantEntry.GrantedAt
	require.Equal(t, wantEntry, gotEntry)

	text, err := os.ReadFile(cfg.DataFile)
	require.NoError(t, err)
	require.NotContains(t, string(text), "member-1")
	require.NotContains(t, string(text), DemoSession)
	require.Equal(t, 4, strings.Count(string(text), "\n"))
}

func TestLedgerFileTornLastLineIsIgnored(t *testing.T) {
	cfg := fileConfig(t)
	before := newSim(t, cfg)
	inProcess(before).grant(t, before, "out-1")
	inProcess(before).grant(t, before, "out-2")
	require.NoError(t, before.Close())
	edit(t, cfg.DataFile, func(text string) string { return text[:len(text)-20] })

	after := newSim(t, cfg)
	require.Equal(t, int64(1), after.Stats().Grants)
	require.NotZero(t, inProcess(after).grant(t, after, "out-2").instance(t))
	again := newSim(t, cfg)
	require.Equal(t, int64(2), again.Stats().Grants, "the next line began where the torn one had")
}

func TestLedgerFileTornHeadIsAnEmptyLedger(t *testing.T) {
	cfg := fileConfig(t)
	require.NoError(t, os.WriteFile(cfg.DataFile, []byte(`{"format":"coupon`), 0o600))
	sim := newSim(t, cfg)
	require.NotZero(t, inProcess(sim).grant(t, sim, "out-1").instance(t))
	require.Equal(t, int64(1), newSim(t, cfg).Stats().Grants)
}

func TestLedgerFileDamageIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(string) string
		want   string
	}{
		{"another file", func(string) string { return "hello\n" }, "line 1: not a ledger"},
		{"newer", func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) }, "line 1: version 2"},
		{"no salt", func(s string) string { return strings.Replace(s, `"salt":"`, `"salt":"0`, 1) }, "line 1: no salt"},
		{"a torn line in the middle", func(s string) string { return strings.Replace(s, `"uuid"`, "\n", 1) }, "line 2: not a grant"},
		{"no out_id", func(s string) string { return strings.Replace(s, `"out-1"`, `""`, 1) }, "line 2: a member"},
		{"no hash", func(s string) string { return strings.Replace(s, `"member":"`, `"member":"x`, 1) }, "line 2: a member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := fileConfig(t)
			sim := newSim(t, cfg)
			inProcess(sim).grant(t, sim, "out-1")
			edit(t, cfg.DataFile, tt.change)
			_, err := New(cfg)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLedgerThatCannotBeWrittenGrantsNothing(t *testing.T) {
	cfg := fileConfig(t)
	sim := newSim(t, cfg)
	require.NoError(t, sim.ledger.file.file.Close())
	require.Equal(t, "15 isp.system-error", answerOf(t, inProcess(sim).grant(t, sim, "out-1")))
	require.Zero(t, sim.Stats().Grants)
	sim.ledger.file = nil // already closed
}

func TestLedgerFileInNoFolder(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataFile = filepath.Join(t.TempDir(), "missing", "ledger.jsonl")
	_, err := New(cfg)
	require.ErrorContains(t, err, "opening the ledger")
}
