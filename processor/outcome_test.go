package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// canary is an open_id, which may stand in the raw bytes of a request alone.
const canary = "AAHd5d-canary-open-id"

const traceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// testPublisher has the contracts from a registry in memory.
func testPublisher(t testing.TB) publisher {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: fake.URL()})
	require.NoError(t, err)
	t.Cleanup(registry.Close)
	topics := DefaultConfig().Topics
	own := schemas.Topics{Inputs: []string{topics.Store}, Granted: topics.Granted, Failed: topics.Failed}
	require.NoError(t, registry.Register(t.Context(), own))
	require.NoError(t, registry.FetchOwn(t.Context(), own))
	codec := schemas.NewCodec(registry, schemas.Rules{})
	return publisher{topics: topics, codec: codec, version: "v1.2.3"}
}

func second(n int) time.Time { return time.Date(2026, 11, 11, 0, 0, n, 0, time.UTC) }

func pointer[T any](v T) *T { return &v }

// calledTask is a request after an attempt in doubt and one that was refused.
func calledTask(t *testing.T, p publisher) *task {
	t.Helper()
	request := schemas.Request{
		RequestID: "checkout-4711", OccurredAt: second(0), BizCode: "retail", OpenID: schemas.NewOpenID(canary),
		Channel: "store", CouponCode: "0f3c", CouponType: 276,
		Trigger: &schemas.Trigger{Kind: "store-checkout", ReceiptID: pointer("r-9")},
	}
	value, err := p.codec.EncodeRequest(p.topics.Store, request)
	require.NoError(t, err)
	at := assignment{partition{p.topics.Store, 3}, 1}
	r := newTask(at, &kgo.Record{
		Topic: p.topics.Store, Partition: 3, Offset: 42, Key: []byte("key\x00\xff"), Value: value, Timestamp: second(1),
		Headers: []kgo.RecordHeader{
			{Key: "traceparent", Value: []byte(traceParent)},
			{Key: "tracestate", Value: []byte("shop=1")},
			{Key: "open-id", Value: []byte(canary)},
		},
	}, p.topics.Retry, time.Minute)
	r.request, r.inDoubt = request, true
	r.remember(schemas.Attempt{At: second(2), About: "gateway", Code: "timeout"})
	r.remember(schemas.Attempt{At: second(3), About: "request", Code: "-7"})
	r.lastAnswer = &topclient.Error{
		About: topclient.AboutRequest, Code: "15", SubCode: "isv.limit", Business: topclient.BusinessLimitReached,
		Message: "已达上限", RequestID: "g-1",
	}
	return r
}

// published is an end as a record. No header of it may hold an open_id.
func published(t *testing.T, p publisher, e *end, shrunk bool) *kgo.Record {
	t.Helper()
	r, err := p.record(e, shrunk)
	require.NoError(t, err)
	require.Equal(t, e.task.record.Key, r.Key)
	for _, h := range r.Headers {
		require.NotContains(t, h.Key+string(h.Value), canary)
	}
	return r
}

// headers are those of a record, none of which may come twice.
func headers(t *testing.T, r *kgo.Record) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, h := range r.Headers {
		require.NotContains(t, all, h.Key)
		all[h.Key] = string(h.Value)
	}
	return all
}

// withTrace adds the trace context of calledTask.
func withTrace(own map[string]string) map[string]string {
	own["traceparent"], own["tracestate"] = traceParent, "shop=1"
	return own
}

