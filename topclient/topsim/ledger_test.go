package topsim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is moved by hand. For tests that need neither timers nor a bubble.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noon is far from the gateway's midnight.
var noon = time.Date(2026, 4, 1, 12, 0, 0, 0, gatewayZone)

// answerOf sums up an answer: granted, empty, or the codes.
func answerOf(tb testing.TB, s seen) string {
	tb.Helper()
	e := s.envelope(tb)
	switch {
	case e.Error != nil:
		return strings.TrimSpace(fmt.Sprintf("%d %s", e.Error.Code, e.Error.SubCode))
	case s.instance(tb) > 0:
		return "granted"
	default:
		return "empty"
	}
}

func TestLedgerSwitches(t *testing.T) {
	type step struct {
		outID, openID, uuid string
		after               time.Duration
		want                string
	}
	limited := map[string]Coupon{"one-each": {PerMember: 1}, "two": {Stock: 2}, "none": {Stock: -1}, "april": {
		ValidFrom: noon.Add(time.Minute), ValidUntil: noon.Add(2 * time.Minute),
	}}
	for _, tt := range []struct {
		name       string
		cfg        Config
		steps      []step
		grants     int64
		replays    int64
		violations int64
	}{
		{"replay answers the same", Config{}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m1", "u", time.Hour, "granted"}, {"o2", "m1", "u", 0, "granted"},
		}, 2, 1, 0},
		{"replay without model", Config{Replay: ReplayNoModel}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m1", "u", 0, "empty"},
		}, 1, 1, 0},
		{"replay refused", Config{Replay: ReplayRefuse}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m1", "u", 0, "15 -11"},
		}, 1, 1, 0},
		{"replay after the limit", Config{Replay: ReplayLimitFirst}, []step{
			{"o1", "m1", "one-each", 0, "granted"}, {"o1", "m1", "one-each", 0, "15 -7"}, {"o2", "m1", "u", 0, "granted"}, {"o2", "m1", "u", 0, "granted"},
		}, 2, 2, 0},
		{"replay after the stock", Config{Replay: ReplayLimitFirst}, []step{
			{"o1", "m1", "two", 0, "granted"}, {"o2", "m2", "two", 0, "granted"}, {"o1", "m1", "two", 0, "15 -6"},
		}, 2, 1, 0},
		{"replay before the limit", Config{}, []step{
			{"o1", "m1", "one-each", 0, "granted"}, {"o1", "m1", "one-each", 0, "granted"},
		}, 1, 1, 0},
		{"conflict as a repeat", Config{}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m2", "u", 0, "granted"},
		}, 1, 1, 0},
		{"conflict an argument", Config{Conflict: ConflictArgument}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m2", "u", 0, "41"}, {"o1", "m1", "u", 0, "granted"},
		}, 1, 2, 0},
		{"conflict refused", Config{Conflict: ConflictRefuse}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m1", "v", 0, "15 -11"},
		}, 1, 1, 0},
		{"retention over: granted again", Config{Retention: time.Minute}, []step{
			{"o1", "m1", "u", 0, "granted"}, {"o1", "m1", "u", 59 * time.Second, "granted"}, {"o1", "m1", "u", time.Second, "granted"},
		}, 2, 1, 1},
		{"stock", Config{}, []step{
			{"o1", "m1", "two", 0, "granted"}, {"o2", "m1", "two", 0, "granted"}, {"o3", "m1", "two", 0, "15 -6"}, {"o4", "m1", "none", 0, "15 -6"},
		}, 2, 0, 0},
		{"limit of a member", Config{}, []step{
			{"o1", "m1", "one-each", 0, "granted"}, {"o2", "m1", "one-each", 0, "15 -7"}, {"o3", "m2", "one-each", 0, "granted"},
		}, 2, 0, 0},
		{"a refused out_id can be granted later", Config{}, []step{
			{"o1", "m1", "april", 0, "15 -3"}, {"o1", "m1", "april", time.Minute, "granted"}, {"o2", "m1", "april", time.Minute, "15 -3"},
		}, 1, 0, 0},
		{"listed members", Config{Refused: map[string]int{"m1": -11, "m2": -9999}}, []step{
			{"o1", "m1", "u", 0, "15 -11"}, {"o2", "m2", "u", 0, "15 -9999"}, {"o3", "m3", "u", 0, "granted"},
		}, 1, 0, 0},
		{"another form", Config{Form: "F2"}, []step{{"o1", "m1", "none", 0, "-6"}}, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := &clock{now: noon}
			tt.cfg.Apps, tt.cfg.Coupons, tt.cfg.Clock = DefaultConfig().Apps, limited, now.Now
			sim := newSim(t, tt.cfg)
			for i, step := range tt.steps {
				now.Add(step.after)
				p := newParams(step.outID, now.Now()).content("open_id", step.openID).content("uuid", step.uuid)
				got := inProcess(sim).call(t.Context(), p.signed(DemoAppSecret).form())
				require.Equal(t, step.want, answerOf(t, got), "step %d", i)
			}
			stats := sim.Stats()
			require.Equal(t, tt.grants, stats.Grants)
			require.Equal(t, tt.replays, stats.Replays)
			require.Equal(t, tt.violations, stats.Violations)
			require.Len(t, sim.Ledger().Violations(), int(tt.violations))
		})
	}
}

