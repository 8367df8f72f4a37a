package topsim

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// want says what a caller must see of a fault, by either road.
type want func(t *testing.T, s seen)

func early(t *testing.T, s seen) {
	require.True(t, s.early, "%+v", s)
	require.NotErrorIs(t, s.err, context.DeadlineExceeded)
}

func silent(t *testing.T, s seen) {
	require.True(t, s.early, "%+v", s)
	require.ErrorIs(t, s.err, context.DeadlineExceeded)
}

func silentInBody(t *testing.T, s seen) {
	require.Equal(t, http.StatusOK, s.status)
	require.NotEmpty(t, s.raw)
	require.ErrorIs(t, s.err, context.DeadlineExceeded)
}

func answered(t *testing.T, s seen) { s.envelope(t) }

func page(status int) want {
	return func(t *testing.T, s seen) {
		require.NoError(t, s.err)
		require.Equal(t, status, s.status)
		require.Contains(t, s.body, "<html>")
		require.Equal(t, "text/html", s.header.Get("Content-Type"))
	}
}

// text is a complete answer of this body.
func hasText(parts ...string) want {
	return func(t *testing.T, s seen) {
		require.NoError(t, s.err)
		require.Equal(t, http.StatusOK, s.status)
		for _, part := range parts {
			require.Contains(t, s.body, part)
		}
	}
}

func lacks(parts ...string) want {
	return func(t *testing.T, s seen) {
		s.envelope(t)
		for _, part := range parts {
			require.NotContains(t, s.body, part)
		}
	}
}

func noJSON(t *testing.T, s seen) {
	require.NoError(t, s.err)
	require.Equal(t, http.StatusOK, s.status)
	require.False(t, json.Valid([]byte(s.body)), s.body[:min(len(s.body), 200)])
}

func exactly(want string) want {
	return func(t *testing.T, s seen) {
		require.NoError(t, s.err)
		require.Equal(t, http.StatusOK, s.status)
		require.Equal(t, want, s.body)
	}
}

func broken(err error) want {
	return func(t *testing.T, s seen) {
		require.False(t, s.early)
		require.ErrorIs(t, s.err, err)
	}
}

func header(name, value string) want {
	return func(t *testing.T, s seen) { require.Equal(t, value, s.header.Get(name)) }
}

func all(wants ...want) want {
	return func(t *testing.T, s seen) {
		for _, w := range wants {
			w(t, s)
		}
	}
}

// wants has a row for each fault of the groups connection, http, envelope and
// credentials; the names of the others say themselves what is answered.
func wants() map[string]want {
	return map[string]want{
		"refuse": early, "bad-certificate": early, "lost-answers": early, "reset": early, "close": early,
		"reset-in-body": func(t *testing.T, s seen) {
			require.Error(t, s.err)
			require.NotErrorIs(t, s.err, context.DeadlineExceeded)
		},
		"stall": silent, "stall-in-body": silentInBody, "drip": silentInBody, "slow": answered,
		"close-idle": answered, "connection-close": answered,

		"outage": page(503), "http-403": page(403), "http-404": page(404), "http-429": page(429), "http-500": page(500),
		"http-502": page(502), "http-503": page(503), "http-504": page(504), "html-200": page(200),
		"redirect":  all(page(302), header("Location", "/error.html")),
		"http-400":  func(t *testing.T, s seen) { s.envelope(t); require.Equal(t, 400, s.status) },
		"empty-200": exactly(""), "garbage": noJSON, "empty-object": exactly("{}"),
		"content-type": all(answered, header("Content-Type", "text/html;charset=UTF-8")),
		"gbk": all(header("Content-Type", "text/javascript;charset=GBK"), hasText("\xb2\xe2\xca\xd4\xc8\xaf"),
			func(t *testing.T, s seen) { require.False(t, utf8.ValidString(s.body)) }),
		"utf-16": all(noJSON, hasText("\xff\xfe{\x00")), "bom": all(noJSON, hasText("\ufeff{")),
		"truncated": noJSON, "trailing": all(noJSON, hasText("coupon_instance_id")), "deep": all(noJSON, hasText("[[[[")),
		"huge":                func(t *testing.T, s seen) { require.Greater(t, len(s.body), hugeBytes) },
		"content-length-long": broken(io.ErrUnexpectedEOF), "content-length-short": noJSON,
		"gzip-truncated": broken(io.ErrUnexpectedEOF), "gzip-no-trailer": broken(io.ErrUnexpectedEOF),
		"gzip-lie":  func(t *testing.T, s seen) { require.ErrorContains(t, s.err, "gzip: invalid header") },
		"gzip-bomb": func(t *testing.T, s seen) { require.Len(t, s.body, bombBytes); require.Less(t, len(s.raw), 1<<20) },

		"xml":             hasText("<?xml", "<model><coupon_instance_id>"),
		"xml-comment":     hasText("<?xml", "</tmall_nrt_coupon_send_response><!--top"),
		"simplified":      hasText(`{"model":{"coupon_instance_id":`),
		"not-simplified":  answered,
		"wrong-root":      hasText("tmall_nrt_newcoupon_send_response", "coupon_instance_id"),
		"both-roots":      hasText(`"tmall_nrt_coupon_send_response":{"model"`, `"error_response":{"code":15`),
		"unknown-members": all(answered, hasText(`"trace":"a\/b"`, `"ext":{"n":1}`)),
		"no-request-id":   lacks("request_id"),
		"result-wrapper":  hasText(`"result":{"code":"0","message":"success","model":{"coupon_instance_id"`),
		"ids-quoted":      hasText(`"coupon_instance_id":"70918`, `"discount":"1000"`),
		"ids-float":       hasText(`"coupon_instance_id":7.09180000379095`, `e+18`), "raw-tabs": all(noJSON, hasText("券\t满100\n")),
		"instance-duplicate": hasText(`"coupon_instance_id":70918`, `"coupon_instance_id":12344`),
		"instance-zero":      hasText(`"coupon_instance_id":0,`), "instance-negative": hasText(`"coupon_instance_id":-7091`),
		"instance-too-large": hasText(`"coupon_instance_id":18446744073709551617`), "instance-null": hasText(`"coupon_instance_id":null`),
		"no-instance": lacks("coupon_instance_id"), "model-null": hasText(`"model":null`), "no-model": lacks("model"),
		"error-xml-args":      hasText("<code>27</code>", `<args list="true"><arg><key>`, DemoSession, "</args>", "<!--top"),
		"error-no-request-id": lacks("request_id"), "error-code-text": hasText(`"code":"15"`),
		"error-no-code": lacks(`"code"`), "error-sub-code-number": hasText(`"sub_code":2401`),
		"error-entities": hasText("don&apos;t"), "error-raw-tabs": all(noJSON, hasText("busy\tnow\r\n")),

		"session-expired": code(27, "session-expired"), "session-revoked": code(27, "invalid-sessionkey"), "secret-rotated": code(25, ""),
		"key-removed": code(29, "isv.appkey-not-exists"), "ip-removed": code(11, "isv.permission-ip-whitelist-limit"),
		"package-removed": code(11, "isv.permission-api-package-limit"), "level-lowered": code(53, ""), "clock-off": code(31, ""),
	}
}

