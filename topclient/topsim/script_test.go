package topsim

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func script(tb testing.TB, lines ...string) Script {
	tb.Helper()
	s, err := ParseScript(strings.NewReader(strings.Join(lines, "\n")))
	require.NoError(tb, err)
	return s
}

func TestScriptRunsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Script = script(t,
			"# the afternoon of a bad day",
			"10s-20s  outage",
			"15s-30s  error 15 isp.system-busy  # hidden by the outage at first",
			"40s-     throttle 2/s",
			"50s-51s  business -7 F2 x1 out_id=s50* uuid=coupon-1",
		)
		sim := newSim(t, cfg)
		c := inProcess(sim)
		start := time.Now()
		statuses := map[int]string{}
		for second := range 60 {
			time.Sleep(time.Until(start.Add(time.Duration(second) * time.Second)))
			got := c.grant(t, sim, fmt.Sprintf("s%d", second))
			if got.status != 200 {
				statuses[second] = fmt.Sprint(got.status)
				continue
			}
			statuses[second] = answerOf(t, got)
		}
		require.Equal(t, "granted", statuses[9])
		require.Equal(t, "503", statuses[10])
		require.Equal(t, "503", statuses[19])
		require.Equal(t, "15 isp.system-busy", statuses[20])
		require.Equal(t, "granted", statuses[30])
		require.Equal(t, "granted", statuses[45], "within the throttle")
		require.Equal(t, "-7", statuses[50])

		sim.Run(script(t, "1s- error 10"))
		require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "new")), "a new script begins anew")
		sim.SetClockOffset(time.Minute)
		require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "new")), "the offset moves no script")
		time.Sleep(time.Second)
		require.Equal(t, "10", answerOf(t, c.grant(t, sim, "new")))
		sim.Run(Script{})
		require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "new")))
	})
}

func TestScriptText(t *testing.T) {
	s := script(t, "  10s-20s   outage  # one", "", "#", "0s- lost-answers 1% x3 out_id=a*")
	require.Equal(t, "10s-20s outage\n0s- lost-answers 1% x3 out_id=a*\n", s.String())
	require.Equal(t, s.String(), script(t, s.String()).String())
	require.InDelta(t, 0.01, s.lines[1].match.Probability, 1e-9)
	require.Equal(t, 3, s.lines[1].times)
}

func TestScriptErrorsNameTheLine(t *testing.T) {
	for _, tt := range []struct{ give, want string }{
		{"\n10s outage", `line 2: "10s" is no time`},
		{"x-20s outage", `line 1: "x-20s" begins with no duration`},
		{"10s-x outage", `ends with no duration`},
		{"20s-10s outage", `ends before it begins`},
		{"10s-10s outage", `ends before it begins`},
		{"10s-", `no fault is named`},
		{"10s- outag", `no fault "outag"; is it "outage"?`},
		{"10s- nothing-like-it", `no fault "nothing-like-it"`},
		{"10s- outage soon", `"outage" takes no "soon"`},
		{"10s- outage 0%", `no probability`},
		{"10s- outage NaN%", `no probability`},
		{"10s- outage 101%", `no probability`},
		{"10s- outage x0", `no number of times`},
		{"10s- outage open_id=a", `only out_id= and uuid= choose calls`},
		{"10s- throttle", `throttle takes an argument, as in "throttle 50/s"`},
		{"10s- throttle 50", `"50" is no rate`},
		{"10s- throttle 0/s", `"0/s" is no rate`},
		{"10s- stall soon", `"soon" is no duration above 0`},
		{"10s- ban -1s", `is no duration above 0`},
		{"10s- error x", `"x" is no code`},
		{"10s- business 0", `"0" is no code`},
		{"10s- business -7 F9", `"F9" is none of the forms`},
		{"10s- http 99", `no status from 200 to 599`},
		{"10s- error 1 2 3", `error takes an argument`},
		{"10s- x\n20s- y", "line 2"},
		{strings.Repeat("a", maxScriptLine+1), "token too long"},
	} {
		t.Run(tt.give[:min(len(tt.give), 30)], func(t *testing.T) {
			s, err := ParseScript(strings.NewReader(tt.give))
			require.ErrorContains(t, err, tt.want)
			require.Empty(t, s)
		})
	}
}

func TestParseVerbs(t *testing.T) {
	for _, tt := range []struct {
		give, name string
		after      bool
	}{
		{"stall 3s", "stall 3s", false},
		{"stall-after-grant 3s", "stall-after-grant 3s", true},
		{"error 15", "error 15", false},
		{"error-after-grant 15 isp.x", "error-after-grant 15 isp.x", true},
		{"business -42", "business -42 F1", false},
		{"http 418", "http 418", false},
		{"lost-answers", "lost-answers", true},
		{"reset", "reset", false},
		{"reset-after-grant", "reset-after-grant", true},
	} {
		t.Run(tt.give, func(t *testing.T) {
			b, err := Parse(tt.give)
			require.NoError(t, err)
			require.Equal(t, tt.name, b.String())
			require.Equal(t, tt.after, b.after)
			again, err := Parse(b.String())
			require.NoError(t, err)
			require.Equal(t, b.String(), again.String())
		})
	}
	require.Panics(t, func() { MustParse("typo") })
}

// What must hold: no panic, and what was taken reads the same again.
func FuzzParseScript(f *testing.F) {
	f.Add("10s-20s outage\n0s- lost-answers 1% x3 out_id=a*\n# x")
	f.Add("1m-2m stall-after-grant 5s 10% uuid=u\n-")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScript(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := ParseScript(strings.NewReader(s.String()))
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
	})
}
