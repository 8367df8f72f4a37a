package proof

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

func text(t *testing.T, r Report) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.WriteText(&b))
	return b.String()
}

func TestReportTextOfABalancedSystem(t *testing.T) {
	s := newSystem(2)
	s.grant(0)
	s.AddDeadLetter(s.deadRecord(1, schemas.Undecodable))
	require.Equal(t, `requests                   2  
  granted                  1  
  failed                   0  
  dead letters             1  undecodable 1
  not finished             0  
attempts                   3  at least

balanced: every request record ended exactly once
`, text(t, s.Report()))
}

// Of a request whose end may be gone nobody knows that it ended.
func TestReportTextSaysHowManyCouldNotBeChecked(t *testing.T) {
	s := newSystem(3)
	s.grant(2)
	s.Trimmed(start.Add(90*time.Second - ClockMargin))
	r := s.Report()
	require.Equal(t, Balanced, r.Verdict())
	got := text(t, r)
	require.Contains(t, got, "\nnot checkable              2  requests whose end retention may have taken\n")
	require.True(t, strings.HasSuffix(got, "\nbalanced as far as could be checked; requests without an end, which retention may have taken: 2\n"), got)
	require.NotContains(t, got, "every request record")
}

func TestReportTextNamesBreachesAndWhatCouldNotBeRead(t *testing.T) {
	s := newSystem(30)
	s.grant(0)
	s.grant(0)
	got := text(t, s.Report())
	require.Contains(t, got, "\nVIOLATED: doubled: 1\n  granted/0/1 for store/0/0 granted after granted\n")
	require.Contains(t, got, "\nVIOLATED: lost: 29\n  store/0/1 below the watermark, without an end and not parked\n")
	require.Contains(t, got, "\n  and 9 more\n")
	require.True(t, strings.HasSuffix(got, "\nviolated: 30 breaches\n"))

	s.Unread(Unread{Topic: "failed", From: 3, End: 5, Why: "an open transaction"})
	require.Contains(t, text(t, s.Report()), "\nnot read: failed/0 from 3 to 5: an open transaction\n")
}

func TestReportTextOfAnUnfinishedSystem(t *testing.T) {
	s := newSystemAt(2, 1)
	s.park(0, 20)
	got := text(t, s.Report())
	require.Contains(t, got, "not finished             2  1 of them parked, the oldest of 2026-03-01T08:00:00Z\n")
	require.True(t, strings.HasSuffix(got, "\nnot finished yet, and nothing violated so far\n"))
}

func TestReportQuotesWhatComesFromOutside(t *testing.T) {
	f := Finding{RequestID: "a\x1b[2Jb\n", Detail: "x"}
	require.Equal(t, `request_id "a\x1b[2Jb\n" x`, f.String())
}

func TestReportJSONHasAllCounts(t *testing.T) {
	b, err := json.Marshal(newSystem(1).Report())
	require.NoError(t, err)
	require.JSONEq(t, `{
		"requests": 1, "granted": 0, "failed": {}, "dead_letters": {}, "unfinished": 0, "parked": 0, "attempts": 0,
		"repeats": 0, "replays": 0, "gone": 0, "not_checkable": 0, "conflicts": {"total": 0, "named": []},
		"violations": {"lost": {"total": 1, "named": [
			{"topic": "store", "partition": 0, "offset": 0, "detail": "below the watermark, without an end and not parked"}]}}
	}`, string(b))
}

func TestReportHoldsNoOpenID(t *testing.T) {
	const canary = "canary-open-id"
	s := &system{Checker: NewChecker(testTopics())}
	s.AddRange(Range{Topic: "store", End: 2, Committed: 2})
	one, two := request(0), request(0)
	one.OpenID, two.OpenID = schemas.NewOpenID(canary), schemas.NewOpenID(canary+"2")
	s.AddRequest(requestRecord(0), one, nil)
	s.AddRequest(requestRecord(1), two, nil)
	end := s.endRecord("granted", 0)
	end.Headers[0].Value = []byte(canary + "/0/0")
	s.AddOutcome(end, &schemas.Granted{Ending: ending(0)}, nil)
	r := s.Report()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.NotContains(t, string(b)+text(t, r), canary)
	require.EqualValues(t, 1, r.Conflicts.Total)
	require.EqualValues(t, 1, r.Violations[NoSource].Total)
}