func code(want int, sub string) want {
	return func(t *testing.T, s seen) {
		code, subCode := s.code(t)
		require.Equal(t, want, code)
		require.Equal(t, sub, subCode)
	}
}

// wantOf is the row of a fault, or what its name says.
func wantOf(t *testing.T, f Fault) want {
	name := strings.TrimSuffix(f.Name, afterSuffix)
	switch f.Group {
	case GroupBackend:
		return code(15, name)
	case GroupPlatform:
		number, isCode := strings.CutPrefix(name, "code-")
		if !isCode {
			return all(hasText(`"code":7,`, "limited-by-app-access-count"), hasText(banText(name)...))
		}
		number, _, _ = strings.Cut(number, "-")
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		return func(t *testing.T, s seen) { require.Equal(t, n, s.envelope(t).Error.Code) }
	case GroupBusiness:
		return func(t *testing.T, s seen) { require.Contains(t, s.body, businessShape(t, name)) }
	}
	w, ok := wants()[name]
	require.True(t, ok, "no row for fault %s", f.Name)
	return w
}

func banText(name string) []string {
	seconds := strings.TrimPrefix(name, "ban-")
	if _, err := strconv.Atoi(seconds); err == nil {
		return []string{"This ban will last for " + seconds + " more seconds"}
	}
	return nil
}

// businessShape is the part of an answer that a form is about.
func businessShape(t *testing.T, name string) string {
	name = strings.TrimPrefix(name, "business")
	end := strings.Index(name[1:], "-") + 1
	c, form := name[:end], name[end+1:]
	fixed := map[string]string{
		"F1": `"code":15,"msg":"Remote service error","sub_code":"C"`, "F1-number": `"code":15,"msg":"Remote service error","sub_code":C`,
		"F1-50": `"code":50,"msg":"Remote service error","sub_code":"C"`, "F1-520": `"code":520,"msg":"Remote service error","sub_code":"C"`,
		"F2": `{"error_response":{"code":C,`, "F3-isv": `"sub_code":"isv.C"`,
		"F3-isv-word": `"sub_code":"isv.coupon-send-fail:C"`, "F3-isp-word": `"sub_code":"isp.coupon-send-fail:C"`,
		"F5": `{"result":{"code":"C","message":"`, "F5-number": `{"result":{"code":C,"message":"`,
		"F6": `{"model":{"code":C,"message":"`, "F6-text": `{"model":{"code":"C","message":"`,
	}
	for _, field := range []string{"code", "err_code", "errcode", "error_code", "result_code"} {
		fixed["F4-"+field] = `{"tmall_nrt_coupon_send_response":{"` + field + `":C,`
		fixed["F4-"+field+"-text"] = `{"tmall_nrt_coupon_send_response":{"` + field + `":"C",`
	}
	require.Contains(t, fixed, form)
	return strings.ReplaceAll(fixed[form], "C", c)
}