func TestGrantedIsPublishedWithTheCoupon(t *testing.T) {
	p := testPublisher(t)
	answer := topclient.Coupon{InstanceID: 7, TemplateID: pointer(int64(9)), Name: pointer("双十一"), RequestID: "g-2"}
	request := calledTask(t, p)
	r := published(t, p, &end{task: request, kind: endGranted, at: second(4), coupon: answer}, false)
	require.Equal(t, p.topics.Granted, r.Topic)
	require.Equal(t, withTrace(map[string]string{"coupongrant-source": "coupon-grant-requested.store/3/42"}), headers(t, r))
	require.NotContains(t, string(r.Value), canary)

	outcome, err := p.codec.DecodeOutcome(r.Value)
	require.NoError(t, err)
	require.Equal(t, &schemas.Granted{
		Ending: schemas.Ending{
			RequestID: "checkout-4711", OccurredAt: second(0), EndedAt: second(4), BizCode: "retail", Channel: "store",
			CouponCode: "0f3c", CouponType: 276, Trigger: request.request.Trigger, Attempts: 2, AttemptLog: request.log,
			GatewayRequestID: pointer("g-2"),
		},
		Coupon: schemas.Coupon{InstanceID: 7, TemplateID: pointer(int64(9)), Name: pointer("双十一")},
	}, outcome)
}

// A parked request stays what a person has put back, and for which record.
func TestParkedReplayKeepsWhatItIsPutBackFor(t *testing.T) {
	p := testPublisher(t)
	for of, want := range map[string]string{"store/0/7": "store/0/7", "": "", strings.Repeat("x", maxSourceBytes+1): ""} {
		it := calledTask(t, p)
		it.record.Headers = append(it.record.Headers, kgo.RecordHeader{Key: headerReplayOf, Value: []byte(of)})
		require.Equal(t, want, headers(t, published(t, p, &end{task: it, kind: endParked, at: second(4), next: second(5)}, false))[headerReplayOf])
	}
}

func TestFailedIsPublishedWithTheAnswer(t *testing.T) {
	p := testPublisher(t)
	request := calledTask(t, p)
	r := published(t, p, &end{task: request, kind: endFailed, at: second(4), failure: schemas.ReasonLimitReached}, false)
	require.Equal(t, p.topics.Failed, r.Topic)
	require.Equal(t, withTrace(map[string]string{"coupongrant-source": "coupon-grant-requested.store/3/42"}), headers(t, r))
	require.NotContains(t, string(r.Value), canary)

	outcome, err := p.codec.DecodeOutcome(r.Value)
	require.NoError(t, err)
	require.Equal(t, &schemas.Failed{
		Ending: schemas.Ending{
			RequestID: "checkout-4711", OccurredAt: second(0), EndedAt: second(4), BizCode: "retail", Channel: "store",
			CouponCode: "0f3c", CouponType: 276, Trigger: request.request.Trigger, Attempts: 2, AttemptLog: request.log,
			GatewayRequestID: pointer("g-1"),
		},
		Reason: schemas.ReasonLimitReached, GatewayCode: pointer("15"), GatewaySubCode: pointer("isv.limit"), GatewayMessage: pointer("已达上限"),
	}, outcome)
}

// What the gateway said last is not why an expired request failed.
func TestExpiredIsPublishedWithoutAnAnswer(t *testing.T) {
	p := testPublisher(t)
	r := published(t, p, &end{task: calledTask(t, p), kind: endFailed, at: second(4), failure: schemas.ReasonExpired}, false)
	outcome, err := p.codec.DecodeOutcome(r.Value)
	require.NoError(t, err)
	failed := outcome.(*schemas.Failed)
	require.Equal(t, schemas.ReasonExpired, failed.Reason)
	require.Nil(t, failed.GatewayCode)
	require.Nil(t, failed.GatewayRequestID)
	require.Len(t, failed.AttemptLog, 2)
}

func TestParkedKeepsTheRequestAsItCame(t *testing.T) {
	p := testPublisher(t)
	request := calledTask(t, p)
	request.waited = 90*time.Second + 1234*time.Microsecond
	r := published(t, p, &end{task: request, kind: endParked, at: second(4), next: second(5).Add(time.Millisecond)}, false)
	require.Equal(t, p.topics.Retry, r.Topic)
	require.Equal(t, request.record.Value, r.Value)
	require.Equal(t, withTrace(map[string]string{
		"coupongrant-source":           "coupon-grant-requested.store/3/42",
		"coupongrant-attempts":         "2",
		"coupongrant-first-attempt-at": "2026-11-11T00:00:02.000Z",
		"coupongrant-in-doubt":         "true",
		"coupongrant-next-at":          "2026-11-11T00:00:05.001Z",
		"coupongrant-waited":           "1m30.001s",
		"coupongrant-attempt-log": `[{"at":"2026-11-11T00:00:02Z","about":"gateway","code":"timeout"},` +
			`{"at":"2026-11-11T00:00:03Z","about":"request","code":"-7"}]`,
	}), headers(t, r))
}

