package topsim_test

import (
	"errors"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// text is any text that is not blank, rich in what encodings trip over.
type text string

// Generate makes texts for quick.Check.
func (text) Generate(rng *rand.Rand, size int) reflect.Value {
	const rich = "aZ09 \t\r\n\x00&=+%/\\\"'<>{}[]:;,?#@~-_.é中文券😀\u00a0\u2028\ufeff\U0010ffff"
	letters := []rune(rich)
	runes := make([]rune, rng.Intn(size+1))
	for i := range runes {
		runes[i] = letters[rng.Intn(len(letters))]
	}
	return reflect.ValueOf(text("x" + string(runes)))
}

// attempt is everything free in one call.
type attempt struct {
	AppKey, Secret, Session, BizCode, OpenID, Extra, Channel, OutID, UUID text
	Method                                                                uint8 // of signing
	Parameter, Byte                                                       uint  // which byte is changed
}

// forger changes one byte of what a client sends, in one of the parameters that
// no check looks at before the signature.
type forger struct {
	attempt

	to     http.RoundTripper
	honest bool // changes nothing after all
}

func (f forger) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if !f.honest {
		names := [...]string{"sign", "session", "nrt_coupon_send_dto"}
		name := names[f.Parameter%uint(len(names))]
		form.Set(name, flip(form.Get(name), f.Byte))
	}
	r.Body = io.NopCloser(strings.NewReader(form.Encode()))
	r.ContentLength = int64(len(form.Encode()))
	return f.to.RoundTrip(r)
}

// flip changes the lowest bit of an ASCII byte; the first byte is always one.
func flip(value string, at uint) string {
	changed := []byte(value)
	i := at % uint(len(changed))
	for changed[i] >= 0x80 {
		i--
	}
	changed[i] ^= 1
	return string(changed)
}

// Client and simulator sign by code of their own. For any texts they agree, and
// after one byte has changed they do not.
func TestClientAndSimulatorAgreeOnSignatures(t *testing.T) {
	const attempts = 600
	sim := newSimulator(t)
	holds := func(a attempt) bool { return isGranted(t, sim, a) && isFoundOut(t, sim, a) }
	require.NoError(t, quick.Check(holds, &quick.Config{MaxCount: attempts}))
	require.EqualValues(t, attempts, sim.Stats().Rejected["25"])
}

func FuzzClientAndSimulatorAgree(f *testing.F) {
	f.Add("key", "secret", "session", "open id", `{"key","value"}`, "out", uint8(2), uint(1), uint(0))
	f.Add("钥匙", "&=+%", "a b\tc", "\"\\/\u2028", "满100减10", "\x00", uint8(0), uint(2), uint(100))
	f.Fuzz(func(t *testing.T, key, secret, session, openID, extra, outID string, method uint8, parameter, at uint) {
		if len(openID)+len(extra)+len(outID) > 8<<10 { // of a byte JSON may make six, and the client sends 64 KiB
			return
		}
		valid := func(s string) text { return text("x" + strings.ToValidUTF8(s, "?")) }
		a := attempt{
			valid(key), valid(secret), valid(session), "b", valid(openID), valid(extra), "c", valid(outID), "u", method, parameter, at,
		}
		sim := newSimulator(t)
		require.True(t, isGranted(t, sim, a))
		require.True(t, isFoundOut(t, sim, a))
	})
}

func newSimulator(t *testing.T) *topsim.Simulator {
	t.Helper()
	sim, err := topsim.New(topsim.DefaultConfig())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return sim
}

func isGranted(t *testing.T, sim *topsim.Simulator, a attempt) bool {
	t.Helper()
	coupon, err := send(t, sim, forger{attempt: a, to: sim.Transport(), honest: true})
	return err == nil && coupon.InstanceID > 0
}

// isFoundOut sends a changed byte and says whether the signature was refused.
func isFoundOut(t *testing.T, sim *topsim.Simulator, a attempt) bool {
	t.Helper()
	_, err := send(t, sim, forger{attempt: a, to: sim.Transport()})
	refused, ok := errors.AsType[*topclient.Error](err)
	return ok && refused.Code == "25"
}

func send(t *testing.T, sim *topsim.Simulator, f forger) (topclient.Coupon, error) {
	t.Helper()
	sim.SetApp(string(f.AppKey), topsim.App{
		Secret: string(f.Secret), Sessions: map[string]time.Time{string(f.Session): {}},
	})
	methods := [...]string{topclient.SignMD5, topclient.SignHMAC, topclient.SignHMACSHA256}
	client, err := topclient.New(topclient.Config{
		URL: "http://gateway.test/router/rest", SignMethod: methods[int(f.Method)%len(methods)],
	}, f)
	require.NoError(t, err)
	return client.Send(t.Context(), topclient.Credentials{
		AppKey: string(f.AppKey), AppSecret: topclient.NewSecret(string(f.Secret)), Session: topclient.NewSecret(string(f.Session)),
	}, topclient.Grant{
		BizCode: string(f.BizCode), OpenID: string(f.OpenID), Extra: string(f.Extra), Channel: string(f.Channel),
		OutID: string(f.OutID), UUID: string(f.UUID), CouponType: 247,
	})
}
