package schemas

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// record is a request schema with these fields, JSON of each.
func record(fields string) string {
	return `{"type":"record","name":"CouponGrantRequested","namespace":"coupongrant.v1","fields":[` + fields + `]}`
}

const coreFields = `{"name":"request_id","type":"string"},{"name":"occurred_at","type":"long"},` +
	`{"name":"biz_code","type":"string"},{"name":"open_id","type":"string"},{"name":"channel","type":"string"},` +
	`{"name":"coupon_code","type":"string"},{"name":"coupon_type","type":"int"}`

func TestFieldsAreReadByNameAndNotByPlace(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	seed(t, fake, reg, 100, record(
		`{"name":"channel","type":"string"},{"name":"coupon_code","type":"string"},{"name":"biz_code","type":"string"},`+
			`{"name":"coupon_type","type":"int"},{"name":"open_id","type":"string"},`+
			`{"name":"occurred_at","type":"long"},{"name":"request_id","type":"string"}`))
	q, err := codec.Decode(value(100).text("store").text("0f3c").text("retail").long(247).
		text(canary).long(1_762_848_000 * second).text("r-1"))
	require.NoError(t, err)
	require.Equal(t, Request{
		RequestID: "r-1", OccurredAt: time.Unix(1_762_848_000, 0).UTC(), BizCode: "retail",
		OpenID: NewOpenID(canary), Channel: "store", CouponCode: "0f3c", CouponType: 247,
	}, q)
}

func TestWriterTypesThatAvroPromotesAreRead(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	body := firstVersion()
	cases := []struct {
		fields string
		bytes  wire
		want   func(*Request)
	}{
		{`{"name":"extra","type":"string"}`, wire{}.text("e"), func(q *Request) { q.Extra = ptr("e") }},
		{`{"name":"extra","type":"bytes"}`, wire{}.text("e"), func(q *Request) { q.Extra = ptr("e") }},
		{`{"name":"extra","type":["string","null"]}`, wire{}.long(0).text("e"), func(q *Request) { q.Extra = ptr("e") }},
		{`{"name":"extra","type":["string","null"]}`, wire{}.long(1), func(*Request) {}},
		{`{"name":"extra","type":"null"}`, nil, func(*Request) {}},
		{`{"name":"expires_at","type":"int"}`, wire{}.long(7), func(q *Request) { q.ExpiresAt = time.UnixMilli(7).UTC() }},
		{`{"name":"expires_at","type":"long"}`, wire{}.long(time.Time{}.UnixMilli()), func(q *Request) { q.ExpiresAt = time.Time{}.Add(-1) }},
		{
			`{"name":"trigger","type":{"type":"record","name":"Trigger","fields":[{"name":"kind","type":"string"}]}}`,
			wire{}.text("k"), func(q *Request) { q.Trigger = &Trigger{Kind: "k"} },
		},
		{
			`{"name":"trigger","type":["null",{"type":"record","name":"x.Trigger","fields":[` +
				`{"name":"milestone","type":"string"},{"name":"kind","type":"string"}]}]}`,
			wire{}.long(1).text("m").text("k"),
			func(q *Request) { q.Trigger = &Trigger{Kind: "k", Milestone: ptr("m")} },
		},
	}
	for i, c := range cases {
		seed(t, fake, reg, 100+i, record(coreFields+","+c.fields))
		want, err := codec.Decode(value(1).then(secondVersion()))
		require.NoError(t, err)
		c.want(&want)
		got, _ := codec.Decode(value(uint32(100 + i)).then(body).then(c.bytes))
		require.Equal(t, want, got, c.fields)
	}
}

func TestTextInBytesMustBeUTF8(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	seed(t, fake, reg, 100, record(coreFields+`,{"name":"extra","type":"bytes"}`))
	_, err := codec.Decode(value(100).then(firstVersion()).text("\xff"))
	requireReason(t, Undecodable, err)
}

func TestSymbolOfALaterVersionReadsAsUnknown(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	seed(t, fake, reg, 100, `{"type":"record","name":"coupongrant.v1.CouponGrantFailed","fields":[`+
		`{"name":"reason","type":{"type":"enum","name":"FailureReason","symbols":["BLOCKED"]}},`+
		`{"name":"request_id","type":"string"},{"name":"occurred_at","type":"long"},{"name":"failed_at","type":"long"},`+
		`{"name":"biz_code","type":"string"},{"name":"channel","type":"string"},{"name":"coupon_code","type":"string"},`+
		`{"name":"coupon_type","type":"int"},{"name":"attempts","type":"int"}]}`)
	got, err := codec.DecodeOutcome(value(100).long(0).text("r-1").long(second).long(2 * second).
		text("b").text("c").text("d").long(276).long(3))
	require.NoError(t, err)
	require.Equal(t, &Failed{Reason: ReasonUnknown, Ending: Ending{
		RequestID: "r-1", OccurredAt: time.Unix(1, 0).UTC(), EndedAt: time.Unix(2, 0).UTC(),
		BizCode: "b", Channel: "c", CouponCode: "d", CouponType: 276, Attempts: 3,
	}}, got)
}

func TestOutcomeTimesThatJSONCannotHoldAreRefused(t *testing.T) {
	_, _, codec := registeredCodec(t)
	for _, bad := range []time.Time{time.UnixMilli(math.MaxInt64), time.UnixMilli(math.MinInt64)} {
		give := fullFailed()
		give.EndedAt = bad
		value, err := codec.EncodeOutcome(give)
		require.NoError(t, err)
		_, err = codec.DecodeOutcome(value)
		requireReason(t, Undecodable, err)
	}
}

func TestValuesThatAreNotOfTheirTypeFailOnce(t *testing.T) {
	root := parsed(t, requestedSchema)
	for _, v := range []any{nil, 7, "text", map[string]any{}, map[string]any{"request_id": 7}, map[string]any{"trigger": "x"}} {
		_, err := projectRequest(root, v)
		require.Error(t, err)
	}
	for _, text := range []string{grantedSchema, failedSchema} {
		bad := map[string]any{"coupon": 7, "attempt_log": []any{7}}
		_, err := projectGranted(parsed(t, text), bad)
		require.Error(t, err)
		_, err = projectFailed(parsed(t, text), bad)
		require.Error(t, err)
	}
}
