package schemas

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/stretchr/testify/require"
)

// lottery makes values of which any member may be there or not, short or long.
type lottery struct{ *rand.Rand }

func (l lottery) text() string {
	return strings.Repeat([]string{"", "a", "双十一", "\x00"}[l.IntN(4)], l.IntN(200))
}

func (l lottery) optText() *string {
	if l.IntN(2) == 0 {
		return nil
	}
	return ptr(l.text())
}

func (l lottery) optLong() *int64 {
	if l.IntN(2) == 0 {
		return nil
	}
	return ptr(int64(l.Uint64()) >> l.IntN(64))
}

func (l lottery) time() time.Time { return time.UnixMilli(l.Int64N(4e12)).UTC() }

func (l lottery) trigger() *Trigger {
	if l.IntN(2) == 0 {
		return nil
	}
	return &Trigger{Kind: l.text(), StoreID: l.optText(), ReceiptID: l.optText(), ProgramID: l.optText(), Milestone: l.optText()}
}

func (l lottery) ending() Ending {
	e := Ending{
		RequestID: l.text(), OccurredAt: l.time(), EndedAt: l.time(), BizCode: l.text(), Channel: l.text(), CouponCode: l.text(),
		CouponType: int32(l.Uint32()), Trigger: l.trigger(), Attempts: int32(l.Uint32()), GatewayRequestID: l.optText(),
	}
	for range l.IntN(AttemptLogSize + 1) {
		e.AttemptLog = append(e.AttemptLog, Attempt{At: l.time(), About: l.text(), Code: l.text()})
	}
	return e
}

// What we write, goavro reads by the schema, to the last byte, and writes again
// as the same bytes.
func TestWhatIsWrittenIsWhatGoavroWrites(t *testing.T) {
	_, reg, codec := registeredCodec(t)
	l := lottery{rand.New(rand.NewPCG(3, 4))}
	for i := range 500 {
		request := fullRequest()
		request.RequestID, request.Extra, request.Trigger = l.text(), l.optText(), l.trigger()
		if l.IntN(2) == 0 {
			request.ExpiresAt = time.Time{}
		}
		coupon := Coupon{InstanceID: int64(l.Uint64()), TemplateID: l.optLong(), Discount: l.optLong(), StartFee: l.optLong(), StartTime: l.optLong(), EndTime: l.optLong(), Name: l.optText()}
		reasons := FailureReasons()
		for event, encode := range map[string]func() ([]byte, error){
			requestedName: func() ([]byte, error) { return codec.EncodeRequest("store", request) },
			grantedName:   func() ([]byte, error) { return codec.EncodeOutcome(&Granted{Ending: l.ending(), Coupon: coupon}) },
			failedName: func() ([]byte, error) {
				return codec.EncodeOutcome(&Failed{
					Ending: l.ending(), Reason: reasons[l.IntN(len(reasons))],
					GatewayCode: l.optText(), GatewaySubCode: l.optText(), GatewayMessage: l.optText(),
				})
			},
		} {
			value, err := encode()
			require.NoError(t, err)
			schema, err := goavro.NewCodec(reg.gate.contracts[event].text)
			require.NoError(t, err)
			native, rest, err := schema.NativeFromBinary(value[headerSize:])
			require.NoError(t, err, "%d %s", i, event)
			require.Empty(t, rest, "%d %s", i, event)
			again, err := schema.BinaryFromNative(nil, native)
			require.NoError(t, err)
			require.Equal(t, value[headerSize:], again, "%d %s", i, event)
		}
	}
}

func TestOutcomesComeBackAsTheyWent(t *testing.T) {
	_, _, codec := registeredCodec(t)
	l := lottery{rand.New(rand.NewPCG(5, 6))}
	for range 200 {
		for _, reason := range FailureReasons() {
			want := &Failed{Ending: l.ending(), Reason: reason, GatewayCode: l.optText(), GatewaySubCode: l.optText(), GatewayMessage: l.optText()}
			value, err := codec.EncodeOutcome(want)
			require.NoError(t, err)
			got, err := codec.DecodeOutcome(value)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

// A value must not change when the next is written into the same room.
func TestValuesAreNobodyElsesRoom(t *testing.T) {
	_, _, codec := registeredCodec(t)
	first, err := codec.EncodeOutcome(fullGranted())
	require.NoError(t, err)
	same := string(first)
	for range 100 {
		_, err = codec.EncodeOutcome(fullFailed())
		require.NoError(t, err)
	}
	require.Equal(t, same, string(first))
}
