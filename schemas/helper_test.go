package schemas

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is an open_id that may stand nowhere but in Reveal and in values.
const canary = "AAHd5d-canary-open-id"

var testTopics = Topics{Inputs: []string{"store", "loyalty"}, Granted: "granted", Failed: "failed"}

func ptr[T any](v T) *T { return &v }

func fullRequest() Request {
	return Request{
		RequestID:  "checkout-4711",
		OccurredAt: time.Date(2026, 11, 11, 8, 0, 0, 123_000_000, time.UTC),
		ExpiresAt:  time.Date(2026, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		BizCode:    "retail",
		OpenID:     NewOpenID(canary),
		Channel:    "store",
		CouponCode: "0f3c",
		CouponType: 276,
		Extra:      ptr("not json {"),
		Trigger: &Trigger{
			Kind: "store-checkout", StoreID: ptr("s-1"), ReceiptID: ptr("r-9"),
		},
	}
}

func fullEnding() Ending {
	q := fullRequest()
	return Ending{
		RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: q.OccurredAt.Add(time.Second),
		BizCode: q.BizCode, Channel: q.Channel, CouponCode: q.CouponCode, CouponType: q.CouponType,
		Trigger: q.Trigger, Attempts: 2,
		AttemptLog: []Attempt{
			{At: q.OccurredAt, About: "gateway", Code: "isp.timeout"},
			{At: q.OccurredAt.Add(time.Second)},
		},
		GatewayRequestID: ptr("g-1"),
	}
}

func fullGranted() *Granted {
	return &Granted{Ending: fullEnding(), Coupon: Coupon{
		InstanceID: 1 << 40, TemplateID: ptr(int64(7)), Discount: ptr(int64(500)), StartFee: ptr(int64(0)),
		StartTime: ptr(int64(1_762_819_200_000)), EndTime: ptr(int64(-1)), Name: ptr("双十一"),
	}}
}

func fullFailed() *Failed {
	return &Failed{
		Ending: fullEnding(), Reason: ReasonExpired,
		GatewayCode: ptr("-7"), GatewaySubCode: ptr("isv.limit"), GatewayMessage: ptr("已达上限"),
	}
}

// inProcess carries exchanges to a handler without a socket, and counts them.
type inProcess struct {
	handler   http.Handler
	exchanges atomic.Int64
}

func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	t.exchanges.Add(1)
	answer := httptest.NewRecorder()
	t.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// fakeRegistry is a registry in this process and our client of it.
func fakeRegistry(t testing.TB) (*srfake.Registry, *Registry, *inProcess) {
	t.Helper()
	fake := srfake.NewRegistry()
	road := &inProcess{handler: fake.Handler()}
	reg, err := NewRegistry(RegistryConfig{URL: "http://registry", Transport: road})
	require.NoError(t, err)
	return fake, reg, road
}

// registeredCodec has all own schemas registered and fetched.
func registeredCodec(t testing.TB) (*srfake.Registry, *Registry, *Codec) {
	t.Helper()
	fake, reg, _ := fakeRegistry(t)
	require.NoError(t, reg.Register(t.Context(), testTopics))
	return fake, reg, NewCodec(reg, Rules{})
}

// seed registers any schema text, valid or not, and fetches its id.
func seed(t testing.TB, fake *srfake.Registry, reg *Registry, id int, text string) {
	t.Helper()
	fake.SeedSchema("seeded-value", id, id, sr.Schema{Schema: text})
	require.NoError(t, reg.Fetch(t.Context(), id))
}

// wire builds values byte by byte, apart from the code under test.
type wire []byte

func value(id uint32) wire { return binary.BigEndian.AppendUint32(wire{0}, id) }

func (w wire) long(v int64) wire { return binary.AppendVarint(w, v) }

func (w wire) text(s string) wire { return append(w.long(int64(len(s))), s...) }

func (w wire) raw(b ...byte) wire { return append(w, b...) }

// then appends what was built apart.
func (w wire) then(more wire) wire { return append(w, more...) }

const second = int64(1_000)

// firstVersion is the body of a request by history/CouponGrantRequested/1.avsc.
func firstVersion() wire {
	return wire{}.text("r-1").long(1_762_848_000 * second).
		text("retail").text(canary).text("store").text("0f3c").long(276)
}

// secondVersion is the body of a request by the current schema, optional
// members null.
func secondVersion() wire {
	return wire{}.text("r-1").long(1_762_848_000 * second).long(0).
		text("retail").text(canary).text("store").text("0f3c").long(276).long(0).long(0)
}

func requireReason(t testing.TB, want DeadLetterReason, err error) {
	t.Helper()
	var e *DecodeError
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.Reason, e.Error())
	require.NotContains(t, e.Error(), canary)
	require.NotContains(t, e.Error(), "\n")
}