func TestParkedComesBackAsItWent(t *testing.T) {
	p := testPublisher(t)
	went := calledTask(t, p)
	r := published(t, p, &end{task: went, kind: endParked, at: second(4), next: second(5)}, false)
	r.Offset, r.Timestamp = 7, second(4)
	back := newTask(assignment{partition{p.topics.Retry, 0}, 1}, r, p.topics.Retry, time.Minute)
	require.Equal(t, "coupon-grant-requested.store/3/42", back.source, "of the original record")
	require.Equal(t, 2, back.attempts)
	require.True(t, back.inDoubt)
	require.Equal(t, went.firstCall, back.firstCall)
	require.WithinDuration(t, second(5), back.due, 0)

	again := published(t, p, &end{task: back, kind: endParked, at: second(6), next: second(7)}, false)
	require.Equal(t, "2026-11-11T00:00:07.000Z", headers(t, again)["coupongrant-next-at"])
	require.Equal(t, went.record.Value, again.Value)
}

// The newest attempts of a request are in its outcome, however often it was parked.
func TestAttemptsBeforeARequestWasParkedAreInItsOutcome(t *testing.T) {
	p := testPublisher(t)
	at, all := calledTask(t, p), []schemas.Attempt{}
	all = append(all, at.log...)
	for n := 10; n < 40; n += 10 { // parked three times, after three attempts each but the first
		r := published(t, p, &end{task: at, kind: endParked, at: second(n), next: second(n)}, false)
		r.Timestamp = second(n)
		back := newTask(assignment{partition{p.topics.Retry, 0}, 1}, r, p.topics.Retry, time.Minute)
		back.request = at.request
		for i := range 3 {
			a := schemas.Attempt{At: second(n + i), About: "unknown", Code: strings.Repeat("码<", 40)} // as long as a code gets
			back.remember(a)
			all = append(all, a)
		}
		at = back
	}
	r := published(t, p, &end{task: at, kind: endGranted, at: second(50), coupon: topclient.Coupon{InstanceID: 7}}, false)
	outcome, err := p.codec.DecodeOutcome(r.Value)
	require.NoError(t, err)
	granted := outcome.(*schemas.Granted)
	require.EqualValues(t, len(all), granted.Attempts)
	require.Equal(t, all[len(all)-schemas.AttemptLogSize:], granted.AttemptLog)
}

// Nobody's words but ours: a record that somebody else wrote, or wrote to an input.
func TestAttemptLogThatIsNotOursIsNone(t *testing.T) {
	p := testPublisher(t)
	one := `[{"at":"2026-11-11T00:00:02Z","about":"gateway","code":"timeout"}]`
	for name, row := range map[string]struct {
		topic, text string
		want        int
	}{
		"ours":            {p.topics.Retry, one, 1},
		"of an input":     {p.topics.Store, one, 0},
		"none":            {p.topics.Retry, "", 0},
		"no JSON":         {p.topics.Retry, "[{", 0},
		"of another kind": {p.topics.Retry, `{"at":1}`, 0},
		"half of it":      {p.topics.Retry, one[:len(one)-2] + `,"at":7}]`, 0},
		"long words":      {p.topics.Retry, strings.ReplaceAll(one, "timeout", strings.Repeat("x", 321)), 0},
		"too long":        {p.topics.Retry, one + strings.Repeat(" ", 8192), 0},
		"too many":        {p.topics.Retry, "[" + strings.Repeat(one[1:len(one)-1]+",", 99) + one[1:], schemas.AttemptLogSize},
	} {
		t.Run(name, func(t *testing.T) {
			r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: headerAttemptLog, Value: []byte(row.text)}}}
			require.Len(t, p.attempts(&task{assignment: assignment{partition: partition{topic: row.topic}}, record: r}), row.want)
		})
	}
}

