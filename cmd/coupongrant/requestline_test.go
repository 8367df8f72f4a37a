package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

const fullLine = `{"request_id":"r-1","occurred_at":"2026-01-31T12:00:00.123456+08:00","expires_at":1800000000000,` +
	`"biz_code":"store","open_id":"canaryOpenId","channel":"pos","coupon_code":"c1","coupon_type":276,"extra":"{}",` +
	`"trigger":{"kind":"store-checkout","store_id":"S1"},"key":"till-7"}`

func TestParseRequestReadsEveryMember(t *testing.T) {
	key, r, err := parseRequest([]byte(fullLine), time.Time{}, schemas.Rules{})
	require.NoError(t, err)
	require.Equal(t, []byte("till-7"), key)
	store, extra := "S1", "{}"
	require.Equal(t, "canaryOpenId", r.OpenID.Reveal())
	r.OpenID = schemas.OpenID{}
	require.Equal(t, schemas.Request{
		RequestID: "r-1", OccurredAt: time.Date(2026, 1, 31, 4, 0, 0, 123e6, time.UTC), ExpiresAt: time.UnixMilli(1800000000000).UTC(),
		BizCode: "store", Channel: "pos", CouponCode: "c1", CouponType: 276, Extra: &extra,
		Trigger: &schemas.Trigger{Kind: "store-checkout", StoreID: &store},
	}, r)
}

func TestParseRequestDefaults(t *testing.T) {
	now := time.Date(2026, 3, 1, 1, 2, 3, 456789, time.UTC)
	key, r, err := parseRequest([]byte(`{"request_id":"r","biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247}`), now, schemas.Rules{})
	require.NoError(t, err)
	require.Nil(t, key)
	require.Equal(t, now.Truncate(time.Millisecond), r.OccurredAt)
	require.True(t, r.ExpiresAt.IsZero())
	require.Nil(t, r.Trigger)
	_, r, err = parseRequest([]byte(`{"request_id":"r","expires_at":null,"biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247}`), now, schemas.Rules{})
	require.NoError(t, err)
	require.True(t, r.ExpiresAt.IsZero())
	key, _, err = parseRequest([]byte(`{"request_id":"r","biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247,"key":""}`), now, schemas.Rules{})
	require.NoError(t, err)
	require.NotNil(t, key, "an empty key is a key")
}

func TestParseRequestSaysWhatIsWrongAndShowsNoValue(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(fullLine, old, new, 1) }
	for name, tt := range map[string]struct{ give, want string }{
		"not JSON":           {"canaryOpenId", "not JSON"},
		"not UTF-8":          {with("r-1", "r-\xb6\xa9"), "not UTF-8"},
		"half of it":         {fullLine[:40], "ends in the middle"},
		"two values":         {fullLine + "{}", "more than one"},
		"an array":           {"[]", "the line is not a JSON object"},
		"a text":             {`"canaryOpenId"`, "the line is not a JSON object"},
		"no request_id":      {with(`"request_id":"r-1",`, ""), "request_id is missing"},
		"long request_id":    {with("r-1", strings.Repeat("x", 65)), "request_id has 65 characters"},
		"unknown member":     {with("biz_code", "bizcode"), `"bizcode"`},
		"wrong type":         {with(`"pos"`, "7"), "channel is a number"},
		"type with fraction": {with("276", "276.5"), "coupon_type is a number, int32 is asked for"},
		"unknown type":       {with("276", "999"), "coupon_type is not 247, 276 or 357, nor one of"},
		"open_id a number":   {with(`"canaryOpenId"`, "77"), "open_id is not a string"},
		"open_id missing":    {with(`"open_id":"canaryOpenId",`, ""), "open_id is empty"},
		"time in words":      {with("1800000000000", `"tomorrow"`), "expires_at is neither RFC 3339"},
		"time a fraction":    {with("1800000000000", "1.5"), "expires_at is neither RFC 3339"},
		"other time":         {with(`"2026-01-31T12:00:00.123456+08:00"`, `"canaryOpenId"`), "occurred_at is neither RFC 3339"},
		"time negative":      {with("1800000000000", "-1"), "expires_at is before the year 1970"},
		"time of no time":    {with("1800000000000", `"0001-01-01T00:00:00Z"`), "expires_at is before the year 1970"},
		"and below a milli":  {with("1800000000000", `"0001-01-01T00:00:00.0009Z"`), "expires_at is before the year 1970"},
		"and as a number":    {with("1800000000000", "-62135596800000"), "expires_at is before the year 1970"},
		"trigger a text":     {with(`{"kind":"store-checkout","store_id":"S1"}`, `"x"`), "trigger is a string, an object is asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseRequest([]byte(tt.give), time.Now(), schemas.Rules{})
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "canaryOpenId")
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(fullLine))
	f.Add([]byte(`{"request_id":"r","occurred_at":9e99}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		_, r, err := parseRequest(line, time.Unix(1e9, 0), schemas.Rules{})
		if err == nil {
			require.NotEmpty(t, r.RequestID)
			require.NoError(t, schemas.Rules{}.Check(r))
		}
	})
}

func TestReadLineGoesOnAfterALineThatIsTooLong(t *testing.T) {
	long := strings.Repeat("x", maxLine+1)
	r := bufio.NewReaderSize(strings.NewReader("one\r\n\n"+long+"\ntwo\n"+long), 64)
	for _, want := range []struct {
		text string
		err  error
	}{{"one", nil}, {"", nil}, {"", errLongLine}, {"two", nil}, {"", errLongLine}, {"", io.EOF}} {
		text, err := readLine(r)
		require.ErrorIs(t, err, want.err)
		require.Equal(t, want.text, string(text))
	}
	text, err := readLine(bufio.NewReader(strings.NewReader("last")))
	require.NoError(t, err)
	require.Equal(t, "last", string(text))
	broken := errors.New("broken")
	_, err = readLine(bufio.NewReader(io.MultiReader(strings.NewReader("half"), brokenReader{broken})))
	require.ErrorIs(t, err, broken)
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }
