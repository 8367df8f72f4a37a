package proof

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// newSystemAt is newSystem with another watermark.
func newSystemAt(n, watermark int64) *system {
	s := &system{Checker: NewChecker(testTopics())}
	s.AddRange(Range{Topic: "store", End: n, Committed: watermark})
	s.AddRange(Range{Topic: "retry", End: 100, Committed: 10})
	for i := range n {
		s.AddRequest(requestRecord(i), request(i), nil)
	}
	return s
}

func TestCheckerWatermarkParksAndFinishedSetDecideWhatIsLost(t *testing.T) {
	for _, c := range []struct {
		name       string
		watermark  int64
		plant      func(*system)
		unfinished int64
		parked     int64
		lost       int64
	}{
		{"nothing committed", -1, func(*system) {}, 3, 0, 0},
		{"above the watermark", 1, func(s *system) { s.grant(0) }, 2, 0, 0},
		{"an end above the watermark, in the finished set", 1, func(s *system) { s.grant(0); s.grant(2) }, 1, 0, 0},
		{"early watermark", 2, func(s *system) { s.grant(0) }, 1, 0, 1},
		{"parked and waiting", 3, func(s *system) { s.grant(0); s.grant(2); s.park(1, 10) }, 1, 1, 0},
		{"parked again", 3, func(s *system) { s.grant(0); s.grant(2); s.park(1, 9); s.park(1, 12) }, 1, 1, 0},
		{"parked copy passed over", 3, func(s *system) { s.grant(0); s.grant(2); s.park(1, 9) }, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystemAt(3, c.watermark)
			c.plant(s)
			r := s.Report()
			require.Equal(t, c.unfinished, r.Unfinished)
			require.Equal(t, c.parked, r.Parked)
			require.Equal(t, c.lost, r.Violations[Lost].Total)
		})
	}
}

func TestCheckerUnfinishedIsNoBreach(t *testing.T) {
	s := newSystemAt(3, 1)
	s.grant(0)
	r := s.Report()
	require.Equal(t, Unfinished, r.Verdict())
	require.Equal(t, start.Add(time.Minute), *r.OldestUnfinished)
}

func TestCheckerCallsNothingLostWhileATopicIsUnread(t *testing.T) {
	s := newSystem(2)
	s.grant(0)
	s.Unread(Unread{Topic: "granted", From: 1, End: 2, Why: "an open transaction"})
	r := s.Report()
	require.Empty(t, r.Violations)
	require.Equal(t, Unfinished, r.Verdict())
}

func TestCheckerEndOfAnUnreadRequestIsNoBreach(t *testing.T) {
	s := &system{Checker: NewChecker(testTopics())}
	s.AddRange(Range{Topic: "store", End: 10, Committed: 10})
	s.Unread(Unread{Topic: "store", From: 0, End: 10, Why: "an open transaction"})
	s.grant(4)
	require.Empty(t, s.Report().Violations)
}

func TestCheckerRetentionOfRequestsIsNoBreach(t *testing.T) {
	s := newSystem(4)
	s.AddRange(Range{Topic: "loyalty", Start: 100, End: 100, Committed: 100})
	end := s.endRecord("granted", 0)
	end.Headers[0].Value = []byte("loyalty/0/7")
	s.AddOutcome(end, &schemas.Granted{Ending: ending(77), Coupon: coupon(77)}, nil)
	for i := range int64(4) {
		s.grant(i)
	}
	r := s.Report()
	require.Equal(t, Balanced, r.Verdict())
	require.EqualValues(t, 1, r.Gone)

	again := s.endRecord("granted", 0)
	again.Headers[0].Value = []byte("loyalty/0/7")
	s.AddOutcome(again, &schemas.Granted{Ending: ending(77), Coupon: coupon(77)}, nil)
	require.EqualValues(t, 1, s.Report().Violations[Doubled].Total, "two ends show even without their request")
}

func TestCheckerRetentionOfEndsHidesOnlyOlderRequests(t *testing.T) {
	s := newSystem(4) // one a minute
	s.Trimmed(start.Add(90*time.Second - ClockMargin))
	s.grant(2)
	r := s.Report()
	require.EqualValues(t, 2, r.NotCheckable)
	require.EqualValues(t, 1, r.Violations[Lost].Total)
	require.EqualValues(t, 3, r.Violations[Lost].Named[0].Offset)
}

