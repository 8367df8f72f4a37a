package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// reportSite has requests and ends as a producer and the processor write them.
type reportSite struct {
	*site
	topics proof.Topics
}

func newReportSite(t *testing.T) *reportSite {
	t.Helper()
	s := newSite(t).ready()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: s.reach[3]})
	require.NoError(t, err)
	t.Cleanup(registry.Close)
	topics := defaultConfig().Processor.Topics
	own := topics.Schemas()
	require.NoError(t, registry.FetchOwn(t.Context(), own))
	s.codec = schemas.NewCodec(registry, schemas.Rules{})
	return &reportSite{s, proofTopics(topics)}
}

func (s *reportSite) write(r *kgo.Record) *kgo.Record {
	s.Helper()
	written, err := s.client.ProduceSync(s.Context(), r).First()
	require.NoError(s, err)
	return written
}

// request returns its place.
func (s *reportSite) request(at time.Time, q schemas.Request, headers ...kgo.RecordHeader) string {
	s.Helper()
	value, err := s.codec.EncodeRequest(s.topics.Inputs[0], q)
	require.NoError(s, err)
	return positionOf(s.write(&kgo.Record{Topic: s.topics.Inputs[0], Value: value, Timestamp: at, Headers: headers})).String()
}

func (s *reportSite) outcome(source string, o schemas.Outcome) {
	s.Helper()
	topic := s.topics.Granted
	if _, failed := o.(*schemas.Failed); failed {
		topic = s.topics.Failed
	}
	value, err := s.codec.EncodeOutcome(o)
	require.NoError(s, err)
	s.site.end(topic, source, value)
}

// report answers as CSV, with LF.
func (s *reportSite) report(args ...string) string {
	s.Helper()
	got := s.run("", append([]string{"report"}, append(args, "--csv")...)...)
	require.Equal(s, exitDone, got.code, got.stderr)
	require.Empty(s, got.stderr, "quiet where nobody looks")
	return strings.ReplaceAll(got.stdout, "\r\n", "\n")
}

func text(s string) *string { return &s }
func num(n int64) *int64    { return &n }
func inShanghai(s string) time.Time {
	at, err := time.Parse("2006-01-02 15:04:05.000 -0700", s+" +0800")
	if err != nil {
		panic(err)
	}
	return at
}

func store(id string) *schemas.Trigger {
	return &schemas.Trigger{Kind: "store-checkout", StoreID: &id}
}

func endedAs(id string, occurred, ended time.Time, trigger *schemas.Trigger) schemas.Ending {
	return schemas.Ending{
		RequestID: id, OccurredAt: occurred, EndedAt: ended, BizCode: "b", Channel: "pos",
		CouponCode: "c1", CouponType: 276, Trigger: trigger, Attempts: 1,
	}
}

func someRequest(id string) schemas.Request {
	return schemas.Request{
		RequestID: id, OccurredAt: inShanghai("2026-11-11 12:00:00.000"), BizCode: "b", OpenID: schemas.NewOpenID(canary + id),
		Channel: "pos", CouponCode: "c1", CouponType: 276,
	}
}

