//go:build integration

package proof_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// history is a past of requests and ends, made to hold what reports may get
// wrong. It is written as the processor would, by transactions of which some are
// aborted.
type history struct {
	*system
	random   *rand.Rand
	producer *kgo.Client
	ends     []*kgo.Record // of the transaction that is to come
	instance int64
}

// midnight of a day in Beijing.
var midnight = time.Date(2026, 11, 10, 16, 0, 0, 0, time.UTC)

func newHistory(t *testing.T) *history {
	t.Helper()
	s := newSystem(t, startKafka(t), newGateway(t, nil))
	s.createTopics(analystPartitions)
	forever := "-1" // this past is older than what topics keep
	altered, err := adminClient(t, s.brokers).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &forever}}, s.topics.Inputs...)
	require.NoError(t, err)
	for _, a := range altered {
		require.NoError(t, a.Err, a.ErrMessage)
	}
	producer, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(s.group))...)
	require.NoError(t, err)
	t.Cleanup(producer.Close)
	return &history{system: s, random: rand.New(rand.NewPCG(10, 8)), producer: producer, instance: 7_091_800_003_790_954_041}
}

const analystPartitions = 3

func pick[T any](h *history, from ...T) T { return from[h.random.IntN(len(from))] }

func (h *history) request(id string) schemas.Request {
	q := schemas.Request{
		RequestID: id, OccurredAt: h.moment(), BizCode: "biz", OpenID: schemas.NewOpenID("AAF-canaryOpenId-" + id),
		Channel:    pick(h, "pos", "app", "", "小程序"),
		CouponCode: pick(h, "c-1", `c"2`, "券,3"), CouponType: 276,
	}
	store := pick(h, "S1", "S2", `店,"北京"`, "=1+1", "two\nlines", " led by a space", "")
	switch h.random.IntN(4) {
	case 0: // no trigger
	case 1:
		program, step := "gold-club", "500-points"
		q.Trigger = &schemas.Trigger{Kind: "loyalty-milestone", ProgramID: &program, Milestone: &step}
	default:
		q.Trigger = &schemas.Trigger{Kind: "store-checkout", StoreID: &store}
	}
	return q
}

// moment lies about midnight, or just there.
func (h *history) moment() time.Time {
	if h.random.IntN(5) == 0 {
		return midnight.AddDate(0, 0, h.random.IntN(3)).Add(time.Duration(h.random.IntN(3)-1) * time.Millisecond)
	}
	return midnight.Add(time.Duration(h.random.Int64N(int64(48 * time.Hour)))).Truncate(time.Millisecond)
}

// write puts a record on an input topic and returns its place.
func (h *history) write(value []byte, at time.Time, headers ...kgo.RecordHeader) string {
	h.t.Helper()
	r := &kgo.Record{Topic: pick(h, h.topics.Inputs...), Partition: int32(h.random.IntN(analystPartitions)), Value: value, Timestamp: at, Headers: headers}
	written, err := h.system.producer.ProduceSync(h.t.Context(), r).First()
	require.NoError(h.t, err)
	return fmt.Sprintf("%s/%d/%d", written.Topic, written.Partition, written.Offset)
}

func (h *history) ask(q schemas.Request, headers ...kgo.RecordHeader) string {
	h.t.Helper()
	value, err := h.codec.EncodeRequest(h.topics.Inputs[0], q)
	require.NoError(h.t, err)
	return h.write(value, h.moment(), headers...)
}

func (h *history) end(topic, source string, value []byte, headers ...kgo.RecordHeader) {
	headers = append(headers, kgo.RecordHeader{Key: "coupongrant-source", Value: []byte(source)})
	h.ends = append(h.ends, &kgo.Record{Topic: topic, Partition: int32(h.random.IntN(analystPartitions)), Value: value, Headers: headers})
}

func (h *history) outcome(topic, source string, o schemas.Outcome) {
	h.t.Helper()
	value, err := h.codec.EncodeOutcome(o)
	require.NoError(h.t, err)
	h.end(topic, source, value)
}

func (h *history) ending(q schemas.Request) schemas.Ending {
	return schemas.Ending{
		RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: h.moment(), BizCode: q.BizCode, Channel: q.Channel,
		CouponCode: q.CouponCode, CouponType: q.CouponType, Trigger: q.Trigger, Attempts: 1,
		AttemptLog: []schemas.Attempt{{At: midnight}},
	}
}

