package schemas

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRequestSurvivesEncodingAndDecoding(t *testing.T) {
	_, _, codec := registeredCodec(t)
	milestone := fullRequest()
	milestone.Trigger = &Trigger{Kind: "loyalty-milestone", ProgramID: ptr("gold"), Milestone: ptr("100")}
	bare := fullRequest()
	bare.ExpiresAt, bare.Extra, bare.Trigger = time.Time{}, nil, nil
	never := fullRequest()
	never.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, give := range map[string]Request{
		"checkout": fullRequest(), "milestone": milestone, "nothing optional": bare, "far expiry": never,
	} {
		t.Run(name, func(t *testing.T) {
			for _, topic := range testTopics.Inputs {
				value, err := codec.EncodeRequest(topic, give)
				require.NoError(t, err)
				got, err := codec.Decode(value)
				require.NoError(t, err)
				require.Equal(t, give, got)
			}
		})
	}
}

func TestOutcomeSurvivesEncodingAndDecoding(t *testing.T) {
	_, _, codec := registeredCodec(t)
	lone := &Granted{Ending: fullEnding(), Coupon: Coupon{InstanceID: 1}}
	lone.Trigger, lone.AttemptLog, lone.GatewayRequestID = nil, nil, nil
	gives := []Outcome{fullGranted(), fullFailed(), lone}
	for _, reason := range FailureReasons() {
		f := fullFailed()
		f.Reason = reason
		gives = append(gives, f)
	}
	for _, give := range gives {
		value, err := codec.EncodeOutcome(give)
		require.NoError(t, err)
		got, err := codec.DecodeOutcome(value)
		require.NoError(t, err)
		require.Equal(t, give, got)
	}
}

func TestEncodedBytesAreWhatAvroSays(t *testing.T) {
	_, _, codec := registeredCodec(t)
	golden, err := os.ReadFile("testdata/golden.txt")
	require.NoError(t, err)
	request, err := codec.EncodeRequest("store", fullRequest())
	require.NoError(t, err)
	granted, err := codec.EncodeOutcome(fullGranted())
	require.NoError(t, err)
	failed, err := codec.EncodeOutcome(fullFailed())
	require.NoError(t, err)
	got := fmt.Sprintf("request %s\ngranted %s\nfailed %s\n",
		hex.EncodeToString(request[headerSize:]), hex.EncodeToString(granted[headerSize:]), hex.EncodeToString(failed[headerSize:]))
	require.Equal(t, string(golden), got)
}

func TestHandmadeBytesDecode(t *testing.T) {
	_, _, codec := registeredCodec(t)
	q, err := codec.Decode(value(1).then(secondVersion()))
	require.NoError(t, err)
	require.Equal(t, Request{
		RequestID: "r-1", OccurredAt: time.Unix(1_762_848_000, 0).UTC(), BizCode: "retail",
		OpenID: NewOpenID(canary), Channel: "store", CouponCode: "0f3c", CouponType: 276,
	}, q)
}

func TestDecodedRequestOwnsItsMemory(t *testing.T) {
	_, _, codec := registeredCodec(t)
	value, err := codec.EncodeRequest("store", fullRequest())
	require.NoError(t, err)
	q, err := codec.Decode(value)
	require.NoError(t, err)
	clear(value)
	require.Equal(t, fullRequest(), q)
}

func TestBadValuesAreRefusedWithTheirReason(t *testing.T) {
	_, _, codec := registeredCodec(t)
	whole := value(1).then(secondVersion())
	long := wire{}.text("r-1").long(0)
	cases := map[string]struct {
		give []byte
		want DeadLetterReason
	}{
		"null":                  {nil, Undecodable},
		"empty":                 {[]byte{}, Undecodable},
		"only the magic byte":   {[]byte{0}, Undecodable},
		"header too short":      {[]byte{0, 0, 0, 1}, Undecodable},
		"no body":               {value(1), Undecodable},
		"wrong magic byte":      {append([]byte{1}, whole[1:]...), Undecodable},
		"json":                  {[]byte(`{"request_id":"r-1"}`), Undecodable},
		"truncated":             {whole[:len(whole)-1], Undecodable},
		"cut in open_id":        {whole[:30], Undecodable},
		"one byte left over":    {append(whole[:len(whole):len(whole)], 0), Undecodable},
		"not UTF-8":             {value(1).then(wire{}.text("r-\xff")).then(secondVersion()[4:]), Undecodable},
		"negative length":       {value(1).long(-1), Undecodable},
		"length beyond the end": {value(1).long(1 << 40), Undecodable},
		"overlong number":       {value(1).raw(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), Undecodable},
		"union branch missing":  {value(1).then(long).long(2), Undecodable},
		"union branch negative": {value(1).then(long).long(-1), Undecodable},
		"coupon_type too big":   {value(1).then(tooBigType()), Undecodable},
		"id 0":                  {value(0).then(secondVersion()), UnknownSchema},
		"id beyond int32":       {value(math.MaxUint32).then(secondVersion()), UnknownSchema},
		"an outcome's schema":   {value(2).then(secondVersion()), UnknownSchema},
		"above the size cap":    {append(whole[:len(whole):len(whole)], make([]byte, MaxValueBytes)...), TooLarge},
		"large, no wire format": {bytes.Repeat([]byte{'{'}, MaxValueBytes+1), Undecodable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q, err := codec.Decode(c.give)
			requireReason(t, c.want, err)
			require.Zero(t, q)
			_, err = codec.DecodeOutcome(c.give)
			require.Error(t, err)
		})
	}
}

