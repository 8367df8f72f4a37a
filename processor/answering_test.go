package processor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/topclient"
)

func TestClockRunsOnlyWhileOthersAreAnswered(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var c answering
	for _, tick := range []struct {
		second  int
		runs    bool
		elapsed time.Duration
		since   int // 0: it stands still
	}{
		{100, false, 0, 0},
		{101, true, 0, 101},
		{102, true, time.Second, 101},
		{104, true, 3 * time.Second, 101},
		{105, false, 3 * time.Second, 0}, // the last second is not known to have been good
		{3700, false, 3 * time.Second, 0},
		{3701, true, 3 * time.Second, 3701},
		{3702, true, 4 * time.Second, 3701},
		{9999, true, 4 * time.Second, 9999}, // this process was stopped
		{10000, true, 5 * time.Second, 9999},
	} {
		c.tick(at(tick.second), tick.runs)
		require.Equal(t, tick.elapsed, c.elapsed, "at %d", tick.second)
		require.Equal(t, tick.since != 0, !c.since.IsZero(), "at %d", tick.second)
		if tick.since != 0 {
			require.Equal(t, at(tick.since), c.since)
		}
	}
}

func TestWaitCountsFromTheFirstAttempt(t *testing.T) {
	began := time.Unix(1000, 0)
	c := &answering{at: began, since: began}
	pass := func(seconds int) {
		for range seconds {
			c.tick(c.at.Add(time.Second), true)
		}
	}
	fresh := &task{record: &kgo.Record{}}
	c.arrive(fresh, false)
	pass(10)
	c.count(fresh)
	require.Zero(t, fresh.waited, "it was not called yet")
	pass(3)
	c.count(fresh) // the call begins
	pass(2)
	fresh.firstCall = began // it is answered
	c.count(fresh)
	require.Equal(t, 2*time.Second, fresh.waited)
	c.count(fresh)
	pass(5)
	c.count(fresh)
	require.Equal(t, 7*time.Second, fresh.waited)
}

func TestWaitInTheRetryTopicCountsAsFarAsItIsKnown(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, row := range map[string]struct {
		since     time.Time // the clock has run from here on; zero: it stands still
		parkedAt  time.Time
		fromRetry bool
		called    bool
		want      time.Duration
	}{
		"answered all the while":      {since: now.Add(-time.Hour), parkedAt: now.Add(-time.Minute), fromRetry: true, called: true, want: time.Minute},
		"answered of late":            {since: now.Add(-time.Second), parkedAt: now.Add(-time.Minute), fromRetry: true, called: true, want: time.Second},
		"not answered":                {parkedAt: now.Add(-time.Minute), fromRetry: true, called: true},
		"another clock, in advance":   {since: now.Add(-time.Hour), parkedAt: now.Add(time.Minute), fromRetry: true, called: true},
		"no attempt that is known of": {since: now.Add(-time.Hour), parkedAt: now.Add(-time.Minute), fromRetry: true},
		"not from the retry topic":    {since: now.Add(-time.Hour), parkedAt: now.Add(-time.Minute), called: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &answering{at: now, since: row.since}
			r := &task{record: &kgo.Record{Timestamp: row.parkedAt}, waited: 5 * time.Second}
			if row.called {
				r.firstCall = now.Add(-2 * time.Hour)
			}
			c.arrive(r, row.fromRetry)
			require.Equal(t, 5*time.Second+row.want, r.waited)
		})
	}
}

func TestOthersAreAnsweredWhileTheGatewayWorks(t *testing.T) {
	now := time.Now()
	for name, row := range map[string]struct {
		change func(*scheduler)
		want   bool
	}{
		"someone was answered":      {func(*scheduler) {}, true},
		"nobody of late":            {func(s *scheduler) { s.answered = now.Add(-time.Minute) }, false},
		"nobody yet":                {func(s *scheduler) { s.answered = time.Time{} }, false},
		"two calls failed":          {func(s *scheduler) { s.failures = 2 }, true},
		"three in a row":            {func(s *scheduler) { s.failures = 3 }, false},
		"a ban":                     {func(s *scheduler) { s.gate.bannedUntil = now.Add(time.Second) }, false},
		"a ban that is over":        {func(s *scheduler) { s.gate.bannedUntil = now }, true},
		"the app is in trouble":     {func(s *scheduler) { s.gate.trouble = &topclient.Error{} }, false},
		"an input waits for people": {func(s *scheduler) { s.holds.Set(holdLostInput, "store/1", "") }, true},
		"the breaker is open": {func(s *scheduler) {
			for range breaker.DefaultConfig().MinCalls {
				done, _, ok := s.breaker.Allow()
				require.True(t, ok)
				done(breaker.Failure)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scheduler{
				gate: &gate{guard: new(guard)},
				cfg:  DefaultConfig(), answered: now.Add(-time.Second),
				holds: newHolds(slog.New(slog.DiscardHandler), func(string, int) {}), breaker: breaker.New(breaker.DefaultConfig(), nil),
			}
			row.change(s)
			require.Equal(t, row.want, s.answersOthers(now))
		})
	}
}

func TestOnlyAGrantOrARefusalShowsThatTheGatewayWorks(t *testing.T) {
	var names []string
	for name, answer := range answers() {
		if definite(answer) {
			names = append(names, name)
		}
	}
	require.ElementsMatch(t, []string{
		"granted", "limit reached", "out of stock", "coupon invalid", "business exception", "refused as it stands", "id refused",
	}, names)
}
