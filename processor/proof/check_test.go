package proof

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func testTopics() Topics {
	return Topics{Inputs: []string{"store", "loyalty"}, Retry: "retry", Granted: "granted", Failed: "failed", DeadLetter: "dead"}
}

func ptr[T any](v T) *T { return &v }

// system is a small world that ends every request truthfully, until a test
// breaks it. Offsets are 0, 1, 2, ... of store/0.
type system struct {
	*Checker
	next int64 // offset of the next end
}

// newSystem holds n requests, all below the watermark.
func newSystem(n int64) *system {
	s := &system{Checker: NewChecker(testTopics())}
	s.AddRange(Range{Topic: "store", End: n, Committed: n})
	s.AddRange(Range{Topic: "retry", End: 100, Committed: 100})
	for i := range n {
		s.AddRequest(requestRecord(i), request(i), nil)
	}
	return s
}

func request(i int64) schemas.Request {
	return schemas.Request{
		RequestID: fmt.Sprintf("r-%d", i), OccurredAt: start, BizCode: "YXX", OpenID: schemas.NewOpenID("member"), Channel: "app",
		CouponCode: "code", CouponType: 276, Trigger: &schemas.Trigger{Kind: "store-checkout", StoreID: ptr("S1")},
	}
}

func requestRecord(i int64) *kgo.Record {
	return &kgo.Record{Topic: "store", Offset: i, Timestamp: start.Add(time.Duration(i) * time.Minute), Key: []byte("k"), Value: []byte(fmt.Sprint("value ", i))}
}

func ending(i int64) schemas.Ending {
	r := request(i)
	return schemas.Ending{
		RequestID: r.RequestID, OccurredAt: r.OccurredAt, EndedAt: start.Add(time.Hour), BizCode: r.BizCode, Channel: r.Channel,
		CouponCode: r.CouponCode, CouponType: r.CouponType, Trigger: r.Trigger, Attempts: 1,
		AttemptLog: []schemas.Attempt{{At: start}}, GatewayRequestID: ptr("g"),
	}
}

func coupon(i int64) schemas.Coupon {
	return schemas.Coupon{InstanceID: 1000 + i, Discount: ptr(int64(500)), Name: ptr("five off")}
}

func (s *system) endRecord(topic string, i int64) *kgo.Record {
	s.next++
	return &kgo.Record{
		Topic: topic, Offset: s.next - 1, Key: []byte("k"),
		Headers: []kgo.RecordHeader{{Key: sourceHeader, Value: fmt.Append(nil, "store/0/", i)}},
	}
}

func (s *system) grant(i int64) {
	s.AddOutcome(s.endRecord("granted", i), &schemas.Granted{Ending: ending(i), Coupon: coupon(i)}, nil)
}

func (s *system) fail(i int64) {
	s.AddOutcome(s.endRecord("failed", i), &schemas.Failed{Ending: ending(i), Reason: schemas.ReasonOutOfStock}, nil)
}

func (s *system) deadRecord(i int64, reason schemas.DeadLetterReason) *kgo.Record {
	r := s.endRecord("dead", i)
	r.Value = requestRecord(i).Value
	r.Headers = append(r.Headers,
		kgo.RecordHeader{Key: reasonHeader, Value: []byte(reason)},
		kgo.RecordHeader{Key: attemptsHeader, Value: []byte("2")})
	return r
}

func (s *system) park(i, at int64) {
	r := s.endRecord("retry", i)
	r.Offset, r.Value = at, requestRecord(i).Value
	s.AddParked(r)
}

func (s *system) ledger(i int64) {
	s.AddLedger(LedgerEntry{OutID: fmt.Sprintf("r-%d", i), Calls: 1, Coupons: 1, Coupon: ptr(coupon(i)), CouponCode: "code", CouponType: 276, GrantedAt: start.Add(time.Minute)})
}