func (h *history) grant(source string, q schemas.Request, instance int64) {
	h.t.Helper()
	coupon := schemas.Coupon{InstanceID: instance}
	if d := pick[int64](h, 0, -5, 500, math.MaxInt64, math.MinInt64, 1); d != 1 {
		coupon.Discount = &d
	}
	h.outcome(h.topics.Granted, source, &schemas.Granted{Ending: h.ending(q), Coupon: coupon})
}

func (h *history) fail(source string, q schemas.Request) {
	h.t.Helper()
	failed := &schemas.Failed{Ending: h.ending(q), Reason: pick(h, schemas.FailureReasons()...)}
	if code := pick(h, "", "15", "-7"); code != "" {
		failed.GatewayCode = &code
	}
	if sub := pick(h, "", "isv.a", "isv,b"); sub != "" {
		failed.GatewaySubCode = &sub
	}
	h.outcome(h.topics.Failed, source, failed)
}

func (h *history) dead(source string) {
	h.end(h.topics.DeadLetter, source, []byte("canaryOpenId"), kgo.RecordHeader{Key: "coupongrant-reason", Value: []byte("grant-unknown")})
}

func (h *history) newInstance() int64 {
	h.instance++
	return h.instance
}

// commit ends the transaction of all ends that are not written yet.
func (h *history) commit(end kgo.TransactionEndTry) {
	h.t.Helper()
	require.NoError(h.t, h.producer.BeginTransaction())
	require.NoError(h.t, h.producer.ProduceSync(h.t.Context(), h.ends...).FirstErr())
	require.NoError(h.t, h.producer.EndTransaction(h.t.Context(), end))
	h.ends = nil
}

// fill makes so many requests and their repeats, and what is odd.
func (h *history) fill(requests int) {
	h.t.Helper()
	for i := range requests {
		q := h.request(pick(h, "r-", `r"`, "r,", "请求-", "=") + strconv.Itoa(i))
		source := h.ask(q)
		switch h.random.IntN(10) {
		case 0: // waits
		case 1, 2, 3:
			h.fail(source, q)
		case 4:
			h.dead(source)
		default:
			instance := h.newInstance()
			h.grant(source, q, instance)
			h.again(q, instance)
		}
		if len(h.ends) > 20 {
			h.commit(kgo.TryCommit)
		}
		if i%50 == 0 { // what readers of uncommitted records would count
			h.grant(source, q, h.newInstance())
			h.fail(source, q)
			h.commit(kgo.TryAbort)
		}
	}
	h.oddities()
	h.commit(kgo.TryCommit)
}

// again repeats some requests, in every way a producer can.
func (h *history) again(q schemas.Request, instance int64) {
	h.t.Helper()
	switch h.random.IntN(8) {
	case 0:
		h.grant(h.ask(q), q, instance)
	case 1: // at the same millisecond, perhaps on another partition
		source := h.ask(q)
		for range 2 {
			h.grant(source, q, instance)
			copied := *h.ends[len(h.ends)-1]
			copied.Partition = (copied.Partition + 1) % analystPartitions
			h.ends = append(h.ends, &copied)
		}
	case 2: // a double grant
		h.grant(h.ask(q), q, h.newInstance())
	case 3: // the id once more, for someone else
		q.OpenID = schemas.NewOpenID("AAF-canaryOpenId-other")
		h.dead(h.ask(q))
	case 4: // an empty text is not the same as none
		empty := ""
		q.Extra = &empty
		h.fail(h.ask(q), q)
	case 5: // it waits
		h.ask(q)
	}
}

func (h *history) oddities() {
	h.t.Helper()
	q := h.request("replayed")
	dead := h.ask(q)
	h.dead(dead)
	h.grant(h.ask(q, kgo.RecordHeader{Key: "coupongrant-replay-of", Value: []byte(dead)}), q, h.newInstance())
	for range 2 { // requests that break a rule, and have ids all the same
		long := h.request(strings.Repeat("长", 65))
		h.dead(h.ask(long))
		unknown := h.request("type")
		unknown.CouponType = 1
		h.dead(h.ask(unknown))
		h.dead(h.ask(h.request("")))
		h.dead(h.write([]byte("canaryOpenId"), midnight))
		h.dead(h.write(nil, midnight))
		h.dead(h.write([]byte{0, 0x7f, 0xff, 0xff, 0xff, 1}, midnight))
	}
	ancient := h.request("before all time")
	ancient.OccurredAt = time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)
	h.dead(h.ask(ancient))
	h.dead(h.ask(ancient))
	gone := h.request("its request record is gone")
	h.grant("elsewhere/0/7", gone, h.newInstance())
	h.grant(h.ask(gone), gone, -1)
	h.end(h.topics.Granted, "elsewhere/0/8", []byte("no outcome"))
}