// tooBigType holds a long where the schema says int.
func tooBigType() wire {
	return wire{}.text("r-1").long(0).long(0).text("a").text("b").text("c").text("d").
		long(math.MaxInt32 + 1).long(0).long(0)
}

func TestValueOfTheLargestSizeIsStillRead(t *testing.T) {
	_, _, codec := registeredCodec(t)
	kind := strings.Repeat("k", MaxValueBytes-200)
	q := fullRequest()
	q.Trigger = &Trigger{Kind: kind}
	value, err := codec.EncodeRequest("store", q)
	require.NoError(t, err)
	require.LessOrEqual(t, len(value), MaxValueBytes)
	got, err := codec.Decode(value)
	require.NoError(t, err)
	require.Equal(t, q, got)
}

func TestUnknownIDIsAskedFor(t *testing.T) {
	_, reg, _ := fakeRegistry(t)
	codec := NewCodec(reg, Rules{})
	_, err := codec.Decode(value(77).then(secondVersion()))
	require.Equal(t, &NotFetchedError{ID: 77}, err)
	_, err = codec.DecodeOutcome(value(78))
	require.Equal(t, &NotFetchedError{ID: 78}, err)
}

func TestEncodingWaitsForTheOwnSchemas(t *testing.T) {
	_, reg, _ := fakeRegistry(t)
	codec := NewCodec(reg, Rules{})
	_, err := codec.EncodeRequest("store", fullRequest())
	require.Equal(t, &NotFetchedError{}, err)
	_, err = codec.EncodeOutcome(fullGranted())
	require.Equal(t, &NotFetchedError{}, err)
}

func TestOutcomeKeepsTheNewestAttempts(t *testing.T) {
	_, _, codec := registeredCodec(t)
	give := fullFailed()
	give.AttemptLog = nil
	for i := range AttemptLogSize + 5 {
		give.AttemptLog = append(give.AttemptLog, Attempt{At: give.OccurredAt, Code: fmt.Sprint(i)})
	}
	value, err := codec.EncodeOutcome(give)
	require.NoError(t, err)
	got, err := codec.DecodeOutcome(value)
	require.NoError(t, err)
	require.Equal(t, give.AttemptLog[5:], got.(*Failed).AttemptLog)
}

func TestGatewayTextThatIsNotUTF8StillMakesAnOutcome(t *testing.T) {
	_, _, codec := registeredCodec(t)
	give := fullFailed()
	give.GatewayMessage = ptr("gb\xa3\xac")
	value, err := codec.EncodeOutcome(give)
	require.NoError(t, err)
	got, err := codec.DecodeOutcome(value)
	require.NoError(t, err)
	require.Equal(t, "gb\uFFFD", *got.(*Failed).GatewayMessage)
}

func TestEncodingRefusesWhatNoSchemaHolds(t *testing.T) {
	_, _, codec := registeredCodec(t)
	q := fullRequest()
	q.OpenID = NewOpenID(canary + "\xff")
	_, err := codec.EncodeRequest("store", q)
	require.Error(t, err)
	require.NotContains(t, err.Error(), canary)

	f := fullFailed()
	f.Reason = "NO_SUCH_REASON"
	_, err = codec.EncodeOutcome(f)
	require.Error(t, err)
	_, err = codec.EncodeOutcome(nil)
	require.Error(t, err)
}

func BenchmarkDecode(b *testing.B) {
	_, _, codec := registeredCodec(b)
	value, err := codec.EncodeRequest("store", fullRequest())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err = codec.Decode(value)
	}
	require.NoError(b, err)
}

func BenchmarkEncodeOutcome(b *testing.B) {
	_, _, codec := registeredCodec(b)
	b.ReportAllocs()
	var err error
	for b.Loop() {
		_, err = codec.EncodeOutcome(fullGranted())
	}
	require.NoError(b, err)
}
