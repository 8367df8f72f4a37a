package topsim

import (
	"cmp"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	foreignSession = "session-of-another-app"
	oldSession     = "session-of-last-year"
)

func checkedConfig() Config {
	cfg := DefaultConfig()
	cfg.Apps[DemoAppKey].Sessions[oldSession] = time.Now().Add(-time.Second)
	cfg.Apps["other"] = App{Secret: "other", Sessions: map[string]time.Time{foreignSession: {}}}
	cfg.Apps["elsewhere"] = App{
		Secret: "elsewhere", Sessions: map[string]time.Time{"e": {}},
		IPs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}
	cfg.Apps["here"] = App{
		Secret: "here", Sessions: map[string]time.Time{"h": {}},
		IPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, NoPackage: true,
	}
	return cfg
}

func TestChecksRefuse(t *testing.T) {
	now := time.Now()
	valid := func() params { return newParams("out-1", now) }
	other := func(key string) params { return valid().with("app_key", key) }
	ms := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }
	for _, tt := range []struct {
		name   string
		give   params
		secret string
		want   int
		sub    string
		msg    string
	}{
		{"no method", valid().without("method"), "", 21, "", "Missing Method"},
		{"no app key", valid().without("app_key"), "", 28, "", ""},
		{"no version", valid().without("v"), "", 32, "", ""},
		{"version of no shape", valid().with("v", "two"), "", 33, "", ""},
		{"old version", valid().with("v", "1.0"), "", 34, "", ""},
		{"no timestamp", valid().without("timestamp"), "", 30, "", ""},
		{"timestamp of no shape", valid().with("timestamp", "2026-04-01T09:30:00Z"), "", 31, "", ""},
		{"clock of another zone", valid().with("timestamp", now.UTC().Format(timeLayout)), "", 31, "", ""},
		{"clock behind", valid().with("timestamp", ms(-10*time.Minute-time.Minute)), "", 31, "", ""},
		{"clock ahead", valid().with("timestamp", ms(11*time.Minute)), "", 31, "", ""},
		{"method of another API", valid().with("method", "taobao.user.seller.get"), "", 22, "", ""},
		{"unknown app key", other("nobody"), "", 29, "isv.appkey-not-exists", ""},
		{"wrong secret", valid(), "guess", 25, "", ""},
		{"address not on the list", other("elsewhere").with("session", "e"), "elsewhere", 11, "isv.permission-ip-whitelist-limit", ""},
		{"API not of the app", other("here").with("session", "h"), "here", 11, "isv.permission-api-package-limit", ""},
		{"no session", valid().without("session"), "", 26, "", ""},
		{"unknown session", valid().with("session", "x"), "", 27, "invalid-sessionkey", ""},
		{"session of another app", valid().with("session", foreignSession), "", 27, "sessionkey-not-generated-by-server", ""},
		{"expired session", valid().with("session", oldSession), "", 27, "session-expired", ""},
		{"no dto", valid().without(dtoName), "", 40, "", "Missing required arguments:nrt_coupon_send_dto"},
		{"dto no JSON", valid().with(dtoName, "{"), "", 41, "", "Invalid arguments:nrt_coupon_send_dto"},
		{"dto an array", valid().with(dtoName, "[]"), "", 41, "", "Invalid arguments:nrt_coupon_send_dto"},
		{"dto null", valid().with(dtoName, "null"), "", 41, "", "Invalid arguments:nrt_coupon_send_dto"},
		{"dto twice", valid().with(dtoName, "{}{}"), "", 41, "", "Invalid arguments:nrt_coupon_send_dto"},
		{"no out_id", valid().content("out_id", nil), "", 41, "", "Invalid arguments:out_id"},
		{"blank biz_code", valid().content("biz_code", " "), "", 41, "", "Invalid arguments:biz_code"},
		{"camel case", valid().content("open_id", nil).content("openId", "m"), "", 41, "", "Invalid arguments:open_id"},
		{"number as open_id", valid().content("open_id", 1), "", 41, "", "Invalid arguments:open_id"},
		{"no uuid", valid().content("uuid", nil), "", 41, "", "Invalid arguments:uuid"},
		{"no channel", valid().content("channel", nil), "", 41, "", "Invalid arguments:channel"},
		{"extra an object", valid().content("extra", map[string]string{}), "", 41, "", "Invalid arguments:extra"},
		{"coupon_type as text", valid().content("coupon_type", "247"), "", 41, "", "Invalid arguments:coupon_type"},
		{"unknown coupon_type", valid().content("coupon_type", 1), "", 41, "", "Invalid arguments:coupon_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := newSim(t, checkedConfig())
			got := inProcess(sim).call(t.Context(), tt.give.signed(cmp.Or(tt.secret, DemoAppSecret)).form())
			e := got.envelope(t)
			require.NotNil(t, e.Error, got.body)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, tt.want, e.Error.Code)
			require.Equal(t, tt.sub, e.Error.SubCode)
			require.Contains(t, e.Error.Msg, tt.msg)
			require.NotEmpty(t, e.Error.RequestID)
			require.Equal(t, int64(1), sim.Stats().Rejected[strconv.Itoa(tt.want)])
			require.Zero(t, sim.Ledger().Grants("out-1"))
		})
	}
}