func wantGrants(f Fault) int {
	if f.AfterGrant || f.Name == "slow" {
		return 1
	}
	return 0
}

func probe(t *testing.T, f Fault, road func(*Simulator) caller) {
	sim := newSim(t, DefaultConfig())
	rule := sim.On(Match{}, f.Behaviour).Once()
	got := road(sim).grant(t, sim, "out-1")
	require.Equal(t, int64(1), rule.Count(), "the fault did not happen")
	require.Equal(t, wantGrants(f), sim.Ledger().Grants("out-1"))
	wantOf(t, f)(t, got)

	next := road(sim).grant(t, sim, "out-1")
	require.Equal(t, "granted", answerOf(t, next), "the next call is as usual")
	require.Equal(t, 1, sim.Ledger().Grants("out-1"))
}

func TestFaultsInProcess(t *testing.T) {
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { probe(t, f, inProcess) })
		})
	}
}

func TestFaultsOverSockets(t *testing.T) {
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			probe(t, f, func(sim *Simulator) caller {
				c := overSockets(t, sim)
				if strings.HasPrefix(f.Name, "stall") || strings.HasPrefix(f.Name, "drip") {
					c.timeout = time.Second // real: enough for headers on a busy machine
				}
				return c
			})
		})
	}
}

func TestFaultsUnderGzip(t *testing.T) {
	for _, name := range []string{
		"gzip-truncated", "gzip-no-trailer", "gzip-bomb", "content-length-long", "xml", "no-model", "outage", "empty-200", "reset-in-body-after-grant",
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSim(t, DefaultConfig())
			rule := sim.On(Match{}, MustParse(name)).Once()
			c := inProcess(sim)
			c.gzip = true
			wants()[strings.TrimSuffix(name, afterSuffix)](t, c.grant(t, sim, "out-1"))
			require.Equal(t, int64(1), rule.Count())
		})
	}
}

func TestConnectionErrorsInProcess(t *testing.T) {
	for _, tt := range []struct {
		name string
		want error
	}{
		{"refuse", syscall.ECONNREFUSED},
		{"reset", syscall.ECONNRESET},
		{"lost-answers", syscall.ECONNRESET},
		{"close", io.EOF},
		{"reset-in-body", syscall.ECONNRESET},
		{"content-length-long", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := newSim(t, DefaultConfig())
			rule := sim.On(Match{}, MustParse(tt.name)).Once()
			require.ErrorIs(t, inProcess(sim).grant(t, sim, "out-1").err, tt.want)
			require.Equal(t, int64(1), rule.Count())
		})
	}
	sim := newSim(t, DefaultConfig())
	rule := sim.On(Match{}, MustParse("bad-certificate")).Once()
	var certificate *tls.CertificateVerificationError
	require.ErrorAs(t, inProcess(sim).grant(t, sim, "out-1").err, &certificate)
	require.Equal(t, int64(1), rule.Count())
}

func TestResetOverSocketsIsAReset(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	rule := sim.On(Match{}, LoseAnswer()).Once()
	require.ErrorIs(t, overSockets(t, sim).grant(t, sim, "out-1").err, syscall.ECONNRESET)
	require.Equal(t, int64(1), rule.Count())
	require.Equal(t, 1, sim.Ledger().Grants("out-1"))
}

func TestBanUntilMidnight(t *testing.T) {
	now := &clock{now: noon}
	cfg := DefaultConfig()
	cfg.Clock = now.Now
	sim := newSim(t, cfg)
	rule := sim.On(Match{}, MustParse("ban-midnight")).Always()
	require.Contains(t, inProcess(sim).grant(t, sim, "out-1").body, "last for 43200 more")
	now.Add(12*time.Hour - 1)
	require.Contains(t, inProcess(sim).grant(t, sim, "out-1").body, "last for 1 more")
	require.Equal(t, int64(2), rule.Count())
}

func TestFaultListIsComplete(t *testing.T) {
	names := map[string]bool{}
	groups := map[string]int{}
	for _, f := range Faults() {
		require.False(t, names[f.Name], "%s twice", f.Name)
		names[f.Name] = true
		groups[f.Group]++
		require.NotEmpty(t, f.Text)
		require.Equal(t, f.Name, f.Behaviour.String())
		require.NotContains(t, f.Name, " ", "a name is one word of a script")
		parsed, err := Parse(f.Name)
		require.NoError(t, err)
		require.Equal(t, f.Behaviour.after, parsed.after)
	}
	require.Len(t, groups, 7)
	for name := range wants() {
		require.True(t, names[name] || names[name+afterSuffix], "row %s is of no fault", name)
	}
	t.Logf("%d faults: %v", len(names), groups)
}