func counts(r Report) map[Kind]int64 {
	m := map[Kind]int64{}
	for k, f := range r.Violations {
		m[k] = f.Total
	}
	return m
}

func TestCheckerCleanRunIsBalanced(t *testing.T) {
	s := newSystem(4)
	s.grant(0)
	s.fail(1)
	s.AddDeadLetter(s.deadRecord(2, schemas.GrantUnknown))
	s.park(3, 7)
	s.grant(3)
	s.ledger(0)
	s.ledger(2)
	s.ledger(3)
	r := s.Report()
	require.Empty(t, r.Violations)
	require.Equal(t, Balanced, r.Verdict())
	require.EqualValues(t, 4, r.Requests)
	require.EqualValues(t, 2, r.Granted)
	require.Equal(t, map[string]int64{"OUT_OF_STOCK": 1}, r.Failed)
	require.Equal(t, map[string]int64{"grant-unknown": 1}, r.DeadLetters)
	require.EqualValues(t, 5, r.Attempts)
	require.Equal(t, &LedgerTotals{OutIDs: 3, Calls: 3, Coupons: 3}, r.Ledger)
	require.Equal(t, r, s.Report(), "judging twice changes nothing")
}

// Each row breaks one thing in a world of three granted requests, and nothing
// but that is found.
func TestCheckerFindsPlantedBreaches(t *testing.T) {
	all := func(s *system) { s.grant(0); s.grant(1); s.grant(2) }
	ledger := func(s *system) { s.ledger(0); s.ledger(1); s.ledger(2) }
	for _, c := range []struct {
		name  string
		plant func(*system)
		want  map[Kind]int64
	}{
		{"loss", func(s *system) { s.grant(0); s.grant(2) }, map[Kind]int64{Lost: 1}},
		{"loss of a parked one", func(s *system) { s.grant(0); s.grant(2); s.park(1, 5) }, map[Kind]int64{Lost: 1}},
		{"double", func(s *system) { all(s); s.grant(1) }, map[Kind]int64{Doubled: 1}},
		{"double of another kind", func(s *system) { all(s); s.AddDeadLetter(s.deadRecord(1, schemas.GrantUnknown)) }, map[Kind]int64{Doubled: 1}},
		{"three ends", func(s *system) { all(s); s.fail(1); s.fail(1) }, map[Kind]int64{Doubled: 2}},
		{"source beyond the log", func(s *system) {
			all(s)
			s.AddDeadLetter(s.deadRecord(3, schemas.GrantUnknown))
		}, map[Kind]int64{NoSource: 1}},
		{"coupon of two kinds", func(s *system) {
			all(s)
			ledger(s)
			s.AddLedger(LedgerEntry{OutID: "r-9", Coupons: 2, Coupon: ptr(coupon(9))})
		}, map[Kind]int64{GrantedTwice: 1}},
		{"grant that the ledger lacks", func(s *system) { all(s); s.ledger(0); s.ledger(2) }, map[Kind]int64{Untrue: 1}},
		{"grants and an empty ledger", func(s *system) { all(s); s.startLedger() }, map[Kind]int64{Untrue: 3}},
		{"failed though granted", func(s *system) { s.grant(0); s.fail(1); s.grant(2); ledger(s) }, map[Kind]int64{Untrue: 1}},
		{"other instance than the ledger", func(s *system) {
			all(s)
			s.AddLedger(LedgerEntry{OutID: "r-0", Coupons: 1, Coupon: ptr(coupon(5)), CouponCode: "code", CouponType: 276})
			s.ledger(1)
			s.ledger(2)
		}, map[Kind]int64{Untrue: 1}},
		{"other discount than the ledger", func(s *system) {
			all(s)
			other := &schemas.Coupon{InstanceID: 1000, Discount: ptr(int64(1)), Name: ptr("five off")}
			s.AddLedger(LedgerEntry{OutID: "r-0", Coupons: 1, Coupon: other, CouponCode: "code", CouponType: 276})
			s.ledger(1)
			s.ledger(2)
		}, map[Kind]int64{Untrue: 1}},
		{"granted for another coupon code than asked for", func(s *system) {
			all(s)
			s.AddLedger(LedgerEntry{OutID: "r-0", Coupons: 1, Coupon: ptr(coupon(0)), CouponCode: "other", CouponType: 276})
			s.ledger(1)
			s.ledger(2)
		}, map[Kind]int64{Untrue: 1}},
		{"granted to two apps", func(s *system) { all(s); ledger(s); s.ledger(2) }, map[Kind]int64{GrantedTwice: 1}},
		{"watermark beyond the log", func(s *system) { all(s); s.AddRange(Range{Topic: "loyalty", End: 3, Committed: 4}) }, map[Kind]int64{CommittedBeyondEnd: 1}},
		{"unreadable outcome", func(s *system) {
			s.grant(0)
			s.grant(1)
			s.AddOutcome(s.endRecord("granted", 2), nil, errors.New("bad"))
		}, map[Kind]int64{Unreadable: 1}},
		{"dead letter without reason", func(s *system) {
			s.grant(0)
			s.grant(1)
			s.AddDeadLetter(s.deadRecord(2, ""))
		}, map[Kind]int64{Unreadable: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem(3)
			c.plant(s)
			r := s.Report()
			require.Equal(t, c.want, counts(r))
			require.Equal(t, Violated, r.Verdict())
		})
	}
}