func TestChecksBeforeTheSignature(t *testing.T) {
	now := time.Now()
	good := newParams("out-1", now).signed(DemoAppSecret)
	for _, tt := range []struct {
		name string
		form string
		want int
	}{
		{"no sign", newParams("out-1", now).form(), 24},
		{"unknown sign method", newParams("out-1", now).with("sign_method", "sha1").with("sign", good["sign"]).form(), 25},
		{"lower-case sign", newParams("out-1", now).with("sign", strings.ToLower(good["sign"])).form(), 25},
		{"sign of another call", newParams("out-2", now).with("sign", good["sign"]).form(), 25},
		{"a parameter after signing", good.form() + "&partner_id=x", 25},
		{"a parameter twice", good.form() + "&v=2.0", 41},
		{"half an escape", good.form() + "&x=%4", 41},
		{"no UTF-8", good.form() + "&x=%ff", 41},
		{"too many parameters", good.form() + manyParams(), 41},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := newSim(t, DefaultConfig())
			r := inProcess(sim).request(t.Context(), tt.form)
			code := xmlOrJSONCode(t, inProcess(sim).do(r))
			require.Equal(t, tt.want, code)
		})
	}
}

func manyParams() string {
	var b strings.Builder
	for i := range maxParams {
		b.WriteString("&p" + strconv.Itoa(i) + "=1")
	}
	return b.String()
}

// A call whose format is not known yet is answered in XML.
func xmlOrJSONCode(t *testing.T, s seen) int {
	_, rest, _ := strings.Cut(strings.ReplaceAll(s.body, `"code":`, "<code>"), "<code>")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	require.Positive(t, end, s.body)
	code, err := strconv.Atoi(rest[:end])
	require.NoError(t, err)
	return code
}

func TestChecksOfTheRequestItself(t *testing.T) {
	form := newParams("out-1", time.Now()).signed(DemoAppSecret).form()
	sim := newSim(t, DefaultConfig())
	c := overSockets(t, sim)

	put := c.request(t.Context(), form)
	put.Method = http.MethodPut
	require.Equal(t, 9, xmlOrJSONCode(t, c.do(put)))

	elsewhere := c.request(t.Context(), form)
	elsewhere.URL.Path = "/router/other"
	got := c.do(elsewhere)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, got.body, "Tengine")

	require.Equal(t, http.StatusRequestEntityTooLarge, c.call(t.Context(), strings.Repeat("a", maxBody+1)).status)

	text := c.request(t.Context(), form)
	text.Header.Set("Content-Type", "text/plain")
	require.Equal(t, 21, xmlOrJSONCode(t, c.do(text)), "only a form is read")

	badFormat := newParams("out-1", time.Now()).with("format", "yaml").signed(DemoAppSecret).form()
	require.Equal(t, 23, xmlOrJSONCode(t, c.call(t.Context(), badFormat)))
	require.Equal(t, map[string]int64{"9": 1, "404": 1, "413": 1, "21": 1, "23": 1}, sim.Stats().Rejected)
}