// A day begins at midnight in the zone: 16:00 UTC. A repeat is answered with the
// coupon that was granted before, on another day here.
func TestReportGrantsByStoreAndDay(t *testing.T) {
	s := newReportSite(t)
	noon := inShanghai("2026-11-10 12:00:00.000")
	for i, g := range []struct {
		at       string
		trigger  *schemas.Trigger
		instance int64
	}{
		{"2026-11-10 23:59:59.999", store("S1"), 1},
		{"2026-11-11 00:00:00.000", store("S1"), 2},
		{"2026-11-11 23:59:59.999", store("S1"), math.MaxInt64},
		{"2026-11-11 10:00:00.000", store("S1"), 1}, // a repeat of the first
		{"2026-11-11 09:00:00.000", store(`"南京, 西路"`), 5},
		{"2026-11-11 09:00:00.000", nil, 6},
		{"2026-11-11 09:00:00.000", &schemas.Trigger{Kind: "loyalty-milestone", ProgramID: text("p")}, -7},
		{"2026-11-11 09:00:00.000", store(""), 8},
		{"2026-11-12 00:00:00.000", store("S1"), 9},
	} {
		s.outcome("t/0/"+fmt.Sprint(i), &schemas.Granted{
			Ending: endedAs("r", noon, inShanghai(g.at), g.trigger), Coupon: schemas.Coupon{InstanceID: g.instance},
		})
	}
	of11 := `2026-11-11,,,1,1
2026-11-11,loyalty-milestone,,1,1
2026-11-11,store-checkout,,1,1
2026-11-11,store-checkout,"""南京, 西路""",1,1
2026-11-11,store-checkout,S1,3,2
`
	const head = "day,kind,store_id,granted,coupons\n"
	require.Equal(t, head+"2026-11-10,store-checkout,S1,1,1\n"+of11+"2026-11-12,store-checkout,S1,1,1\n", s.report("grants"))
	require.Equal(t, head+of11, s.report("grants", "--since", "2026-11-11", "--until", "2026-11-12"))
	require.Equal(t, head+of11, s.report("grants", "--since", "2026-11-10T16:00:00Z", "--until", "2026-11-12T00:00:00+08:00"))
	require.Equal(t, head+"2026-11-10,store-checkout,S1,2,2\n", s.report("grants", "--time-zone", "UTC", "--since", "2026-11-10", "--until", "2026-11-11"))

	people := s.run("", "report", "grants", "--since", "2026-11-11", "--until", "2026-11-12")
	require.Contains(t, people.stdout, "days of Asia/Shanghai, since 2026-11-11 00:00:00, before 2026-11-12 00:00:00")
	require.Regexp(t, `(?m)^day +kind +store +granted  coupons$`, people.stdout)
	require.Regexp(t, `(?m)^2026-11-11  store-checkout +S1 +3        2$`, people.stdout)
	require.Regexp(t, `(?m)^all +7        6$`, people.stdout)
}

func TestReportFailuresByCoupon(t *testing.T) {
	s := newReportSite(t)
	at := inShanghai("2026-11-11 12:00:00.000")
	fail := func(id, coupon string, reason schemas.FailureReason, code, sub *string) {
		e := endedAs(id, at, at, nil)
		e.CouponCode = coupon
		s.outcome("t/0/0", &schemas.Failed{Ending: e, Reason: reason, GatewayCode: code, GatewaySubCode: sub})
	}
	for _, reason := range schemas.FailureReasons() {
		fail("r1", "c,1", reason, nil, nil)
	}
	fail("r1", "c2", schemas.ReasonRejected, text("15"), text("isv.a"))
	fail("r2", "c2", schemas.ReasonRejected, text("15"), text("isv.a"))
	fail("r1", "c2", schemas.ReasonRejected, text("15"), text("isv.a"))
	fail("r1", "c2", schemas.ReasonRejected, text("15"), text("isv.b"))

	require.Equal(t, `coupon_code,reason,gateway_code,gateway_sub_code,failed,requests
"c,1",BUSINESS_EXCEPTION,,,1,1
"c,1",COUPON_INVALID,,,1,1
"c,1",EXPIRED,,,1,1
"c,1",LIMIT_REACHED,,,1,1
"c,1",OUT_OF_STOCK,,,1,1
"c,1",REJECTED,,,1,1
"c,1",UNKNOWN,,,1,1
c2,REJECTED,15,isv.a,3,2
c2,REJECTED,15,isv.b,1,1
`, s.report("failures"))
	require.Equal(t, "coupon_code,reason,gateway_code,gateway_sub_code,failed,requests\n", s.report("failures", "--since", "2026-11-12"))
	require.Contains(t, s.run("", "report", "failures", "--since", "2026-11-12").stdout, "No grant failed.")
}

