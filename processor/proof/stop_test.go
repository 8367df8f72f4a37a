//go:build integration

package proof_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

func TestStopUnderLoadLosesNothing(t *testing.T) {
	const count, stopTimeout = 1000, 8 * time.Second
	s := newSystem(t, startKafka(t), newGateway(t, func(c *topsim.Config) { c.Latency = 300 * time.Millisecond }))
	s.settings["gateway.max_in_flight"] = "64"
	s.settings["gateway.timeout"], s.settings["stop_timeout"] = "5s", stopTimeout.String()
	s.createTopics(2)
	s.do("produce", "--count", "1000")
	r := s.replica("a", nil)
	s.eventually("a fifth must be granted", func() bool { return s.gateway.Stats().Grants >= count/5 })

	// Calls take longer than this: some are in flight when the signal comes.
	require.Positive(t, s.gateway.Stats().Concurrent)
	asked := time.Now()
	require.Zero(t, r.stop(t, settleLimit), r.stderr.String())
	require.Less(t, time.Since(asked), stopTimeout)

	stopped := s.report()
	require.Equal(t, proof.Unfinished, stopped.Verdict())
	require.EqualValues(t, s.gateway.Stats().Grants, stopped.Granted, "what was granted is committed before the end")
	s.replica("a", nil)
	require.EqualValues(t, count, s.balanced(count).Granted)
	for _, e := range s.gateway.Ledger().Entries() {
		require.EqualValues(t, 1, e.Calls, "%s: a good stop leaves no call to be repeated", e.OutID)
	}
}

// torn is a system whose replica was killed after the gateway had granted some
// requests and before the answers came; their time is over by now, and nothing
// runs.
func torn(t *testing.T, g *gateway, requests int) *system {
	t.Helper()
	const lifetime = 5 * time.Second
	s := newSystem(t, startKafka(t), g)
	s.settings["gateway.timeout"], s.settings["stop_timeout"], s.settings["breaker.interval"] = "30s", "40s", "150s"
	s.settings["retry.delay"], s.settings["retry.doubtful_attempts"], s.settings["retry.min_backoff"] = "2s", "2", "50ms"
	s.createTopics(1)
	expiry := time.Now().Add(lifetime).UTC().Truncate(time.Millisecond)
	hung := g.On(topsim.Match{OutID: "torn-*"}, topsim.Stall(time.Minute).AfterGrant()).Times(requests)
	s.send(s.topics.Inputs[0], "", someRequests("torn", requests, func(r *schemas.Request) { r.ExpiresAt = expiry })...)
	victim := s.replica("a", nil)

	s.eventually("all must hang", func() bool { return hung.Count() == int64(requests) })
	victim.kill()
	require.Zero(t, s.report().Granted, "the kill came after the commit")
	s.eventually("their time must pass", func() bool { return time.Now().After(expiry) })
	return s
}

func TestKillBetweenGrantAndCommit(t *testing.T) {
	const requests = 20
	s := torn(t, newGateway(t, nil), requests)
	// The same of a topic where nobody can have been called must fail: expiry works.
	late := someRequests("late", 3, func(r *schemas.Request) { r.ExpiresAt = time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond) })
	s.send(s.topics.Inputs[1], "", late...)
	s.replica("a", nil)

	report := s.balanced(requests + len(late))

	require.EqualValues(t, requests, report.Granted)
	require.Equal(t, map[string]int64{"EXPIRED": int64(len(late))}, report.Failed)
	for _, e := range s.gateway.Ledger().Entries() {
		require.Equal(t, 1, e.Grants)
		require.EqualValues(t, 2, e.Calls, "%s: once by each life of the replica", e.OutID)
		require.True(t, strings.HasPrefix(e.OutID, "torn-"), e.OutID)
	}
}

// A gateway that looks at the limits before it recognises a repeat refuses what
// it has granted itself.
func TestKillBetweenGrantAndCommitWithLimitFirst(t *testing.T) {
	const requests = 5
	g := newGateway(t, func(c *topsim.Config) {
		c.Replay, c.OtherCoupon = topsim.ReplayLimitFirst, topsim.Coupon{PerMember: 1}
	})
	s := torn(t, g, requests)
	r := s.replica("a", nil)

	var report proof.Report
	s.eventually("all must be parked", func() bool {
		report = s.report()
		return report.Parked == requests
	})
	require.Empty(t, report.Failed, "a refusal proves nothing here")
	require.Empty(t, report.Violations)
	for _, parked := range newForeign(s.brokers, s.registry).consume(t, requests, patience, s.topics.Retry) {
		require.Equal(t, "true", parked.Headers["coupongrant-in-doubt"])
		require.Regexp(t, "^"+s.topics.Inputs[0]+`/0/\d+$`, parked.Headers["coupongrant-source"])
		require.NotEmpty(t, parked.Headers["coupongrant-next-at"])
		require.NotEmpty(t, parked.Headers["coupongrant-attempts"])
	}
	require.Zero(t, r.stop(t, settleLimit))
	require.Positive(t, s.gateway.Stats().Replays)
}
