package topclient

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the rows expect, in short.
var (
	wantApp       = Error{About: AboutApp}
	wantRequest   = Error{About: AboutRequest}
	wantID        = Error{About: AboutRequest, RefusesID: true}
	wantThrottle  = Error{About: AboutGateway, Throttled: true}
	wantGateway   = Error{About: AboutGateway, MayHaveGranted: true}
	wantUnknown   = Error{About: AboutUnknown, MayHaveGranted: true}
	wantBusiness  = func(c string) Error { return Error{About: AboutRequest, Business: c} }
	wantSystemErr = Error{About: AboutRequest, Business: "-9999", MayHaveGranted: true}
)

// requireVerdict compares the answers that decide.
func requireVerdict(t *testing.T, want Error, got *Error) {
	t.Helper()
	require.NotNil(t, got)
	require.Equal(t, want.About.String(), got.About.String(), "about")
	require.Equal(t, want.MayHaveGranted, got.MayHaveGranted, "may have granted")
	require.Equal(t, want.Throttled, got.Throttled, "throttled")
	require.Equal(t, want.Business, got.Business, "business")
	require.Equal(t, want.RefusesID, got.RefusesID, "refuses the id")
}

// judgeBody is the way of an answer from its text to its verdict.
func judgeBody(status int, body string) (Coupon, *Error) {
	root, err := decodeTree([]byte(body), new(treeRoom))
	if err != nil {
		return reply{status: status, bad: badBody(err.Error())}.outcome(scrubber{})
	}
	a, ok := takeApart(root, status)
	if !ok {
		return reply{status: status, bad: "no envelope"}.outcome(scrubber{})
	}
	return reply{status: status, answer: a}.outcome(scrubber{})
}

func TestPlatformCodes(t *testing.T) {
	tests := []struct {
		code int
		msg  string
		want Error
	}{
		{3, "Upload Fail", wantUnknown},
		{4, "User Call Limited", wantThrottle},
		{5, "Session Call Limited", wantThrottle},
		{6, "Partner Call Limited", wantThrottle},
		{7, "App Call Limited", wantThrottle},
		{8, "App Call Exceeds Limited Frequency", wantThrottle},
		{9, "Http Action Not Allowed", wantApp},
		{10, "Service Currently Unavailable", wantGateway},
		{11, "Insufficient isv permissions", wantApp},
		{12, "Insufficient User Permissions", wantApp},
		{13, "Insufficient Partner Permissions", wantApp},
		{15, "Remote Service Error", wantUnknown},
		{21, "Missing Method", wantApp},
		{22, "Invalid Method", wantApp},
		{23, "Invalid Format", wantApp},
		{24, "Missing Signature", wantApp},
		{25, "Invalid signature", wantApp},
		{26, "Missing Session", wantApp},
		{27, "Invalid session", wantApp},
		{28, "Missing App Key", wantApp},
		{29, "Invalid App Key", wantApp},
		{30, "Missing Timestamp", wantApp},
		{31, "Invalid Timestamp", wantApp},
		{32, "Missing Version", wantApp},
		{33, "Invalid Version", wantApp},
		{34, "Unsupported Version", wantApp},
		{40, "Missing required arguments:nrt_coupon_send_dto", wantRequest},
		{40, "Missing required arguments:session", wantApp},
		{40, "Missing required arguments", wantApp},
		{41, "Invalid arguments:open_id", wantRequest},
		{41, "Invalid arguments:nrt_coupon_send_dto.uuid", wantRequest},
		{41, "Invalid arguments:out_id", wantID},
		{41, "Invalid arguments:nrt_coupon_send_dto.out_id", wantID},
		{41, "out_id", wantApp},
		{40, "Missing required arguments:out_id", wantRequest},
		{41, "Invalid arguments:open_id,out_id", wantRequest},
		{41, "Invalid arguments:nrt_coupon_send_dto.open_id, nrt_coupon_send_dto.uuid", wantRequest},
		{41, "Invalid arguments:nrt_coupon_send_dto.extra.key", wantRequest},
		{41, "Invalid arguments:open_id,session", wantApp},
		{41, "Invalid arguments:open_id,", wantApp},
		{41, "Invalid arguments:nrt_coupon_send_dto.member.open_id", wantApp},
		{41, "Invalid arguments:timestamp", wantApp},
		{42, "Forbidden Request", wantUnknown},
		{43, "Parameter Error", wantUnknown},
		{44, "", wantApp},
		{45, "", wantUnknown},
		{46, "", wantUnknown},
		{47, "", wantUnknown},
		{50, "Remote service error", wantUnknown},
		{53, "Insufficient security level", wantApp},
		{1, "", wantUnknown},
		{14, "", wantUnknown},
		{99, "", wantUnknown},
		{-1, "", wantUnknown},
		{100, "Remote service error", wantUnknown},
		{670, "Remote service error", wantUnknown},
		{429, "Too Many Requests", wantUnknown},
	}
	seen := map[int]bool{}
	for _, tt := range tests {
		seen[tt.code] = true
		code := strconv.Itoa(tt.code)
		t.Run(code+" "+tt.msg, func(t *testing.T) {
			for _, spelled := range []string{code, `"` + code + `"`} {
				_, got := judgeBody(http.StatusOK, `{"error_response":{"code":`+spelled+`,"msg":"`+tt.msg+`","request_id":"r"}}`)
				requireVerdict(t, tt.want, got)
				require.Equal(t, code, got.Code)
				require.Equal(t, "r", got.RequestID)
			}
		})
	}
	for code := range platformCodes {
		require.True(t, seen[code], "code %d has no row in this test", code)
	}
}

