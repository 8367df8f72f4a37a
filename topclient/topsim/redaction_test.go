package topsim

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// printings is everything a careless caller may print of a value.
func printings(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	asJSON, _ := json.Marshal(v)
	b.Write(asJSON)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "value", v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "value", v)
	return b.String()
}

func requireNoCanary(t *testing.T, text string) {
	t.Helper()
	for _, spelling := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary")} {
		require.NotContains(t, text, spelling)
	}
}

// canaryConfig has canaries for everything that must not be seen.
func canaryConfig() Config {
	cfg := DefaultConfig()
	cfg.Apps = map[string]App{DemoAppKey: {
		Secret: "secret-canary", Sessions: map[string]time.Time{"session-canary": {}},
	}}
	cfg.Refused = map[string]int{"refused-canary": -11}
	return cfg
}

// Secrets, sessions and open_ids stand in no printed form of any exported type.
func TestPrintedTypesHideWhatTheyHold(t *testing.T) {
	cfg := canaryConfig()
	cfg.DataFile = filepath.Join(t.TempDir(), "ledger")
	sim := newSim(t, cfg)
	match := Match{OpenID: "member-canary", OutID: "out-*"}
	rule := sim.On(match, LoseAnswer()).Always()
	var seen Call
	sim.On(Match{If: func(c Call) bool { seen = c; return true }}, MustParse("close-idle")).Always()
	member := newParams("out-1", time.Now()).with("session", "session-canary").content("open_id", "member-canary")
	_ = inProcess(sim).call(t.Context(), member.signed("secret-canary").form())
	other := newParams("r-1", time.Now()).with("session", "session-canary").content("open_id", "refused-canary")
	_ = inProcess(sim).call(t.Context(), other.signed("secret-canary").form())
	require.Equal(t, int64(1), rule.Count())
	require.Equal(t, "refused-canary", seen.OpenID, "the canaries were there")

	entry, _ := sim.Ledger().Entry("out-1")
	page, _ := sim.Ledger().Page("", 10)
	require.Equal(t, 1, entry.Grants)
	for _, v := range []any{
		sim, cfg, &cfg, cfg.Apps[DemoAppKey], cfg.Apps, match, &match, rule, seen, &seen, sim.Ledger(), entry, page, sim.Stats(),
		LoseAnswer(), Faults(), cfg.Script, cfg.Quotas, cfg.OtherCoupon,
		struct{ s *Simulator }{sim},
		struct{ l *Ledger }{sim.Ledger()},
		struct{ r *Rule }{rule},
	} {
		requireNoCanary(t, printings(v))
	}
	for _, path := range []string{"ledger", "stats", "rules", "faults"} {
		_, answer := control(t, sim, http.MethodGet, "/control/"+path, "")
		require.NotEmpty(t, answer)
		requireNoCanary(t, answer)
	}
	file, err := os.ReadFile(cfg.DataFile)
	require.NoError(t, err)
	require.NotEmpty(t, file)
	requireNoCanary(t, string(file))
	cfg.Replay = "never"
	_, err = New(cfg)
	requireNoCanary(t, err.Error())
}

// The planted opposite: the test above would see a canary.
func TestPrintingsShowWhatIsNotHidden(t *testing.T) {
	require.Contains(t, printings(canaryConfig().Apps[DemoAppKey].Secret), "canary")
	require.Contains(t, printings(map[string]int{"refused-canary": 1}), "canary")
}