func TestLedgerRepeatIsTheSameAnswer(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	c := inProcess(sim)
	first, second := c.grant(t, sim, "out-1").envelope(t), c.grant(t, sim, "out-1").envelope(t)
	require.JSONEq(t, string(first.Response.Model), string(second.Response.Model))
	require.NotEqual(t, first.Response.RequestID, second.Response.RequestID)

	entry, ok := sim.Ledger().Entry("out-1")
	require.True(t, ok)
	require.Equal(t, int64(2), entry.Calls)
	require.Equal(t, 1, entry.Grants)
	require.Equal(t, c.grant(t, sim, "out-1").instance(t), entry.InstanceID())
	require.Equal(t, sim.Ledger().Member("member-1"), entry.Member)
	require.Equal(t, 1, sim.Ledger().MemberGrants("member-1", "coupon-1"))
	require.Zero(t, sim.Ledger().MemberGrants("member-2", "coupon-1"))
	require.Equal(t, int64(3), sim.Ledger().Calls("out-1"))
	require.Zero(t, sim.Ledger().Grants("out-2"))
}

// A call whose answer is cut or that nobody waits for is one that is not answered.
func TestLedgerCountsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, DefaultConfig())
		c := inProcess(sim)
		for _, fault := range []string{"lost-answers", "reset-in-body", "stall", "drip", "error 10", "business -7"} {
			rule := sim.On(Match{}, MustParse(fault)).Once()
			c.grant(t, sim, "out-1")
			require.Equal(t, int64(1), rule.Count())
		}
		c.grant(t, sim, "out-1")
		entry, _ := sim.Ledger().Entry("out-1")
		require.Equal(t, int64(7), entry.Calls)
		require.Equal(t, int64(3), entry.Answers)
	})
}

// The negative control of every test that asserts no violation.
func TestLedgerViolationShowsBothInstances(t *testing.T) {
	now := &clock{now: noon}
	cfg := DefaultConfig()
	cfg.Clock, cfg.Retention = now.Now, time.Hour
	sim := newSim(t, cfg)
	c := inProcess(sim)
	first := c.grant(t, sim, "out-1").instance(t)
	now.Add(time.Hour)
	second := c.grant(t, sim, "out-1").instance(t)
	require.NotEqual(t, first, second)
	require.Equal(t, []int64{first, second}, sim.Ledger().Violations()[0].Instances)
	require.Equal(t, first, sim.Ledger().Violations()[0].InstanceID())
}

func TestLedgerPages(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	for i := range 5 {
		inProcess(sim).grant(t, sim, fmt.Sprintf("out-%d", i))
	}
	sim.On(Match{}, Error(10, "", "")).Once()
	inProcess(sim).grant(t, sim, "out-5")

	var seen []string
	cursor := ""
	for {
		page, ok := sim.Ledger().Page(cursor, 2)
		require.True(t, ok)
		for _, e := range page.Entries {
			seen = append(seen, fmt.Sprintf("%s %t", e.OutID, e.Granted))
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"out-0 true", "out-1 true", "out-2 true", "out-3 true", "out-4 true", "out-5 false"}, seen)
	for _, wrong := range []string{"x", "-1", "7"} {
		_, ok := sim.Ledger().Page(wrong, 2)
		require.False(t, ok)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no app", Config{}, "no app"},
		{"no secret", Config{Apps: map[string]App{"k": {}}}, "needs a key and a secret"},
		{"replay", Config{Apps: DefaultConfig().Apps, Replay: "maybe"}, `replay is "maybe"`},
		{"conflict", Config{Apps: DefaultConfig().Apps, Conflict: "42"}, `conflict is "42"`},
		{"form", Config{Apps: DefaultConfig().Apps, Form: "F9"}, `form is "F9"`},
		{"time", Config{Apps: DefaultConfig().Apps, Latency: -1}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestConcurrentCallsGrantOnce(t *testing.T) {
	cfg := DefaultConfig()
	cfg.OtherCoupon = Coupon{Stock: 30}
	sim := newSim(t, cfg)
	c := overSockets(t, sim)
	const callers, outIDs = 16, 50
	forms := make([]string, outIDs)
	for i := range forms {
		forms[i] = newParams(fmt.Sprintf("out-%d", i), time.Now()).signed(DemoAppSecret).form()
	}
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for _, form := range forms {
				_ = c.call(t.Context(), form)
			}
		})
	}
	group.Wait()
	stats := sim.Stats()
	require.Equal(t, int64(callers*outIDs), stats.Calls)
	require.Equal(t, int64(30), stats.Grants, "as many as there were")
	require.Zero(t, stats.Violations)
	require.Equal(t, outIDs, stats.OutIDs)
	require.Zero(t, stats.Concurrent)
	require.LessOrEqual(t, stats.MaxConcurrent, int64(callers))
	require.Positive(t, stats.MaxConcurrent)
	ids := map[int64]bool{}
	for _, e := range sim.Ledger().Entries() {
		require.Equal(t, int64(callers), e.Calls)
		ids[e.InstanceID()] = true
	}
	require.Len(t, ids, 31, "30 instances, and 0 of those that got none")
}