func TestCheckerNamesWhatIsLost(t *testing.T) {
	s := newSystem(3)
	s.grant(0)
	s.grant(2)
	require.Equal(t, []Finding{{
		Topic: "store", Offset: 1, Detail: "below the watermark, without an end and not parked",
	}}, s.Report().Violations[Lost].Named)
}

func TestCheckerNamesBothSidesOfADouble(t *testing.T) {
	s := newSystem(1)
	s.grant(0)
	s.fail(0)
	require.Equal(t, []Finding{{
		Topic: "failed", Offset: 1, Source: "store/0/0", Detail: "failed after granted",
	}}, s.Report().Violations[Doubled].Named)
}

func TestCheckerNamesNoMoreThanMaxAndCountsAll(t *testing.T) {
	f := newSystem(1000).Report().Violations[Lost]
	require.EqualValues(t, 1000, f.Total)
	require.Len(t, f.Named, MaxNamed)
}

func TestCheckerRefusesSourcesThatNameNothing(t *testing.T) {
	for _, c := range []struct {
		give string
		want Kind
	}{
		{"", MalformedSource},
		{"store/0", MalformedSource},
		{"store/0/0/0", MalformedSource},
		{"store/0/+0", MalformedSource},
		{"store/0/00", MalformedSource},
		{"store/0/-1", MalformedSource},
		{"store/0/9223372036854775808", MalformedSource},
		{"store/0/9223372036854775807", NoSource},
		{"store/1/0", NoSource},
		{"other/0/0", NoSource},
		{"retry/0/0", NoSource},
	} {
		t.Run(c.give, func(t *testing.T) {
			s := newSystem(1)
			s.grant(0)
			r := s.endRecord("dead", 0)
			r.Headers = []kgo.RecordHeader{{Key: sourceHeader, Value: []byte(c.give)}, {Key: reasonHeader, Value: []byte("undecodable")}}
			s.AddDeadLetter(r)
			require.Equal(t, map[Kind]int64{c.want: 1}, counts(s.Report()))
		})
	}
}

func TestCheckerRefusesTwoSourceHeaders(t *testing.T) {
	s := newSystem(2)
	s.grant(0)
	r := s.deadRecord(1, schemas.GrantUnknown)
	r.Headers = append(r.Headers, r.Headers[0])
	s.AddDeadLetter(r)
	require.Equal(t, map[Kind]int64{MalformedSource: 1, Lost: 1}, counts(s.Report()))
}