// The clock of whoever sent a request is not ours: only a request that is newer
// beyond doubt than what retention took is lost.
func TestCheckerClockOfAProducerIsAheadOfTheEndsThatRetentionTook(t *testing.T) {
	now := start.Add(48 * time.Hour)
	for _, c := range []struct {
		name    string
		sent    time.Time // by the producer's clock
		trimmed time.Time
		lost    int64
	}{
		{"ahead by 10 s", start.Add(10 * time.Second), start, 0},
		{"ahead by as much as brokers let it", start.Add(time.Hour), start, 0},
		{"newer", start.Add(time.Hour + 5*time.Second), start, 1},
		{"much newer", start.Add(24 * time.Hour), start, 1},
		{"microseconds for milliseconds", time.UnixMilli(start.UnixMicro()), start, 0},
		{"microseconds, and retention took nothing", time.UnixMilli(start.UnixMicro()), time.Time{}, 1},
		{"later than now", now.Add(2 * time.Second), start, 0},
		{"just before now", now.Add(-2 * time.Second), start, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &system{Checker: NewChecker(testTopics())}
			s.now = now
			s.AddRange(Range{Topic: "store", End: 1, Committed: 1})
			r := requestRecord(0)
			r.Timestamp = c.sent
			s.AddRequest(r, request(0), nil)
			s.Trimmed(c.trimmed)
			got := s.Report()
			require.Equal(t, c.lost, got.Violations[Lost].Total)
			require.Equal(t, 1-c.lost, got.NotCheckable)
		})
	}
}

func TestCheckerRepeatsReplaysAndConflicts(t *testing.T) {
	s := &system{Checker: NewChecker(testTopics())}
	s.AddRange(Range{Topic: "store", End: 4, Committed: 4})
	other := request(0)
	other.OpenID = schemas.NewOpenID("somebody else")
	replay := requestRecord(3)
	replay.Headers = []kgo.RecordHeader{{Key: replayOfHeader, Value: []byte("store/0/0")}}
	s.AddRequest(requestRecord(0), request(0), nil)
	s.AddRequest(requestRecord(1), request(0), nil)
	s.AddRequest(requestRecord(2), other, nil)
	s.AddRequest(replay, request(0), nil)
	r := s.Report()
	require.EqualValues(t, 2, r.Repeats)
	require.EqualValues(t, 1, r.Replays)
	require.EqualValues(t, 1, r.Conflicts.Total)
	require.EqualValues(t, 2, r.Conflicts.Named[0].Offset)
}

func TestCheckerRepeatsOfOneRequestID(t *testing.T) {
	for _, c := range []struct {
		name      string
		second    int64 // whose coupon the second record got
		grantedAt time.Time
		failFirst bool
		want      map[Kind]int64
	}{
		{"same coupon again", 0, start, false, map[Kind]int64{}},
		{"another coupon", 1, start, false, map[Kind]int64{GrantedTwice: 1}},
		{"refused, then granted", 0, start.Add(2 * time.Hour), true, map[Kind]int64{}},
		{"granted, yet refused", 0, start.Add(time.Minute), true, map[Kind]int64{Untrue: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &system{Checker: NewChecker(testTopics())}
			s.AddRange(Range{Topic: "store", End: 2, Committed: 2})
			s.AddRequest(requestRecord(0), request(0), nil)
			s.AddRequest(requestRecord(1), request(0), nil)
			first := map[bool]func(int64){true: s.fail, false: s.grant}[c.failFirst]
			first(0)
			s.AddOutcome(s.endRecord("granted", 1), &schemas.Granted{Ending: ending(0), Coupon: coupon(c.second)}, nil)
			s.AddLedger(LedgerEntry{OutID: "r-0", Calls: 2, Coupons: 1, Coupon: ptr(coupon(0)), CouponCode: "code", CouponType: 276, GrantedAt: c.grantedAt})
			require.Equal(t, c.want, counts(s.Report()))
		})
	}
}

func TestCheckerOutcomesOfRecordsThatAreNoRequest(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int64
	}{
		{"undecodable", &schemas.DecodeError{Reason: schemas.Undecodable, Err: errors.New("x")}, 1},
		{"too large", &schemas.DecodeError{Reason: schemas.TooLarge, Err: errors.New("x")}, 1},
		{"against rules that may have changed", &schemas.DecodeError{Reason: schemas.InvalidRequest, Err: errors.New("x")}, 0},
		{"of a schema that was deleted since", &schemas.DecodeError{Reason: schemas.UnknownSchema, Err: errors.New("x")}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &system{Checker: NewChecker(testTopics())}
			s.AddRange(Range{Topic: "store", End: 1, Committed: 1})
			s.AddRequest(requestRecord(0), request(0), c.err)
			s.grant(0)
			require.Equal(t, c.want, s.Report().Violations[Mismatch].Total)
		})
	}
}

func TestCheckerRecordsWrittenAfterTheLookAreLeftOut(t *testing.T) {
	s := newSystem(1)
	s.grant(0)
	s.AddRequest(requestRecord(1), request(1), nil)
	s.AddRequest(requestRecord(0), request(0), nil)
	s.park(1, 100)
	r := s.Report()
	require.Equal(t, Balanced, r.Verdict())
	require.EqualValues(t, 1, r.Requests)
}

func TestCheckerLedgerGrantsOfUnknownIDsAreCountedOnly(t *testing.T) {
	s := newSystem(1)
	s.grant(0)
	s.ledger(0)
	s.ledger(99)
	r := s.Report()
	require.Equal(t, Balanced, r.Verdict())
	require.EqualValues(t, 1, r.Ledger.Foreign)
}
