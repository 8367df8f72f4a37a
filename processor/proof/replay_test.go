//go:build integration

package proof_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// A dead letter whose cause is mended is put back, and once more on purpose:
// Tmall grants one coupon, and the trail names everything.
func TestReplayTwiceGrantsOnce(t *testing.T) {
	s := newSystem(t, startKafka(t), newGateway(t, func(c *topsim.Config) { c.CouponTypes = []int64{276, 999} }))
	s.createTopics(2)
	request := someRequests("replayed", 1, func(r *schemas.Request) {
		r.OpenID, r.CouponType = schemas.NewOpenID(canary), 999
	})[0]
	before := s.replica("a", nil)
	s.send(s.topics.Inputs[0], "till-1", request)
	dead := func() (letters []map[string]any) { return jsonLines(t, s.do("dead-letters", "list", "--json")) }
	s.eventually("a type that is not accepted is a dead letter", func() bool { return len(dead()) == 1 })
	require.Equal(t, request.RequestID, dead()[0]["request_id"])
	before.stop(t, settleLimit)

	source := s.topics.Inputs[0] + "/0/0"
	require.Contains(t, s.do("dead-letters", "replay"), "1 of 1 dead letter would be put back")
	require.Contains(t, s.do("dead-letters", "replay", "--source", source, "--yes"), "1 of 1 put back")
	second := s.do("dead-letters", "replay", "--yes")
	require.Contains(t, second, "it was put back already, as "+s.topics.Inputs[0]+"/0/")
	require.Contains(t, second, "0 of 1 put back")
	require.Contains(t, s.do("dead-letters", "replay", "--yes", "--again"), "1 of 1 put back")

	s.settings["request.coupon_types"] = "276,999"
	after := s.replica("b", nil)
	report := s.balanced(3)
	require.EqualValues(t, 2, report.Granted)
	require.EqualValues(t, 2, report.Replays)
	entries := s.gateway.Ledger().Entries()
	require.Len(t, entries, 1)
	require.EqualValues(t, 2, entries[0].Calls, "each replay has asked, and one has granted")
	require.Empty(t, s.gateway.Ledger().Violations())

	told := s.do("request", request.RequestID, "--json")
	var trace struct {
		State   string
		Records []struct {
			Source   string
			ReplayOf string `json:"replay_of"`
			InDoubt  bool   `json:"in_doubt"`
			State    string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(told), &trace))
	require.Equal(t, "granted", trace.State)
	require.Len(t, trace.Records, 3)
	require.Equal(t, source, trace.Records[0].Source)
	require.Equal(t, "dead-letter", trace.Records[0].State)
	for i, inDoubt := range []bool{false, true} {
		require.Equal(t, source, trace.Records[1+i].ReplayOf)
		require.Equal(t, inDoubt, trace.Records[1+i].InDoubt, "the first replay may have been granted when the second was made")
		require.Equal(t, "granted", trace.Records[1+i].State)
	}
	require.NotContains(t, told+second+before.stderr.String()+after.stderr.String(), canary)
}

func jsonLines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		all = append(all, one)
	}
	return all
}
