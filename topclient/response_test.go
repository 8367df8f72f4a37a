package topclient

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An id that a float64 would round to 7091800003790954496.
const bigID = 7091800003790954036

func int64p(n int64) *int64    { return &n }
func stringp(s string) *string { return &s }

// wholeCoupon is the one in every body of TestGrantedInEveryForm.
func wholeCoupon() Coupon {
	return Coupon{
		InstanceID: bigID, TemplateID: int64p(9007199254740993), Discount: int64p(10), StartFee: int64p(100),
		StartTime: int64p(123345), EndTime: int64p(123346), Name: stringp("测试券"), RequestID: "r1",
	}
}

const (
	modelJSON   = `{"discount":10,"start_fee":100,"coupon_name":"测试券","coupon_template_id":9007199254740993,"coupon_instance_id":7091800003790954036,"end_time":123346,"start_time":123345}`
	modelQuoted = `{"discount":"10","start_fee":" 100 ","coupon_name":"测试券","coupon_template_id":"9007199254740993","coupon_instance_id":"7091800003790954036","end_time":"123346","start_time":"123345"}`
	modelXML    = `<model><discount>10</discount><start_fee>100</start_fee><coupon_name>测试券</coupon_name><coupon_template_id>9007199254740993</coupon_template_id><coupon_instance_id>7091800003790954036</coupon_instance_id><end_time>123346</end_time><start_time>123345</start_time></model>`
	grantedJSON = `{"tmall_nrt_coupon_send_response":{"model":` + modelJSON + `,"request_id":"r1"}}`
	grantedXML  = `<?xml version="1.0" encoding="utf-8" ?><tmall_nrt_coupon_send_response>` + modelXML + `<request_id>r1</request_id></tmall_nrt_coupon_send_response><!--top011229189136.center.et2-->`
)

func TestGrantedInEveryForm(t *testing.T) {
	success := func(inner string) string {
		return `{"tmall_nrt_coupon_send_response":{` + inner + `,"request_id":"r1"}}`
	}
	tests := map[string]string{
		"JSON":                   grantedJSON,
		"JSON, ids quoted":       success(`"model":` + modelQuoted),
		"JSON, spaces":           " \r\n\t" + strings.NewReplacer(":", " : ", ",", "\n,\t", "{", "{ ", "}", " }").Replace(grantedJSON) + "\n",
		"BOM":                    "\xef\xbb\xbf" + grantedJSON,
		"simplify":               `{"model":` + modelJSON + `,"request_id":"r1"}`,
		"XML":                    grantedXML,
		"XML after BOM":          "\xef\xbb\xbf" + grantedXML,
		"F5":                     success(`"result":{"code":0,"message":"ok","model":` + modelJSON + `}`),
		"F5, code empty":         success(`"result":{"code":"","model":` + modelJSON + `}`),
		"code 0 at root":         success(`"code":"0","model":` + modelJSON),
		"error_response is null": `{"error_response":null,"tmall_nrt_coupon_send_response":{"model":` + modelJSON + `,"request_id":"r1"}}`,
		"unknown members":        `{"x":[1,{"y":[]}],"tmall_nrt_coupon_send_response":{"z":{"a":null},"list":[[],{}],"model":` + modelJSON + `,"request_id":"r1"}}`,
		"coupon's own code":      success(`"model":` + strings.Replace(modelJSON, "{", `{"code":"ABC",`, 1)),
		"escaped":                `{"tmall\u005fnrt_coupon_send_response":{"model":` + modelJSON + `,"request_id":"\u0072\u0031"}}`,
		"raw control characters": strings.Replace(grantedJSON, `{"model"`, "{\"note\":\"a\tb\nc\x00\\\\\",\"model\"", 1),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := judgeBody(http.StatusOK, body)
			require.Nil(t, err)
			require.Equal(t, wholeCoupon(), got)
		})
	}
}

func TestOptionalMembersAreNoReasonForDoubt(t *testing.T) {
	got, err := judgeBody(http.StatusOK, `{"tmall_nrt_coupon_send_response":{"model":{"coupon_instance_id":1,"discount":"1.50","start_fee":1e2,"end_time":99999999999999999999,"coupon_name":null}}}`)
	require.Nil(t, err)
	require.Equal(t, Coupon{InstanceID: 1}, got)
}

