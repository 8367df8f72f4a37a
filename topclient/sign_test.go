package topclient

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// param is one parameter of a vector.
type param struct{ name, value string }

// paramsOf writes parameters as a form does, whose order is that of signing.
func paramsOf(all []param) params {
	slices.SortFunc(all, func(a, b param) int { return strings.Compare(a.name, b.name) })
	var p params
	for _, one := range all {
		p.add(one.name, one.value)
	}
	return p
}

// encodeDTO is the DTO as text.
func encodeDTO(g Grant) (string, *Error) {
	text, refused := appendDTO(nil, g)
	return string(text), refused
}

// newForm is one of a writer that is new.
func newForm(t testing.TB, method string, cred Credentials, g Grant, at time.Time) signedForm {
	t.Helper()
	w := formWriter{signMethod: method}
	form, refused := w.newForm(cred, g, at)
	require.Nil(t, refused)
	return form
}

// sign is the signature of a signer that is new.
func sign(method string, secret Secret, text []byte) string {
	s := signer{method: method}
	return s.sign(secret, text)
}

// vectorGrant is the DTO of vectors B and C.
var vectorGrant = Grant{
	BizCode: "YXX", Channel: "app", CouponType: 247,
	Extra:  `{"store":"上海南京东路店","note":"满100减10 a/b & c+d=é"}`,
	OpenID: "AAHd5d-EAAeGwJedwSHpg8bT", OutID: "cg-20260401-000001", UUID: "fsdfsfee1f2",
}

func vectorA(method string) []param {
	return []param{
		{"v", "2.0"},
		{"app_key", "test"},
		{"fields", "nick"},
		{"format", "xml"},
		{"method", "taobao.user.seller.get"},
		{"session", "test"},
		{"sign_method", method},
		{"timestamp", "2013-05-06 13:52:03"},
	}
}

func vectorB(t testing.TB, method string) []param {
	dto, err := encodeDTO(vectorGrant)
	require.Nil(t, err)
	return []param{
		{"app_key", "12345678"},
		{"session", "6100e23cd5e0f4bd8c7a1"},
		{"format", "json"},
		{"method", "tmall.nrt.coupon.send"},
		{"partner_id", "coupongrant-1.0"},
		{"simplify", "true"},
		{"timestamp", "2026-04-01 09:30:00"},
		{"v", "2.0"},
		{dtoParameter, dto},
		{"sign_method", method},
	}
}

func vectorC(t testing.TB) []param {
	params := slices.DeleteFunc(vectorB(t, SignHMACSHA256), func(p param) bool {
		return p.name == "simplify" || p.name == "partner_id"
	})
	return append(params, param{"partner_id", "top-sdk-java-dynamicVersionNo"})
}

// The vectors were computed by the official Java SDK, Python and Node; C was
// taken off the wire.
func TestSignatureVectors(t *testing.T) {
	const secretB = "helloworld-secret-0123456789abcd"
	tests := []struct {
		name, method, secret string
		params               []param
		length               int
		text, want           string
	}{
		{"A", SignMD5, "test", vectorA(SignMD5), 115, "9dd71fa08546e82ea1fc4070a2d4a8751993f8d790875b3df3fce9fe4352babc", "72CB4D809B375A54502C09360D879C64"},
		{"A", SignHMAC, "test", vectorA(SignHMAC), 116, "61dfced3c6a228319a46ad51824a003f09768ed6dadb67aeadd2ebb9db36066b", "FA15A9D5B42AB2D6F3397843851ED09A"},
		{"A", SignHMACSHA256, "test", vectorA(SignHMACSHA256), 123, "fb2d66a0b4fb435e00a12b5aa12916f83bb9718e6cbb2dc4ea6d6791fc4bbec2", "267B9C1C7A2FE1CE413DBB95E596616D32107AE0992BE2C22143CFCE303E8E34"},
		{"B", SignMD5, secretB, vectorB(t, SignMD5), 408, "aacea70bda009b83f1fd60d254f58c2c303ac81eb76affc5fd736c264f6d179c", "C4CEDF4FAB17EE2C5BACA779BA2A73CB"},
		{"B", SignHMAC, secretB, vectorB(t, SignHMAC), 409, "7a095c1c4e42edb7f2a1afc2b25f2e9e41eeef9d713951265937e697ea443ab7", "B796073BCA8FC22AFF285B1A86380D55"},
		{"B", SignHMACSHA256, secretB, vectorB(t, SignHMACSHA256), 416, "7112c149d83e52f33daa24bf21a0c9adaa86fd7cacd9da83ec5f7baf25641c46", "FC904B64450103AA5BC1CFF3E5536407A02E741CA6F8C5A55020C049F9178CC0"},
		{"B with empty and blank", SignMD5, secretB, append(vectorB(t, SignMD5), param{"empty", ""}, param{"blank", " \t"}), 408, "aacea70bda009b83f1fd60d254f58c2c303ac81eb76affc5fd736c264f6d179c", "C4CEDF4FAB17EE2C5BACA779BA2A73CB"},
		{"C", SignHMACSHA256, secretB, vectorC(t), 418, "", "52118ED2CDD3AD619F0BE2C1DCD77CD485D8027D0437A9D93EF08575249B0D15"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.method, func(t *testing.T) {
			text := paramsOf(tt.params).text
			sum := sha256.Sum256(text)
			require.Len(t, text, tt.length, "%s", text)
			require.Contains(t, hex.EncodeToString(sum[:]), tt.text)
			require.Equal(t, tt.want, sign(tt.method, NewSecret(tt.secret), text))
		})
	}
}

