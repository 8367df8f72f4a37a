package proof_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// span is a part of a run.
type span struct{ from, to time.Time }

func (s span) holds(at time.Time) bool { return !at.Before(s.from) && at.Before(s.to) }

func (s span) seconds() float64 { return s.to.Sub(s.from).Seconds() }

// among are the calls that it holds.
func (s span) among(calls []time.Time) (in []time.Time) {
	for _, at := range calls {
		if s.holds(at) {
			in = append(in, at)
		}
	}
	return in
}

// mostWithin is the highest count of calls in any time so long, wherever it
// begins.
func mostWithin(calls []time.Time, width time.Duration) (most int) {
	sorted := slices.SortedFunc(slices.Values(calls), time.Time.Compare)
	first := 0
	for last, at := range sorted {
		for at.Sub(sorted[first]) >= width {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// outside are the parts of a time that are not within a while after a change.
func outside(whole span, changes []time.Time, while time.Duration) (parts []span) {
	from := whole.from
	for _, at := range slices.SortedFunc(slices.Values(changes), time.Time.Compare) {
		if at.After(from) {
			parts = append(parts, span{from, at})
		}
		if end := at.Add(while); end.After(from) {
			from = end
		}
	}
	if whole.to.After(from) {
		parts = append(parts, span{from, whole.to})
	}
	return parts
}

// rateIn is how many calls a second there were in some parts of a run.
func rateIn(calls []time.Time, parts ...span) float64 {
	var n int
	var seconds float64
	for _, part := range parts {
		seconds += part.seconds()
		n += len(part.among(calls))
	}
	return float64(n) / seconds
}

// reaches is how long after a moment the calls first came as fast as that, for a
// second; false: they never did.
func reaches(calls []time.Time, from time.Time, perSecond float64) (time.Duration, bool) {
	sorted := slices.SortedFunc(slices.Values(calls), time.Time.Compare)
	for i, at := range sorted {
		if at.Before(from) {
			continue
		}
		end, _ := slices.BinarySearchFunc(sorted, at.Add(time.Second), time.Time.Compare)
		if float64(end-i) >= perSecond {
			return at.Sub(from), true
		}
	}
	return 0, false
}

// paced are calls at a steady pace.
func paced(from time.Time, seconds, perSecond int) (calls []time.Time) {
	for i := range seconds * perSecond {
		calls = append(calls, from.Add(time.Duration(i)*time.Second/time.Duration(perSecond)))
	}
	return calls
}

func TestMostWithinSeesABurstThatEveryWholeSecondHides(t *testing.T) {
	start := time.Unix(1000, 0)
	steady := paced(start, 60, 200)
	require.Equal(t, 2000, mostWithin(steady, 10*time.Second))

	// Two owners of one share for half a second, across the edge of two windows of the clock.
	doubled := slices.Concat(steady, paced(start.Add(19750*time.Millisecond), 1, 104)[:52])
	require.Equal(t, 2052, mostWithin(doubled, 10*time.Second))

	// A window of the clock each holds 2,000, the one across them 2,100.
	shifted := slices.Concat(paced(start, 10, 190), paced(start.Add(9*time.Second), 1, 100), paced(start.Add(10*time.Second), 1, 100), paced(start.Add(10*time.Second), 10, 190))
	require.Equal(t, 2000, len(shifted)/2)
	require.Equal(t, 2100, mostWithin(shifted, 10*time.Second))
	require.Zero(t, mostWithin(nil, time.Second))
}

func TestUseIsTakenOutsideOfChanges(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	parts := outside(span{start, at(60)}, []time.Time{at(30), at(10), at(31)}, 3*time.Second)

	require.Equal(t, []span{{start, at(10)}, {at(13), at(30)}, {at(34), at(60)}}, parts)
	require.InDelta(t, 100, rateIn(paced(start, 60, 100), parts...), 1)
	require.InDelta(t, 100.0*27/53, rateIn(paced(start, 30, 100), parts...), 1, "a silence counts")
	require.Empty(t, outside(span{start, at(2)}, []time.Time{start}, 3*time.Second))
}

func TestReachesIsTheFirstSecondAtSpeed(t *testing.T) {
	start := time.Unix(1000, 0)
	slow, fast := paced(start, 4, 50), paced(start.Add(4*time.Second), 4, 100)

	after, ok := reaches(slices.Concat(slow, fast), start.Add(time.Second), 90)
	require.True(t, ok)
	require.InDelta(t, 2.8, after.Seconds(), 0.1, "the second from there on has enough of the fast ones")
	_, ok = reaches(slow, start, 90)
	require.False(t, ok)
}