func TestSubCodes(t *testing.T) {
	tests := []struct {
		subCode string // as JSON
		want    Error
	}{
		{`"isp.top-remote-connection-timeout"`, wantGateway},
		{`"isp.remote-service-timeout"`, wantGateway},
		{`"isp.http-read-timeout"`, wantGateway},
		{`"isp.top-remote-service-unavailable"`, wantGateway},
		{`"isp.service-unavailable-tmall"`, wantGateway},
		{`"isp.remote-connection-error"`, wantGateway},
		{`"isp.top-remote-connection-error"`, wantGateway},
		{`"isp.http-connection-timeout"`, wantGateway},
		{`"isp.http-connection-refuse"`, wantGateway},
		{`"isp.http-closed"`, wantGateway},
		{`"isp.unknown-error"`, wantGateway},
		{`"isp.null-pointer-exception"`, wantGateway},
		{`"isp.service-error"`, wantGateway},
		{`"isp.remote-service-error"`, wantGateway},
		{`"isp.system-busy"`, wantGateway},
		{`"isp.top-mapping-parse-error"`, wantGateway},
		{`"isp.never-heard-of"`, wantGateway},
		{`"isp.-7"`, wantGateway},
		{`"isp.call-limited"`, wantThrottle},
		{`"isp.call-limited-tmall"`, wantThrottle},
		{`"isv.BUSINESS_LIMIT_CONTROL"`, wantThrottle},
		{`"isv.missing-parameter"`, wantRequest},
		{`"isv.missing-parameter:open_id"`, wantRequest},
		{`"isv.invalid-parameter"`, wantRequest},
		{`"isv.invalid-parameter:uuid"`, wantRequest},
		{`"isv.user-not-exist:invalid-nick"`, wantRequest},
		{`"isv.invalid-permission"`, wantApp},
		{`"isv.permission-ip-whitelist-limit"`, wantApp},
		{`"isv.appkey-not-exist"`, wantApp},
		{`"isv.appkey-not-exists"`, wantApp},
		{`"isv.never-heard-of"`, wantUnknown},
		{`"isv.invalid-orderid:NO_DATA"`, wantUnknown},
		{`"isv.invalid-parameters"`, wantUnknown},
		{`"F00-00-10020-002"`, wantUnknown},
		{`"isv."`, wantUnknown},
		{`"isp."`, wantUnknown},
		{`2401`, wantUnknown},
		{`"7"`, wantUnknown},
		{`-7.0`, wantUnknown},
		{`-8`, wantUnknown},
		{`"isv.word:-8"`, wantUnknown},
		{`"isv.:-7"`, wantUnknown},
		{`"other.word:-7"`, wantUnknown},
		{`"isv.a:b:-7"`, wantUnknown},
		{`null`, wantUnknown},
		{`{}`, wantUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.subCode, func(t *testing.T) {
			for _, code := range []string{"15", "50", "100", "530", `"670"`} {
				_, got := judgeBody(http.StatusOK, `{"error_response":{"code":`+code+`,"msg":"Remote service error","sub_code":`+tt.subCode+`}}`)
				requireVerdict(t, tt.want, got)
			}
		})
	}
}

// A platform check that failed is not made a matter of the service by its
// sub-code.
func TestSubCodeCountsOnlyUnderRemoteServiceErrors(t *testing.T) {
	_, got := judgeBody(http.StatusOK, `{"error_response":{"code":27,"sub_code":"-7"}}`)
	requireVerdict(t, wantApp, got)
	_, got = judgeBody(http.StatusOK, `{"error_response":{"code":45,"sub_code":"isv.invalid-parameter"}}`)
	requireVerdict(t, wantUnknown, got)
}