// Nearest rank: of 1 to 101 ms p50 is the 51st, p90 the 91st, p99 the 100th.
func TestReportTimeToGrant(t *testing.T) {
	s := newReportSite(t)
	occurred := inShanghai("2026-11-11 12:00:00.000")
	for ms := range 101 {
		e := endedAs("r", occurred, occurred.Add(time.Duration(101-ms)*time.Millisecond), nil)
		s.outcome("t/0/1", &schemas.Granted{Ending: e, Coupon: schemas.Coupon{InstanceID: int64(ms)}})
	}
	repeat := endedAs("r", occurred, occurred.Add(time.Hour), nil)
	s.outcome("t/0/1", &schemas.Granted{Ending: repeat, Coupon: schemas.Coupon{InstanceID: 3}})

	// One of another channel and day, from a clock ahead, of which the request record is there.
	written := inShanghai("2026-11-12 11:59:59.000")
	late := endedAs("r2", occurred.Add(24*time.Hour+time.Second), occurred.Add(24*time.Hour), nil)
	late.Channel = "app"
	s.outcome(s.request(written, someRequest("r2")), &schemas.Granted{Ending: late, Coupon: schemas.Coupon{InstanceID: 1000}})

	require.Equal(t, `day,counted_from,coupons,p50_ms,p90_ms,p99_ms,max_ms
2026-11-11,occurred_at,101,51,91,100,101
2026-11-12,occurred_at,1,-1000,-1000,-1000,-1000
2026-11-12,written,1,1000,1000,1000,1000
`, s.report("time-to-grant"))
	require.Equal(t, `channel,counted_from,coupons,p50_ms,p90_ms,p99_ms,max_ms
app,occurred_at,1,-1000,-1000,-1000,-1000
app,written,1,1000,1000,1000,1000
pos,occurred_at,101,51,91,100,101
`, s.report("time-to-grant", "--by", "channel"))
	people := s.run("", "report", "time-to-grant", "--by", "channel").stdout
	require.Regexp(t, `(?m)^app +written +1 +1s +1s +1s +1s$`, people)
}

func TestReportDiscountByCouponAndStore(t *testing.T) {
	s := newReportSite(t)
	at := inShanghai("2026-11-11 12:00:00.000")
	for i, g := range []struct {
		instance int64
		discount *int64
		store    string
	}{
		{1, num(math.MaxInt64), "S1"},
		{2, num(math.MaxInt64), "S1"},
		{3, nil, "S1"},
		{1, num(500), "S1"}, // a repeat, one second later
		{4, num(-5), "S2"},
		{5, nil, "S3"},
	} {
		e := endedAs("r", at, at.Add(time.Duration(i)*time.Second), store(g.store))
		s.outcome("t/0/1", &schemas.Granted{Ending: e, Coupon: schemas.Coupon{InstanceID: g.instance, Discount: g.discount}})
	}
	require.Equal(t, `coupon_code,store_id,coupons,without_discount,discount
c1,S1,3,1,18446744073709551614
c1,S2,1,0,-5
c1,S3,1,1,
`, s.report("discount"))
	require.Contains(t, s.run("", "report", "discount").stdout, "it documents no unit")
}

func TestReportRepeatsAndTheirEnds(t *testing.T) {
	s := newReportSite(t)
	at := inShanghai("2026-11-11 12:00:00.000")
	grant := func(source, id string, instance int64) {
		s.outcome(source, &schemas.Granted{Ending: endedAs(id, at, at, nil), Coupon: schemas.Coupon{InstanceID: instance}})
	}
	other := func(q schemas.Request, change func(*schemas.Request)) schemas.Request { change(&q); return q }
	grant(s.request(at, someRequest("once")), "once", 1)
	grant(s.request(at, someRequest("twice")), "twice", 2)
	grant(s.request(at.Add(time.Hour), someRequest("twice")), "twice", 2)
	grant(s.request(at, someRequest("double")), "double", 3)
	grant(s.request(at, someRequest("double")), "double", 4)
	s.outcome(s.request(at, someRequest("conflict,ing")), &schemas.Failed{Ending: endedAs("conflict,ing", at, at, nil), Reason: schemas.ReasonExpired})
	clash := s.request(at, other(someRequest("conflict,ing"), func(q *schemas.Request) { q.OpenID = schemas.NewOpenID(canary + "other") }))
	s.end(s.topics.DeadLetter, clash, []byte(canary), kgo.RecordHeader{Key: "coupongrant-reason", Value: []byte("conflicting-request")})
	dead := s.request(at, other(someRequest("replayed"), func(q *schemas.Request) { q.Extra = text("") }))
	s.end(s.topics.DeadLetter, dead, nil)
	s.request(at, other(someRequest("replayed"), func(q *schemas.Request) { q.Extra = text("") }), kgo.RecordHeader{Key: "coupongrant-replay-of", Value: []byte(dead)})
	s.request(at, someRequest("extra"))
	s.request(at, other(someRequest("extra"), func(q *schemas.Request) { q.Extra = text("") }))
	s.request(at, someRequest("")) // no ids
	s.request(at, someRequest(""))
	s.write(&kgo.Record{Topic: s.topics.Inputs[0], Value: []byte(canary)}) // no request
	s.write(&kgo.Record{Topic: s.topics.Inputs[0]})

	const noon, later = "2026-11-11T04:00:00.000Z", "2026-11-11T05:00:00.000Z"
	const head = "request_id,records,replays,content,granted,failed,dead_letters,unfinished,coupons,first_written,last_written\n"
	require.Equal(t, head+
		`"conflict,ing",2,0,conflicting,0,1,1,0,0,`+noon+","+noon+"\n"+
		"double,2,0,same,2,0,0,0,2,"+noon+","+noon+"\n"+
		"extra,2,0,conflicting,0,0,0,2,0,"+noon+","+noon+"\n"+
		"replayed,2,1,same,0,0,1,1,0,"+noon+","+noon+"\n"+
		"twice,2,0,same,2,0,0,0,1,"+noon+","+later+"\n", s.report("repeats"))
	require.Equal(t, head+"twice,2,0,same,2,0,0,0,1,"+noon+","+later+"\n", s.report("repeats", "--since", "2026-11-11T12:30:00+08:00"))
}