func TestNumbersWithAPointAreWholeIfNobodyRoundedThem(t *testing.T) {
	got, err := judgeBody(http.StatusOK, `{"tmall_nrt_coupon_send_response":{"success":true,"model":{"code":"SPRING","coupon_instance_id":12345.0,`+
		`"discount":"10.00","start_fee":-9007199254740991.0,"end_time":9007199254740992.0,"start_time":"1.","coupon_template_id":".0"}}}`)
	require.Nil(t, err)
	require.Equal(t, Coupon{InstanceID: 12345, Discount: int64p(10), StartFee: int64p(-9007199254740991)}, got)
}

// A name is what Tmall calls the coupon, or none: not what another encoding made of it, and
// nothing that acts on a terminal.
func TestNameIsFitToBeShown(t *testing.T) {
	for name, want := range map[string]string{
		"满100减10\u3000元":               "满100减10\u3000元",
		`a\u001b]0;pwn\u0007`:          `a\u001b]0;pwn\u0007`,
		"\xc2\xfa100\xbc\xf510 in GBK": "",
	} {
		got, err := judgeBody(http.StatusOK, `{"tmall_nrt_coupon_send_response":{"model":{"coupon_instance_id":1,"coupon_name":"`+name+`"}}}`)
		require.Nil(t, err)
		if want == "" {
			require.Nil(t, got.Name)
			continue
		}
		require.Equal(t, want, *got.Name)
	}
}