func TestDeadLetterKeepsTheRecordAsItCame(t *testing.T) {
	p := testPublisher(t)
	request := calledTask(t, p)
	request.record.Value = []byte("no Avro at all, " + canary)
	r := published(t, p, &end{
		task: request, kind: endDeadLetter, at: second(4),
		reason: schemas.Undecodable, detail: "byte 0\nis 6e\x00",
	}, false)
	require.Equal(t, p.topics.DeadLetter, r.Topic)
	require.Equal(t, request.record.Value, r.Value)
	require.Equal(t, withTrace(map[string]string{
		"coupongrant-source":           "coupon-grant-requested.store/3/42",
		"coupongrant-reason":           "undecodable",
		"coupongrant-error":            "byte 0 is 6e ",
		"coupongrant-failed-at":        "2026-11-11T00:00:04.000Z",
		"coupongrant-attempts":         "2",
		"coupongrant-first-attempt-at": "2026-11-11T00:00:02.000Z",
		"coupongrant-in-doubt":         "true",
		"coupongrant-version":          "v1.2.3",
	}), headers(t, r))
}

// A null value is a tombstone where topics are compacted, an empty one is not.
func TestDeadLetterKeepsNullAndEmptyApart(t *testing.T) {
	p := testPublisher(t)
	for name, value := range map[string][]byte{"null": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			request := calledTask(t, p)
			request.record.Key, request.record.Value = value, value
			r := published(t, p, &end{task: request, kind: endDeadLetter, reason: schemas.Undecodable}, false)
			require.Equal(t, value, r.Value)
		})
	}
}

func TestUncalledDeadLetterKnowsNoFirstAttempt(t *testing.T) {
	p := testPublisher(t)
	r := newTask(assignment{partition{p.topics.Store, 0}, 1}, &kgo.Record{Offset: 5}, p.topics.Retry, time.Minute)
	all := headers(t, published(t, p, deadLetter(r, schemas.Undecodable, "null value"), false))
	require.Equal(t, "0", all["coupongrant-attempts"])
	require.Equal(t, "false", all["coupongrant-in-doubt"])
	require.NotContains(t, all, "coupongrant-first-attempt-at")
	require.NotContains(t, all, "traceparent")
}

// An outcome that is too large stays what it is, with less to tell.
func TestShrunkOutcomeKeepsItsKind(t *testing.T) {
	p := testPublisher(t)
	rest := schemas.Ending{
		RequestID: "checkout-4711", OccurredAt: second(0), EndedAt: second(4), BizCode: "retail", Channel: "store",
		CouponCode: "0f3c", CouponType: 276, Attempts: 2,
	}
	for name, row := range map[string]struct {
		give *end
		want schemas.Outcome
	}{
		"granted": {
			&end{kind: endGranted, at: second(4), coupon: topclient.Coupon{InstanceID: 7, TemplateID: pointer(int64(9)), Name: pointer("n"), RequestID: "g-2"}},
			&schemas.Granted{Ending: rest, Coupon: schemas.Coupon{InstanceID: 7, TemplateID: pointer(int64(9))}},
		},
		"failed": {
			&end{kind: endFailed, at: second(4), failure: schemas.ReasonLimitReached},
			&schemas.Failed{Ending: rest, Reason: schemas.ReasonLimitReached},
		},
	} {
		t.Run(name, func(t *testing.T) {
			row.give.task = calledTask(t, p)
			whole, small := published(t, p, row.give, false), published(t, p, row.give, true)
			require.Equal(t, whole.Topic, small.Topic)
			require.Equal(t, whole.Headers, small.Headers)
			require.Less(t, len(small.Value), len(whole.Value))
			outcome, err := p.codec.DecodeOutcome(small.Value)
			require.NoError(t, err)
			require.Equal(t, row.want, outcome)
		})
	}
}

