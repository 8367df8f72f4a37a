package topsim

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRuleIsNotInForceUntilItSaysHowOften(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	c := inProcess(sim)
	rule := sim.On(Match{}, Error(10, "", ""))
	require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "out-1")))
	require.Zero(t, rule.Count())

	rule.Times(2)
	for i, want := range []string{"10", "10", "granted"} {
		require.Equal(t, want, answerOf(t, c.grant(t, sim, "out-2")), i)
	}
	require.Equal(t, int64(2), rule.Count())

	rule.Always()
	for range 5 {
		require.Equal(t, "10", answerOf(t, c.grant(t, sim, "out-2")))
	}
	rule.Remove()
	require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "out-2")))
	require.Equal(t, int64(7), rule.Count(), "a removed rule keeps its count")
	require.Equal(t, int64(7), sim.Stats().Faulted)
}

func TestOldestRuleStrikesFirst(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	sim.Run(script(t, "0s- error 12"))
	first := sim.On(Match{}, Error(10, "", "")).Once()
	second := sim.On(Match{}, Error(15, "isp.system-busy", "")).Once()
	for _, want := range []string{"10", "15 isp.system-busy", "12"} {
		require.Equal(t, want, answerOf(t, inProcess(sim).grant(t, sim, "out-1")))
	}
	require.Equal(t, int64(1), first.Count())
	require.Equal(t, int64(1), second.Count())
}

func TestMatchChoosesCalls(t *testing.T) {
	member := func(sim *Simulator) string { return sim.Ledger().Member("member-1") }
	for _, tt := range []struct {
		name  string
		match func(*Simulator) Match
		want  bool
	}{
		{"all", func(*Simulator) Match { return Match{} }, true},
		{"out_id", func(*Simulator) Match { return Match{OutID: "out-1"} }, true},
		{"another out_id", func(*Simulator) Match { return Match{OutID: "out-"} }, false},
		{"prefix", func(*Simulator) Match { return Match{OutID: "out-*"} }, true},
		{"another prefix", func(*Simulator) Match { return Match{OutID: "in-*"} }, false},
		{"uuid", func(*Simulator) Match { return Match{UUID: "coupon-1"} }, true},
		{"another uuid", func(*Simulator) Match { return Match{UUID: "coupon-2"} }, false},
		{"open_id", func(*Simulator) Match { return Match{OpenID: "member-1"} }, true},
		{"another open_id", func(*Simulator) Match { return Match{OpenID: "member-2"} }, false},
		{"member", func(s *Simulator) Match { return Match{Member: member(s)} }, true},
		{"another member", func(*Simulator) Match { return Match{Member: "00"} }, false},
		{"predicate", func(*Simulator) Match { return Match{If: func(c Call) bool { return c.Number == 1 }} }, true},
		{"another predicate", func(*Simulator) Match { return Match{If: func(c Call) bool { return c.AppKey == "" }} }, false},
		{"never by lot", func(*Simulator) Match { return Match{Probability: 1e-12} }, false},
		{"always by lot", func(*Simulator) Match { return Match{Probability: 1} }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := newSim(t, DefaultConfig())
			rule := sim.On(tt.match(sim), Error(10, "", "")).Always()
			got := answerOf(t, inProcess(sim).grant(t, sim, "out-1"))
			require.Equal(t, tt.want, got == "10")
			require.Equal(t, tt.want, rule.Count() == 1)
		})
	}
}

// The fate of a call is drawn from the seed and the call, not from the order.
func TestLotsFollowTheSeed(t *testing.T) {
	struck := func(seed uint64, reverse bool) map[string]bool {
		cfg := DefaultConfig()
		cfg.Seed = seed
		sim := newSim(t, cfg)
		rule := sim.On(Match{Probability: 0.2}, Error(10, "", "")).Always()
		out := map[string]bool{}
		for i := range 1000 {
			if reverse {
				i = 999 - i
			}
			id := fmt.Sprintf("out-%d", i)
			if answerOf(t, inProcess(sim).grant(t, sim, id)) == "10" {
				out[id] = true
			}
		}
		require.Len(t, out, int(rule.Count()))
		require.InDelta(t, 200, rule.Count(), 60)
		return out
	}
	require.Equal(t, struck(1, false), struck(1, true))
	require.NotEqual(t, struck(1, false), struck(2, false))
}

func TestThrottleSparesSomeCallsASecond(t *testing.T) {
	now := &clock{now: noon}
	cfg := DefaultConfig()
	cfg.Clock = now.Now
	sim := newSim(t, cfg)
	rule := sim.On(Match{}, Throttle(3)).Always()
	for second := range 2 {
		for i := range 5 {
			got := answerOf(t, inProcess(sim).grant(t, sim, fmt.Sprintf("out-%d-%d", second, i)))
			require.Equal(t, i < 3, got == "granted", got)
		}
		now.Add(time.Second)
	}
	require.Equal(t, int64(4), rule.Count())
	require.Equal(t, int64(6), sim.Stats().Grants)
}

func TestChecksComeBeforeRules(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	outage := sim.On(Match{}, MustParse("outage")).Always()
	wrong := newParams("out-1", time.Now()).signed("guess").form()
	require.Equal(t, "25", answerOf(t, inProcess(sim).call(t.Context(), wrong)))
	require.Zero(t, outage.Count())
}

func TestLatencyIsBetweenItsBounds(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Latency, cfg.Spread = time.Millisecond, time.Millisecond
	sim := newSim(t, cfg)
	different := map[time.Duration]bool{}
	for range 100 {
		d := sim.latency()
		require.GreaterOrEqual(t, d, time.Millisecond)
		require.LessOrEqual(t, d, 2*time.Millisecond)
		different[d] = true
	}
	require.Greater(t, len(different), 50)
}

// For the race detector: everything that can change does while calls run.
func TestRulesChangeUnderCalls(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	hourly := script(t, "0s- error 10 50%", "0s- throttle 1000/s")
	first := sim.On(Match{OutID: "out-1"}, LoseAnswer()).Times(3)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 50 {
				inProcess(sim).grant(t, sim, fmt.Sprintf("out-%d", n))
				sim.On(Match{Probability: 0.5}, Error(15, "isp.system-busy", "")).Once().Remove()
				sim.Run(hourly)
				sim.SetClockOffset(time.Duration(i) * time.Second)
				sim.SetApp(DemoAppKey, DefaultConfig().Apps[DemoAppKey])
				_ = sim.rules.read()
				_ = sim.Stats()
				_, _ = sim.Ledger().Page("", 10)
			}
		})
	}
	group.Wait()
	stats := sim.Stats()
	require.Equal(t, int64(3), first.Count())
	require.Equal(t, int64(400), stats.Calls)
	require.Zero(t, stats.Violations)
	require.Zero(t, stats.Concurrent)
}