// None of these says that a coupon was granted, and none that it was not.
func TestDoubtfulAnswers(t *testing.T) {
	success := func(inner string) string { return `{"tmall_nrt_coupon_send_response":{` + inner + `}}` }
	tests := []struct {
		name, body, code string
		about            About
	}{
		{"empty", "", CodeBadBody, AboutGateway},
		{"white space", " \n", CodeBadBody, AboutGateway},
		{"BOM only", "\xef\xbb\xbf", CodeBadBody, AboutGateway},
		{"two BOMs", "\xef\xbb\xbf\xef\xbb\xbf" + grantedJSON, CodeBadBody, AboutGateway},
		{"HTML", "<html><body>502</body></html>", CodeBadBody, AboutGateway},
		{"HTML with document type", "<!DOCTYPE html><html></html>", CodeBadBody, AboutGateway},
		{"text", "OK", CodeBadBody, AboutGateway},
		{"number", "1", CodeBadBody, AboutGateway},
		{"list", "[" + grantedJSON + "]", CodeBadBody, AboutGateway},
		{"cut short", grantedJSON[:len(grantedJSON)-1], CodeBadBody, AboutGateway},
		{"more after the end", grantedJSON + grantedJSON, CodeBadBody, AboutGateway},
		{"UTF-16", "\xff\xfe{\x00}\x00", CodeBadBody, AboutGateway},
		{"XML cut short", grantedXML[:200], CodeBadBody, AboutGateway},
		{"XML with text around", "<a/>b", CodeBadBody, AboutGateway},
		{"XML in GBK", strings.Replace(grantedXML, "utf-8", "gbk", 1), CodeBadBody, AboutGateway},
		{"XML with entities of its own", `<!DOCTYPE a [<!ENTITY b "c">]><tmall_nrt_coupon_send_response/>`, CodeBadBody, AboutGateway},
		{"no member", "{}", CodeBadBody, AboutGateway},
		{"other root", `{"taobao_user_get_response":{"model":{"coupon_instance_id":1}}}`, CodeBadBody, AboutGateway},
		{"other XML root", `<a><model/></a>`, CodeBadBody, AboutGateway},
		{"bare code of whoever", `{"code":-7,"message":"no"}`, CodeBadBody, AboutGateway},
		{"bare result of whoever", `{"result":"error"}`, CodeBadBody, AboutGateway},
		{"bare model of whoever", `{"model":1}`, CodeBadBody, AboutGateway},

		{"no model", success(`"request_id":"r"`), CodeNoCoupon, AboutUnknown},
		{"model is null", success(`"model":null`), CodeNoCoupon, AboutUnknown},
		{"model is empty", success(`"model":{}`), CodeNoCoupon, AboutUnknown},
		{"model is a list", success(`"model":[` + modelJSON + `]`), CodeNoCoupon, AboutUnknown},
		{"model is a text", success(`"model":"granted"`), CodeNoCoupon, AboutUnknown},
		{"model is a text, and a code", success(`"model":"granted","code":-7`), CodeAmbiguous, AboutUnknown},
		{"root is null", `{"tmall_nrt_coupon_send_response":null}`, CodeBadBody, AboutGateway},
		{"root is a text", `{"tmall_nrt_coupon_send_response":"granted"}`, CodeNoCoupon, AboutUnknown},
		{"id is 0", success(`"model":{"coupon_instance_id":0}`), CodeNoCoupon, AboutUnknown},
		{"id below 0", success(`"model":{"coupon_instance_id":-5}`), CodeNoCoupon, AboutUnknown},
		{"id rounded", success(`"model":{"coupon_instance_id":1.2e18}`), CodeNoCoupon, AboutUnknown},
		{"id too large", success(`"model":{"coupon_instance_id":9223372036854775808}`), CodeNoCoupon, AboutUnknown},
		{"id is an object", success(`"model":{"coupon_instance_id":{"a":1}}`), CodeNoCoupon, AboutUnknown},
		{"id is 0, and a code", success(`"model":{"coupon_instance_id":0,"code":-7}`), CodeNoCoupon, AboutUnknown},
		{"a code nobody listed", success(`"code":"FAIL_BIZ"`), "FAIL_BIZ", AboutUnknown},
		{"the API's text under another code", success(`"code":-1,"message":"领取太多了,不要贪心~"`), "-1", AboutUnknown},
		{"a platform code at the success root", success(`"code":27`), "27", AboutUnknown},

		{"coupon and a code", success(`"model":` + modelJSON + `,"code":-7`), CodeAmbiguous, AboutUnknown},
		{"coupon and a denial", success(`"success":false,"model":` + modelJSON), CodeAmbiguous, AboutUnknown},
		{"coupon and a denial in F5", success(`"result":{"succ":"False","model":` + modelJSON + `}`), CodeAmbiguous, AboutUnknown},
		{"coupon and a denial in the model", success(`"model":{"is_success":false,"coupon_instance_id":1}`), CodeAmbiguous, AboutUnknown},
		{"coupon and a code of this API in the model", success(`"model":{"code":-7,"coupon_instance_id":1}`), CodeAmbiguous, AboutUnknown},
		{"coupon and a code in F5", success(`"result":{"code":"1","model":` + modelJSON + `}`), CodeAmbiguous, AboutUnknown},
		{"two codes", success(`"code":-7,"err_code":-6`), CodeAmbiguous, AboutUnknown},
		{"two coupons", success(`"model":` + modelJSON + `,"result":{"model":` + modelJSON + `}`), CodeAmbiguous, AboutUnknown},
		{"two models", success(`"model":` + modelJSON + `,"model":` + modelJSON), CodeAmbiguous, AboutUnknown},
		{"two ids", success(`"model":{"coupon_instance_id":1,"coupon_instance_id":2}`), CodeAmbiguous, AboutUnknown},
		{"both roots", `{"error_response":{"code":15,"sub_code":"-7"},"tmall_nrt_coupon_send_response":{"model":` + modelJSON + `}}`, CodeAmbiguous, AboutUnknown},
		{"both roots in XML", `<error_response><code>15</code></error_response>` + strings.SplitN(grantedXML, "?>", 2)[1], CodeAmbiguous, AboutUnknown},
		{"error and bare success", `{"error_response":{"code":27},"model":` + modelJSON + `}`, CodeAmbiguous, AboutUnknown},
		{"two errors", `{"error_response":{"code":27},"error_response":{"code":15}}`, CodeAmbiguous, AboutUnknown},
		{"two codes of an error", `{"error_response":{"code":27,"code":15}}`, CodeAmbiguous, AboutUnknown},

		{"error without code", `{"error_response":{"msg":"x","sub_code":"-7"}}`, CodeNoCode, AboutUnknown},
		{"error with code 0", `{"error_response":{"code":"0","sub_code":"-7"}}`, CodeNoCode, AboutUnknown},
		{"error is a text", `{"error_response":"x"}`, CodeNoCode, AboutUnknown},
		{"error with a word for a code", `{"error_response":{"code":"fifteen","sub_code":"-7"}}`, "fifteen", AboutUnknown},
		{"error with a fraction for a code", `{"error_response":{"code":27.0}}`, "27.0", AboutUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			coupon, err := judgeBody(http.StatusOK, tt.body)
			requireVerdict(t, Error{About: tt.about, MayHaveGranted: true}, err)
			require.Equal(t, tt.code, err.Code)
			require.Equal(t, Coupon{}, coupon)
		})
	}
}