func TestVectorBIsEncodedAsTheJavaSDKDoes(t *testing.T) {
	const dto = `{"biz_code":"YXX","channel":"app","coupon_type":247,"extra":"{\"store\":\"上海南京东路店\",\"note\":\"满100减10 a/b & c+d=é\"}","open_id":"AAHd5d-EAAeGwJedwSHpg8bT","out_id":"cg-20260401-000001","uuid":"fsdfsfee1f2"}`
	const field = `nrt_coupon_send_dto=%7B%22biz_code%22%3A%22YXX%22%2C%22channel%22%3A%22app%22%2C%22coupon_type%22%3A247%2C%22extra%22%3A%22%7B%5C%22store%5C%22%3A%5C%22%E4%B8%8A%E6%B5%B7%E5%8D%97%E4%BA%AC%E4%B8%9C%E8%B7%AF%E5%BA%97%5C%22%2C%5C%22note%5C%22%3A%5C%22%E6%BB%A1100%E5%87%8F10+a%2Fb+%26+c%2Bd%3D%C3%A9%5C%22%7D%22%2C%22open_id%22%3A%22AAHd5d-EAAeGwJedwSHpg8bT%22%2C%22out_id%22%3A%22cg-20260401-000001%22%2C%22uuid%22%3A%22fsdfsfee1f2%22%7D`
	text, err := encodeDTO(vectorGrant)
	require.Nil(t, err)
	require.Len(t, text, 226)
	require.Equal(t, dto, text)
	require.Equal(t, field, string(paramsOf([]param{{dtoParameter, text}}).form))
}

// A gateway that reads the form as any web server does, and signs what it read,
// must come to the same signature: nothing is added, lost or spelled otherwise
// after signing. The sorting and joining here share no code with the client's.
func requireSignedForm(t *testing.T, method string, cred Credentials, body []byte) url.Values {
	t.Helper()
	values, err := url.ParseQuery(string(body))
	require.NoError(t, err)
	got := values.Get("sign")
	values.Del("sign")
	var names []string
	for name, all := range values {
		require.Len(t, all, 1, name)
		require.NotEmpty(t, strings.TrimSpace(all[0]), name)
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + values.Get(name))
	}
	require.Equal(t, sign(method, cred.AppSecret, []byte(text.String())), got)
	return values
}

// standardDTO is what encoding/json makes of a Grant.
func standardDTO(t testing.TB, g Grant) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(struct {
		BizCode    string `json:"biz_code"`
		Channel    string `json:"channel"`
		CouponType int32  `json:"coupon_type"`
		Extra      string `json:"extra,omitempty"`
		OpenID     string `json:"open_id"`
		OutID      string `json:"out_id"`
		UUID       string `json:"uuid"`
	}{g.BizCode, g.Channel, g.CouponType, g.Extra, g.OpenID, g.OutID, g.UUID}))
	return strings.TrimSuffix(b.String(), "\n")
}

func TestDTOIsThatOfTheStandardLibrary(t *testing.T) {
	for r := range rune(0x3000) {
		g := Grant{BizCode: string(r), OutID: "<&>" + string(r) + "x", Extra: "/" + string(r), UUID: "é😀", CouponType: -5}
		text, refused := encodeDTO(g)
		require.Nil(t, refused)
		require.Equal(t, standardDTO(t, g), text)
	}
}

func TestSignedFormSurvivesTheWire(t *testing.T) {
	alphabet := []rune("aZ09 \t\n&=+%/\\\"'<>{}:;?#@é中文😀\u2028\u0000")
	rng := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		runes := make([]rune, rng.IntN(20))
		for i := range runes {
			runes[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(runes)
	}
	writers := []*formWriter{{signMethod: SignMD5}, {signMethod: SignHMAC}, {signMethod: SignHMACSHA256}}
	for range 2000 {
		g := Grant{text(), text(), text(), text(), "x" + text(), text(), rng.Int32()}
		cred := Credentials{AppKey: text(), AppSecret: NewSecret(text()), Session: NewSecret(text())}
		for _, w := range slices.Repeat(writers, 2) { // the second time with a key that is known
			form, refused := w.newForm(cred, g, time.Now())
			require.Nil(t, refused)
			requireSignedForm(t, w.signMethod, cred, form.body)
		}
	}
}

// The host's zone must not matter: a local time works on a GMT+8 host only.
func TestTimestampIsInTheGatewaysZone(t *testing.T) {
	at := time.Date(2026, 3, 31, 18, 30, 0, 0, time.FixedZone("somewhere", -7*60*60))
	values, err := url.ParseQuery(string(newForm(t, SignMD5, testCred, testGrant, at).body))
	require.NoError(t, err)
	require.Equal(t, "2026-04-01 09:30:00", values.Get("timestamp"))
}

func TestChineseTextIsSignedAsUTF8(t *testing.T) {
	require.Equal(t, "a\xe4\xb8\xad", string(paramsOf([]param{{"a", "中"}}).text))
}

func TestEscapingIsThatOfTheStandardLibrary(t *testing.T) {
	for c := range 256 {
		text := "a" + string([]byte{byte(c)}) + "b"
		require.Equal(t, url.QueryEscape(text), string(appendEscaped(nil, text)))
	}
}