func TestParametersFromQueryOrBody(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	form := newParams("out-1", time.Now()).with("timestamp", strconv.FormatInt(time.Now().UnixMilli(), 10)).signed(DemoAppSecret).form()
	c := inProcess(sim)
	get := c.request(t.Context(), "")
	get.Method, get.URL.RawQuery = http.MethodGet, form
	require.NotZero(t, c.do(get).instance(t))

	both := c.request(t.Context(), form)
	both.URL.RawQuery = "v=2.0"
	require.Equal(t, 41, xmlOrJSONCode(t, c.do(both)))
}

func TestAnswerForms(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	c := inProcess(sim)
	c.gzip = true
	valid := func() params { return newParams("out-1", time.Now()).content("uuid", "a/b") }

	plain := c.call(t.Context(), valid().signed(DemoAppSecret).form())
	require.Equal(t, "gzip", plain.header.Get("Content-Encoding"))
	require.Equal(t, "text/javascript;charset=UTF-8", plain.header.Get("Content-Type"))
	require.Equal(t, hostAddress, plain.header.Get("Application-Host"))
	require.Equal(t, strconv.Itoa(len(plain.body)), plain.header.Get("Top-Bodylength"))
	require.Greater(t, plain.instance(t), int64(1)<<53)
	require.NotEqual(t, plain.instance(t), int64(float64(plain.instance(t))), "a float64 must show")

	simple := c.call(t.Context(), valid().with("simplify", "true").signed(DemoAppSecret).form())
	require.True(t, strings.HasPrefix(simple.body, `{"model":{"coupon_instance_id":`), simple.body)

	xml := c.call(t.Context(), valid().without("format").signed(DemoAppSecret).form())
	require.Equal(t, "text/xml;charset=UTF-8", xml.header.Get("Content-Type"))
	require.Contains(t, xml.body, "<tmall_nrt_coupon_send_response><model><coupon_instance_id>")
	require.Contains(t, xml.body, "<coupon_name>测试券</coupon_name>")

	simpleError := c.call(t.Context(), valid().with("simplify", "true").with("session", "a/b").signed(DemoAppSecret).form())
	require.True(t, strings.HasPrefix(simpleError.body, `{"error_response":{"code":27,`), simpleError.body)
	require.NotEqual(t, simple.envelope(t), plain.envelope(t))
}

func TestSlashIsEscaped(t *testing.T) {
	require.Equal(t, `"a\/b\"\\\u0009\u0001é"`, string(appendJSONText(nil, "a/b\"\\\t\x01é", true)))
	require.Equal(t, "\"\t\"", string(appendJSONText(nil, "\t", false)))
	require.Equal(t, "a&lt;b&gt;&amp; c", string(appendXMLText(nil, "a<b>&\x01c")))
}

func TestCredentialsChangeAtRunTime(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	c := inProcess(sim)
	require.NotZero(t, c.grant(t, sim, "out-1").instance(t))

	sim.SetApp(DemoAppKey, App{Secret: "new", Sessions: map[string]time.Time{DemoSession: {}}})
	code, _ := c.grant(t, sim, "out-1").code(t)
	require.Equal(t, 25, code)
	newSecret := newParams("out-1", time.Now()).signed("new").form()
	require.NotZero(t, c.call(t.Context(), newSecret).instance(t))

	sim.SetClockOffset(-11 * time.Minute)
	code, _ = c.call(t.Context(), newSecret).code(t)
	require.Equal(t, 31, code)
	sim.SetClockOffset(0)

	sim.RemoveApp(DemoAppKey)
	code, _ = c.call(t.Context(), newSecret).code(t)
	require.Equal(t, 29, code)
}