func TestTextsOfAnError(t *testing.T) {
	body := `{"error_response":{"code":"15","msg":"Remote  service error","sub_code":2401,"sub_msg":"don&apos;t &lt;b&gt; &amp;lt;` + "\t\x1b" + `\u202e` + strings.Repeat("长", 300) + `","request_id":"abc\n"}}`
	_, err := judgeBody(http.StatusOK, body)
	require.Equal(t, "2401", err.SubCode)
	require.Equal(t, "abc", err.RequestID)
	require.True(t, strings.HasPrefix(err.Message, `Remote  service error: don't <b> &lt;\u0009\u001b\u202e长`), err.Message)
	require.Len(t, []rune(err.Message), 201, "200 and the sign that it was cut")
	require.NotContains(t, err.Error(), "\n")
}

// The API's own words under a code that nobody listed prove nothing, but whoever
// looks into it must have them.
func TestTextUnderAnUnlistedCodeIsKept(t *testing.T) {
	const text = "领取太多了,不要贪心~"
	for _, body := range []string{
		`{"tmall_nrt_coupon_send_response":{"code":-1,"message":"` + text + `"}}`,
		`{"tmall_nrt_coupon_send_response":{"result":{"code":-1,"message":"` + text + `"}}}`,
		`{"tmall_nrt_coupon_send_response":{"model":{"err_code":"-1","err_msg":"` + text + `"}}}`,
		`{"error_response":{"code":15,"msg":"Remote service error","sub_code":"F00-00","sub_msg":"` + text + `"}}`,
		`{"error_response":{"code":-1,"msg":"` + text + `"}}`,
	} {
		_, err := judgeBody(http.StatusOK, body)
		requireVerdict(t, wantUnknown, err)
		require.Contains(t, err.Message, text)
	}
}

func TestMissingMembersOfAnErrorAreEmpty(t *testing.T) {
	_, err := judgeBody(http.StatusOK, `{"error_response":{"code":22,"msg":null}}`)
	require.Equal(t, &Error{About: AboutApp, Code: "22", Sent: true}, err)
	require.Equal(t, "tmall.nrt.coupon.send: about app: 22", err.Error())
}

func TestEnvelopeCountsAtAnyStatus(t *testing.T) {
	for _, status := range []int{200, 302, 400, 404, 429, 500, 502, 503} {
		_, err := judgeBody(status, `{"error_response":{"code":27}}`)
		requireVerdict(t, wantApp, err)
		coupon, err := judgeBody(status, grantedJSON)
		require.Nil(t, err)
		require.EqualValues(t, bigID, coupon.InstanceID)
	}
}

func TestStatusNamesWhatIsNoEnvelope(t *testing.T) {
	_, err := judgeBody(http.StatusBadGateway, "<html>Tengine</html>")
	requireVerdict(t, wantGateway, err)
	require.Equal(t, "http-502", err.Code)
}