func TestCheckerFindsOutcomesThatDoNotMatchTheirRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*kgo.Record, *schemas.Granted)
		want   int64
	}{
		{"nothing", func(*kgo.Record, *schemas.Granted) {}, 0},
		{"request id", func(_ *kgo.Record, o *schemas.Granted) { o.RequestID = "r-7" }, 1},
		{"key", func(r *kgo.Record, _ *schemas.Granted) { r.Key = []byte("other") }, 1},
		{"null key", func(r *kgo.Record, _ *schemas.Granted) { r.Key = nil }, 1},
		{"topic", func(r *kgo.Record, _ *schemas.Granted) { r.Topic = "failed" }, 1},
		{"occurred at", func(_ *kgo.Record, o *schemas.Granted) { o.OccurredAt = start.Add(time.Second) }, 1},
		{"biz code", func(_ *kgo.Record, o *schemas.Granted) { o.BizCode = "ZZZ" }, 1},
		{"channel", func(_ *kgo.Record, o *schemas.Granted) { o.Channel = "pos" }, 1},
		{"coupon code", func(_ *kgo.Record, o *schemas.Granted) { o.CouponCode = "other" }, 1},
		{"coupon type", func(_ *kgo.Record, o *schemas.Granted) { o.CouponType = 247 }, 1},
		{"members run together", func(_ *kgo.Record, o *schemas.Granted) { o.BizCode, o.Channel = "YXXa", "pp" }, 1},
		{"trigger", func(_ *kgo.Record, o *schemas.Granted) { o.Trigger = &schemas.Trigger{Kind: "store-checkout"} }, 1},
		{"trigger left out", func(_ *kgo.Record, o *schemas.Granted) { o.Trigger = nil }, 1},
		{"shortened", func(_ *kgo.Record, o *schemas.Granted) {
			o.Trigger, o.AttemptLog, o.GatewayRequestID, o.Coupon.Name = nil, nil, nil, nil
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem(1)
			r, o := s.endRecord("granted", 0), &schemas.Granted{Ending: ending(0), Coupon: coupon(0)}
			c.change(r, o)
			s.AddOutcome(r, o, nil)
			require.Equal(t, c.want, s.Report().Violations[Mismatch].Total)
		})
	}
}

func TestCheckerShortenedOutcomeAgreesWithTheLedger(t *testing.T) {
	s := newSystem(1)
	o := &schemas.Granted{Ending: ending(0), Coupon: schemas.Coupon{InstanceID: 1000}}
	o.AttemptLog, o.GatewayRequestID = nil, nil
	s.AddOutcome(s.endRecord("granted", 0), o, nil)
	s.ledger(0)
	require.Equal(t, Balanced, s.Report().Verdict())
}

func TestCheckerFindsAlteredDeadLetters(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason schemas.DeadLetterReason
		change func(*kgo.Record)
		want   int64
	}{
		{"nothing", schemas.Undecodable, func(*kgo.Record) {}, 0},
		{"value", schemas.Undecodable, func(r *kgo.Record) { r.Value = []byte("x") }, 1},
		{"value left out", schemas.Undecodable, func(r *kgo.Record) { r.Value = nil }, 1},
		{"value left out because too large", schemas.TooLarge, func(r *kgo.Record) { r.Value = nil }, 0},
		{"key", schemas.Undecodable, func(r *kgo.Record) { r.Key = []byte("x") }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem(1)
			r := s.deadRecord(0, c.reason)
			c.change(r)
			s.AddDeadLetter(r)
			require.Equal(t, c.want, s.Report().Violations[Altered].Total)
		})
	}
}

func TestCheckerFindsAlteredParkedCopies(t *testing.T) {
	s := newSystem(1)
	r := s.endRecord("retry", 0)
	r.Value, r.Key = []byte("x"), nil
	s.AddParked(r)
	require.EqualValues(t, 2, s.Report().Violations[Altered].Total)
}
