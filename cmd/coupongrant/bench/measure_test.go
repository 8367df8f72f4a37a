package bench

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func turns(kind, figure string, values ...float64) (runs []run) {
	for i, v := range values {
		runs = append(runs, run{Turn: i + 1, Kind: kind, Figures: map[string]float64{figure: v}})
	}
	return runs
}

func TestMeasuresAreMediansOverTurns(t *testing.T) {
	runs := slices.Concat(turns("engine", "f", 2, 30, 4), turns("loop", "f", 1, 10, 4))
	for _, c := range []struct {
		give   measure
		result float64
		held   bool
	}{
		{level("", "f", "engine").atMost(4), 4, true},
		{level("", "f", "engine").atLeast(5), 4, false},
		{ratio("", "f", "engine", "loop").atMost(2), 2, true},
		{ratio("", "f", "engine", "loop").atMost(1.9), 2, false},
		{excess("", "f", "engine", 1, "loop").atMost(1), 1, true},
		{excess("", "f", "engine", 1.5, "loop").atMost(-0.1), 0.5, false},
		{ratio("", "f", "engine", "loop"), 2, true},
	} {
		got := c.give.over(runs)
		require.InDelta(t, c.result, got.Result, 1e-9, c.give.how())
		require.Equal(t, c.held, got.Held, c.give.how())
	}
	require.Equal(t, 30.0, level("", "f", "engine").over(runs).Most)
}

// Where the slots allow less than the other runs reached, it is that which counts, and
// nothing less.
func TestCappedRatioIsOfWhatTheSlotsAllow(t *testing.T) {
	m := ratio("", perSecond, "with", "without").capped().atLeast(0.9)
	for _, c := range []struct {
		with, ofIdeal, without, result float64
		held                           bool
	}{
		{9500, 0.95, 17_000, 0.95, true},
		{8000, 0.8, 17_000, 0.8, false},
		{5000, 0.5, 5200, 5000.0 / 5200, true},
		{4000, 0.4, 5000, 0.8, false},
	} {
		runs := turns("without", perSecond, c.without)
		runs = append(runs, run{Turn: 1, Kind: "with", Figures: map[string]float64{perSecond: c.with, ofIdeal: c.ofIdeal}})
		got := m.over(runs)
		require.InDelta(t, c.result, got.Result, 1e-9)
		require.Equal(t, c.held, got.Held)
	}
	require.Equal(t, "with / min(without, slots / call)", m.how())
}

func TestWhatNobodyHasMeasuredDoesNotHold(t *testing.T) {
	runs := turns("engine", "f", 2)

	require.False(t, level("", "other", "engine").over(runs).Held)
	require.False(t, ratio("", "f", "engine", "loop").atMost(5).over(runs).Held)
	r := &result{Runs: runs}
	r.judge([]measure{level("", "f", "engine"), ratio("", "f", "engine", "loop")})
	require.Equal(t, verdictNotHeld, r.Verdict)
}

// A measure of a kind that no run has could never hold.
func TestEveryMeasureIsOfRunsOfItsCase(t *testing.T) {
	names := map[string]bool{}
	for _, e := range experiments() {
		require.False(t, names[e.name], "%s is there twice", e.name)
		names[e.name] = true
		kinds := map[string]bool{}
		for _, s := range e.specs {
			require.False(t, kinds[s.Kind], "%s: %s is there twice", e.name, s.Kind)
			kinds[s.Kind] = true
			require.Equal(t, s.Rate == half, e.probe != nil, "%s: half of what?", e.name)
		}
		for _, m := range e.measures {
			require.True(t, kinds[m.Kind] && (m.Than == "" || kinds[m.Than]), "%s: %s", e.name, m.What)
		}
	}
}

// Each line of what the page promises is somebody's.
func TestEveryPromiseIsMeasured(t *testing.T) {
	lines := map[int]bool{}
	for _, e := range experiments() {
		for _, m := range e.measures {
			lines[m.Line] = lines[m.Line] || m.AtLeast != nil || m.AtMost != nil
		}
	}
	for line := 1; line <= 6; line++ {
		require.True(t, lines[line], "line %d", line)
	}
}

func TestTableTellsEveryMeasure(t *testing.T) {
	r := &result{Case: "call-0ms", Runs: slices.Concat(turns("engine", perSecond, 80), turns("loop", perSecond, 100))}
	r.judge([]measure{ratio("throughput", perSecond, "engine", "loop").atLeast(0.9)})
	var out bytes.Buffer
	require.NoError(t, r.table(&out))

	require.Regexp(t, `throughput +engine / loop +80, 100 +0\.8 +0\.8 to 0\.8 +at least 0\.9 +NO`, out.String())
	require.Contains(t, out.String(), "call-0ms: not held")
}

func TestIdealIsWhatKeysAndSlotsAllow(t *testing.T) {
	s := base(armEngine, 0, 64)
	require.Zero(t, s.ideal())
	s = base(armEngine, 100_000_000, 64)
	require.InDelta(t, 640, s.ideal(), 1e-9)
	s.Keys = 10
	require.InDelta(t, 100, s.ideal(), 1e-9)
	s.Stragglers, s.Slow = 0.01, 10_000_000_000
	require.InDelta(t, 10/0.199, s.ideal(), 1e-9)
}

// What the gateway's part of a call allows goes by how long the gateway had the
// calls, not by how long it was told to.
func TestShareIsOfTheTimeThatTheGatewayHadItsCalls(t *testing.T) {
	run, began, figures := trial{spec: base(armEngine, 10*time.Millisecond, 16)}, time.Now(), map[string]float64{}
	run.between(sample{at: began, calls: 100, took: 2}, sample{at: began.Add(10 * time.Second), count: 12_000, calls: 12_100, took: 2 + 12_000*0.012, all: 1}, figures)
	require.InDelta(t, 12, figures[callTime], 1e-9)
	require.InDelta(t, 1200*0.012/16, figures[ofIdeal], 1e-9)
}

func TestBacklogGrowsUntilItLasts(t *testing.T) {
	s := &session{faster: 1, cfg: Config{Say: func(string) {}}}
	lastsFrom := func(enough int) func(int) (map[string]float64, error) {
		return func(faster int) (map[string]float64, error) {
			if faster < enough {
				return nil, fmt.Errorf("%w: too few", errWorkedOff)
			}
			return map[string]float64{"faster": float64(faster)}, nil
		}
	}
	for _, c := range []struct{ enough, found float64 }{{1, 1}, {3, 4}, {1, 4}} { // what was found counts for the runs after it
		figures, err := s.lasting(lastsFrom(int(c.enough)))
		require.NoError(t, err)
		require.InDelta(t, c.found, figures["faster"], 0)
	}
	_, err := s.lasting(lastsFrom(1000))
	require.ErrorIs(t, err, errWorkedOff)
	_, err = s.lasting(func(int) (map[string]float64, error) { return nil, context.Canceled })
	require.ErrorIs(t, err, context.Canceled)
}