// A code and a sub-code that contradict each other are two answers.
// A refused argument is a refusal only where the sub-code does not say that the service was reached.
func TestRefusedArgumentBesideAnotherSubCode(t *testing.T) {
	for subCode, want := range map[string]Error{
		"":                       wantRequest,
		"isv.invalid-parameter":  wantRequest,
		"a-word-of-no-list":      wantRequest,
		"isp.http-read-timeout":  wantUnknown,
		"isv.invalid-permission": wantUnknown,
		"isv.-9999":              wantUnknown,
	} {
		_, got := judgeBody(http.StatusOK, `{"error_response":{"code":41,"msg":"Invalid arguments:open_id","sub_code":"`+subCode+`"}}`)
		requireVerdict(t, want, got)
	}
}

func TestBusinessCodeBesideAnotherSubCode(t *testing.T) {
	for subCode, want := range map[string]Error{
		"-6":                           wantUnknown,
		"isv.word:-9999":               wantUnknown,
		"isp.remote-service-timeout":   wantUnknown,
		"isp.call-limited":             wantUnknown,
		"isv.permission-denied":        wantUnknown,
		"isv.coupon-not-exist:NO_DATA": wantBusiness("-7"),
		"isv.invalid-parameter":        wantBusiness("-7"),
	} {
		_, got := judgeBody(http.StatusOK, `{"error_response":{"code":-7,"sub_code":"`+subCode+`"}}`)
		requireVerdict(t, want, got)
		require.Equal(t, "-7", got.Code)
	}
}

func TestBusinessCodesInEveryForm(t *testing.T) {
	tests := []struct {
		code    string
		want    Error
		ispWord Error // in the form of that name: an isp. word has a meaning without the code
	}{
		{"-3", wantBusiness("-3"), wantBusiness("-3")},
		{"-6", wantBusiness("-6"), wantBusiness("-6")},
		{"-7", wantBusiness("-7"), wantBusiness("-7")},
		{"-11", wantBusiness("-11"), wantBusiness("-11")},
		{"-9999", wantSystemErr, wantSystemErr},
		{"-8", wantUnknown, wantGateway},
		{"-10000", wantUnknown, wantGateway},
	}
	for _, tt := range tests {
		for name, body := range businessForms(tt.code) {
			t.Run(tt.code+" "+name, func(t *testing.T) {
				_, got := judgeBody(http.StatusOK, body)
				want := tt.want
				if name == "F3 isp word" {
					want = tt.ispWord
				}
				requireVerdict(t, want, got)
				require.True(t, got.Sent)
			})
		}
	}
}

func businessForms(c string) map[string]string {
	root := func(inner string) string {
		return `{"tmall_nrt_coupon_send_response":{` + inner + `,"request_id":"r"}}`
	}
	return map[string]string{
		"F1 text":        `{"error_response":{"code":15,"msg":"Remote service error","sub_code":"` + c + `"}}`,
		"F1 number":      `{"error_response":{"code":50,"msg":"Remote service error","sub_code":` + c + `}}`,
		"F1 domain":      `{"error_response":{"code":"530","sub_code":"` + c + `"}}`,
		"F1 xml":         `<?xml version="1.0" encoding="utf-8" ?><error_response><code>15</code><sub_code> ` + c + ` </sub_code></error_response><!--host-->`,
		"F2 number":      `{"error_response":{"code":` + c + `,"msg":"x"}}`,
		"F2 text":        `{"error_response":{"code":"` + c + `"}}`,
		"F3 isv word":    `{"error_response":{"code":15,"sub_code":"isv.coupon-send-fail:` + c + `"}}`,
		"F3 isp word":    `{"error_response":{"code":15,"sub_code":"isp.biz-error:` + c + `"}}`,
		"F3 isv":         `{"error_response":{"code":15,"sub_code":"isv.` + c + `"}}`,
		"F4 code":        root(`"code":` + c),
		"F4 err_code":    root(`"err_code":"` + c + `","message":"x"`),
		"F4 errcode":     root(`"errcode":` + c),
		"F4 error_code":  root(`"error_code":"` + c + `"`),
		"F4 result_code": root(`"result_code":` + c + `,"model":null`),
		"F4 two agree":   root(`"result_code":` + c + `,"code":"` + c + `"`),
		"F4 with none":   root(`"code":0,"err_code":"` + c + `"`),
		"F4 simplify":    `{"code":"` + c + `","request_id":"r"}`,
		"F4 xml":         `<tmall_nrt_coupon_send_response><code>` + c + `</code><model/></tmall_nrt_coupon_send_response>`,
		"F5":             root(`"result":{"code":` + c + `,"message":"x","model":null}`),
		"F5 text":        root(`"result":{"code":"` + c + `"}`),
		"F5 simplify":    `{"result":{"code":` + c + `}}`,
		"F6 code":        root(`"model":{"code":` + c + `,"message":"x"}`),
		"F6 err_code":    root(`"model":{"err_code":"` + c + `"}`),
		"F6 null id":     root(`"model":{"code":` + c + `,"coupon_instance_id":null}`),
		"F6 simplify":    `{"model":{"result_code":"` + c + `"},"request_id":"r"}`,
		"F6 inside F5":   root(`"result":{"model":{"code":` + c + `}}`),
		"F2 and F1":      `{"error_response":{"code":` + c + `,"sub_code":"` + c + `"}}`,
		"F2 and F3":      `{"error_response":{"code":` + c + `,"sub_code":"isv.coupon-send-fail:` + c + `"}}`,
		"F2 with a word": `{"error_response":{"code":` + c + `,"sub_code":"isv.coupon-send-fail"}}`,
	}
}