// What fits nowhere is named by its size and hash.
func TestRecordThatFitsNowhereIsADeadLetterWithoutValue(t *testing.T) {
	p := testPublisher(t)
	for name, row := range map[string]struct {
		give *end
		want string
	}{
		"parked": {&end{kind: endParked, at: second(4), next: second(5)}, "the record is larger than the topic takes"},
		"dead letter": {
			&end{kind: endDeadLetter, at: second(4), reason: schemas.InvalidRequest, detail: "channel is empty"},
			"the record is larger than the topic takes; it was to be invalid-request: channel is empty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			row.give.task = calledTask(t, p)
			row.give.task.record.Value = []byte("abc")
			r := published(t, p, row.give, true)
			require.Equal(t, p.topics.DeadLetter, r.Topic)
			require.Equal(t, []byte{}, r.Value)
			all := headers(t, r)
			require.Equal(t, "too-large", all["coupongrant-reason"])
			require.Equal(t, row.want, all["coupongrant-error"])
			require.Equal(t, "3", all["coupongrant-value-size"])
			require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", all["coupongrant-value-sha256"])
			require.Equal(t, "true", all["coupongrant-in-doubt"])
		})
	}
}

func TestTraceContextIsCopiedWithinItsBounds(t *testing.T) {
	for name, row := range map[string]struct {
		key, value string
		want       bool
	}{
		"parent":               {"traceparent", traceParent, true},
		"longest parent":       {"traceparent", strings.Repeat("0", 64), true},
		"parent too long":      {"traceparent", strings.Repeat("0", 65), false},
		"state":                {"tracestate", "shop=1", true},
		"longest state":        {"tracestate", strings.Repeat("0", 512), true},
		"state too long":       {"tracestate", strings.Repeat("0", 513), false},
		"state of two lines":   {"tracestate", "a\nb", false},
		"state beyond ASCII":   {"tracestate", "店=1", false},
		"baggage":              {"baggage", "open_id=" + canary, false},
		"header of ours":       {"coupongrant-source", "elsewhere/0/0", false},
		"name in another case": {"Traceparent", traceParent, false},
	} {
		t.Run(name, func(t *testing.T) {
			given := []kgo.RecordHeader{{Key: row.key, Value: []byte(row.value)}}
			copied := traceContext(&kgo.Record{Headers: given})
			require.Equal(t, map[bool][]kgo.RecordHeader{true: given}[row.want], copied)
		})
	}
}

func TestErrorHeaderIsOneShortLine(t *testing.T) {
	long := oneLine(strings.Repeat("满", 1000))
	require.Less(t, len(long), 510)
	require.True(t, strings.HasSuffix(long, "满…"), "no character is cut in two")
	require.Equal(t, "a b c d", oneLine("a\nb\rc\x7fd"))
	require.Equal(t, "ok\ufffd", oneLine("ok\xff"))
}

// A replay and a retry by the same gateway must send the same bytes of business:
// what an attempt is made of is the request alone.
func TestEveryAttemptSendsTheSameGrant(t *testing.T) {
	p := testPublisher(t)
	first := calledTask(t, p)
	before := grant(&first.request)
	first.remember(schemas.Attempt{At: second(9)})
	require.Equal(t, before, grant(&first.request))
	require.Equal(t, "checkout-4711", before.OutID)
	require.Equal(t, canary, before.OpenID)
}

func TestAttemptLogKeepsTheLastTen(t *testing.T) {
	var r task
	for i := range 25 {
		r.remember(schemas.Attempt{At: second(i)})
	}
	require.Equal(t, 25, r.attempts)
	require.Equal(t, second(0), r.firstCall)
	require.Len(t, r.log, schemas.AttemptLogSize)
	require.Equal(t, second(15), r.log[0].At)
	require.Equal(t, second(24), r.log[9].At)
}