func TestReportsSayNothingPersonal(t *testing.T) {
	s := newReportSite(t)
	at := inShanghai("2026-11-11 12:00:00.000")
	for range 2 {
		source := s.request(at, someRequest("r"))
		s.outcome(source, &schemas.Granted{Ending: endedAs("r", at, at, store("S1")), Coupon: schemas.Coupon{InstanceID: 1}})
		s.outcome(source, &schemas.Failed{Ending: endedAs("r", at, at, store("S1")), Reason: schemas.ReasonRejected})
		s.end(s.topics.DeadLetter, source, []byte(canary), kgo.RecordHeader{Key: "coupongrant-reason", Value: []byte("grant-unknown")})
	}
	s.end(s.topics.Granted, "t/0/0", []byte(canary))
	for _, q := range questions() {
		for _, form := range []string{"--csv", "--csv=false"} {
			got := s.run("", "report", q.use, form)
			require.Equal(t, exitDone, got.code, got.stderr)
			require.NotContains(t, got.stdout+got.stderr, canary)
			require.Greater(t, strings.Count(got.stdout, "\n"), 1, q.use)
			if q.use != "failures" {
				require.Contains(t, got.stderr, "1 record(s) of the result topics cannot be read as outcomes")
			}
		}
	}
}

func TestReportsOfNothingAreEmptyTables(t *testing.T) {
	s := newReportSite(t)
	for _, q := range questions() {
		require.Equal(t, 1, strings.Count(s.report(q.use), "\n"), q.use)
		got := s.run("", "report", q.use)
		require.Equal(t, exitDone, got.code, got.stderr)
		require.Contains(t, got.stdout, "all that the topics hold\n\nNo ")
	}
}

func TestReportSaysWhatIsMissing(t *testing.T) {
	s := newSite(t) // without topics
	got := s.run("", "report", "grants")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "coupon-granted")
	require.Contains(t, got.stderr, "coupongrant topics create")
}

func TestTailToEndEndsWithWhatIsCommitted(t *testing.T) {
	s := newReportSite(t)
	for range 3 {
		s.site.end(s.topics.Granted, "t/0/0", s.granted("r"))
	}
	all := s.run("", "tail", "--to-end", "--json")
	require.Equal(t, exitDone, all.code, all.stderr)
	require.Equal(t, 3, strings.Count(all.stdout, "\n"))
	some := s.run("", "tail", "--to-end", "--limit", "2")
	require.Equal(t, exitDone, some.code, some.stderr)
	require.Equal(t, 2, strings.Count(some.stdout, "\n"))

	s.reach[3] = "http://127.0.0.1:1"
	none := s.run("", "tail", "--to-end")
	require.Equal(t, exitFailed, none.code, "it does not wait for ever")
	require.Empty(t, none.stdout)
	require.Contains(t, none.stderr, "registry.url is http://127.0.0.1:1, but there is no registry to rely on")
}