func TestBanLength(t *testing.T) {
	tests := []struct {
		subMsg string
		want   time.Duration
	}{
		{"This ban will last for 1 more seconds", time.Second},
		{"This ban will last for 71 more seconds", 71 * time.Second},
		{"This ban will last for 31062 more seconds", 31062 * time.Second},
		{"This ban will last for 90000 more seconds", 25 * time.Hour},
		{"This ban will last for 90001 more seconds", 0},
		{"This ban will last for 99999999999999999999999 more seconds", 0},
		{"This ban will last for -5 more seconds", 0},
		{"This ban will last for 0 more seconds", time.Second}, // less than one is left
		{"This ban will last for a while", 0},
		{"", 0},
	}
	for _, tt := range tests {
		t.Run(tt.subMsg, func(t *testing.T) {
			_, got := judgeBody(http.StatusOK, `{"error_response":{"code":7,"msg":"App Call Limited","sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"`+tt.subMsg+`"}}`)
			requireVerdict(t, wantThrottle, got)
			require.Equal(t, tt.want, got.RetryAfter)
		})
	}
}

// The service tells no length: 10086 is whom to ring up, not three hours.
func TestThrottleOfTheServiceNamesNoBan(t *testing.T) {
	for _, subCode := range []string{"isp.call-limited", "isv.BUSINESS_LIMIT_CONTROL"} {
		_, got := judgeBody(http.StatusOK, `{"error_response":{"code":15,"sub_code":"`+subCode+`","sub_msg":"limited, ask 10086"}}`)
		requireVerdict(t, wantThrottle, got)
		require.Zero(t, got.RetryAfter)
		require.False(t, got.LimitOfPlatform())
	}
}

func TestLimitOfPlatform(t *testing.T) {
	for code := range platformCodes {
		_, got := judgeBody(http.StatusOK, fmt.Sprintf(`{"error_response":{"code":%d,"msg":"x"}}`, code))
		require.Equal(t, code >= 4 && code <= 8, got.LimitOfPlatform(), code)
	}
	for _, e := range []Error{{Code: "7"}, {Code: CodeTimeout}, {Throttled: true}, {Throttled: true, Code: BusinessLimitReached}} {
		require.False(t, e.LimitOfPlatform(), e)
	}
}

func TestCodeTableHasEveryRowOnce(t *testing.T) {
	rows := CodeTable()
	require.Len(t, rows, len(platformCodes)+3+len(subCodes)+len(businessCodes), "40 takes two rows, and 41 three")
	seen := map[CodeRow]bool{}
	for _, row := range rows {
		require.NotEmpty(t, row.Meaning, "%+v", row)
		require.False(t, seen[row], "%+v", row)
		seen[row] = true
	}
}

// The gateway must not be able to make labels without bound.
func TestLabelIsBounded(t *testing.T) {
	tests := []struct {
		give Error
		want string
	}{
		{Error{Code: "15", Business: "-7"}, "-7"},
		{Error{Code: "7"}, "7"},
		{Error{Code: "timeout"}, "timeout"},
		{Error{Code: "http-502"}, "http-502"},
		{Error{Code: "http-50200"}, "other"},
		{Error{Code: "http-x"}, "other"},
		{Error{Code: "670"}, "other"},
		{Error{Code: "007"}, "other"},
		{Error{Code: "anything"}, "other"},
		{Error{}, "other"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.give.Label(), "%+v", &tt.give)
	}
}