func packed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestPackedAnswers(t *testing.T) {
	whole := packed(t, grantedJSON)
	corrupt := bytes.Clone(whole)
	corrupt[len(corrupt)-6] ^= 1 // in the checksum
	tests := []struct {
		name, encoding string
		body           []byte
		why            string // empty: granted
	}{
		{"gzip", "gzip", whole, ""},
		{"gzip by its old name", "X-GZIP", whole, ""},
		{"identity", "identity", []byte(grantedJSON), ""},
		{"cut short", "gzip", whole[:len(whole)-1], "damaged gzip"},
		{"cut at the start", "gzip", whole[:5], "declared gzip and is not"},
		{"wrong checksum", "gzip", corrupt, "damaged gzip"},
		{"not gzip", "gzip", []byte(grantedJSON), "declared gzip and is not"},
		{"gzip not declared", "", whole, "neither JSON nor XML"},
		{"two members", "gzip", append(bytes.Clone(whole), whole...), "more after the end of gzip"},
		{"bomb", "gzip", packed(t, grantedJSON+strings.Repeat(" ", 4<<20)), "larger than 65536 bytes"},
		{"at the cap", "gzip", packed(t, grantedJSON+strings.Repeat(" ", maxAnswerBytes-len(grantedJSON))), ""},
		{"above the cap", "gzip", packed(t, grantedJSON+strings.Repeat(" ", maxAnswerBytes-len(grantedJSON)+1)), "larger than 65536 bytes"},
		{"plain at the cap", "", []byte(grantedJSON + strings.Repeat(" ", maxAnswerBytes-len(grantedJSON))), ""},
		{"plain above the cap", "", []byte(grantedJSON + strings.Repeat(" ", maxAnswerBytes-len(grantedJSON)+1)), "larger than 65536 bytes"},
		{"another packing", "br", whole, "packed in a way we did not ask for"},
		{"two packings", "gzip, gzip", whole, "packed in a way we did not ask for"},
	}
	var r bodyReader
	for range 2 { // the second time with pooled readers that have seen damage
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				rep, err := r.newReply(&http.Response{
					StatusCode: http.StatusOK, Header: http.Header{"Content-Encoding": {tt.encoding}},
					Body: io.NopCloser(bytes.NewReader(tt.body)),
				})
				require.NoError(t, err)
				require.Equal(t, tt.why, string(rep.bad))
				require.Equal(t, tt.why == "", rep.answer.coupon.InstanceID == bigID)
			})
		}
	}
}

// counted counts what is taken off the connection.
type counted struct {
	from io.Reader
	n    int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeAnswerIsNotReadToItsEnd(t *testing.T) {
	var r bodyReader
	for _, encoding := range []string{"", "gzip"} {
		body := &counted{from: endless{}}
		rep, err := r.newReply(&http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Encoding": {encoding}}, Body: io.NopCloser(body),
		})
		require.NoError(t, err)
		require.Equal(t, "larger than 65536 bytes", string(rep.bad))
		require.EqualValues(t, maxAnswerBytes+1, body.n)
	}
}

// As deep as encoding/json goes, and no deeper.
func TestDepthOfJSON(t *testing.T) {
	for depth, want := range map[int]bool{maxDepth: true, maxDepth + 1: false} {
		body := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		_, ok := readJSON(body, new(treeRoom))
		require.Equal(t, want, ok)
		require.Equal(t, json.Valid(body), ok)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	const depth = 30_000
	for _, body := range []string{
		`{"a":` + strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth) + `}`,
		strings.Repeat(`{"a":`, 10_900) + "1" + strings.Repeat(`}`, 10_900),
		strings.Repeat(`<a>`, 9_000) + strings.Repeat(`</a>`, 9_000),
	} {
		_, err := judgeBody(http.StatusOK, body)
		requireVerdict(t, wantGateway, err)
	}
}

// A proxy that speaks JSON when what is behind it is away tells of an outage.
func TestJSONOfAProxyIsNoAnswerOfTheService(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		for _, body := range []string{`{"code":503,"message":"away","request_id":"x"}`, `{"result":{"code":1}}`, `{"model":` + modelJSON + `}`, `{"result":"error"}`} {
			_, err := judgeBody(status, body)
			requireVerdict(t, wantGateway, err)
			require.Equal(t, fmt.Sprintf("http-%d", status), err.Code)
		}
	}
}
