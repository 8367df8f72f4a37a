package topclient

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	testGrant = Grant{BizCode: "YXX", OpenID: "open-id-canary/+=1", Extra: `{"extra":"canary"}`, Channel: "app", OutID: "out-1", UUID: "u", CouponType: 247}
	testCred  = Credentials{AppKey: "12345678", AppSecret: NewSecret("app-secret-canary"), Session: NewSecret("session-canary+/=")}
)

// newTestClient calls url with a transport that ends with the test.
func newTestClient(t testing.TB, url string, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: url, Timeout: 10 * time.Second, UserAgent: "coupongrant/test"}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg, nil)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// gateway is a server and how many requests reached it.
type gateway struct {
	*httptest.Server
	requests atomic.Int64
}

func newGateway(t testing.TB, answer http.HandlerFunc) *gateway {
	t.Helper()
	g := &gateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		answer(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func say(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// sendError sends once and requires an *Error.
func sendError(t *testing.T, ctx context.Context, c *Client) *Error { //nolint:revive // t first, as in require
	t.Helper()
	coupon, err := c.Send(ctx, testCred, testGrant)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Coupon{}, coupon)
	return e
}

func TestSendGrants(t *testing.T) {
	gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		requireSignedForm(t, SignHMACSHA256, testCred, body)
		form, err := url.ParseQuery(string(body))
		require.NoError(t, err)
		require.Equal(t, http.MethodPost, r.Method)
		require.Empty(t, r.URL.RawQuery, "everything goes in the body")
		require.Equal(t, "application/x-www-form-urlencoded;charset=UTF-8", r.Header.Get("Content-Type"))
		require.Equal(t, "coupongrant/test", r.Header.Get("User-Agent"))
		require.Equal(t, "gzip", r.Header.Get("Accept-Encoding"))
		require.Equal(t, testCred.Session.Reveal(), form.Get("session"))
		require.Equal(t, "json", form.Get("format"))
		require.False(t, form.Has("simplify"))
		w.Header().Set("Location-Host", "top1.na61")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed(t, grantedJSON))
	})
	c := newTestClient(t, gw.URL+"/router/rest", nil)
	want := wholeCoupon()
	want.Host = "top1.na61"
	for range 3 {
		got, err := c.Send(t.Context(), testCred, testGrant)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.EqualValues(t, 3, gw.requests.Load())
}

func TestSignMethodIsConfiguration(t *testing.T) {
	for _, method := range []string{SignMD5, SignHMAC, SignHMACSHA256} {
		gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), "sign_method="+method)
			requireSignedForm(t, method, testCred, body)
			_, _ = io.WriteString(w, grantedJSON)
		})
		_, err := newTestClient(t, gw.URL, func(c *Config) { c.SignMethod = method }).Send(t.Context(), testCred, testGrant)
		require.NoError(t, err)
	}
}

// A connection is used again after answers of every form, errors too: else each
// call would dial.
func TestConnectionIsKept(t *testing.T) {
	var dials, n atomic.Int64
	bodies := []string{grantedJSON, grantedXML, `{"error_response":{"code":7}}`, "<html>", ""}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, bodies[int(n.Add(1))%len(bodies)])
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			dials.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := newTestClient(t, srv.URL, nil)
	for range 20 {
		_, _ = c.Send(t.Context(), testCred, testGrant)
	}
	require.EqualValues(t, 20, n.Load())
	require.EqualValues(t, 1, dials.Load())
}

// What must not be sent is refused before anybody is called.
func TestRefusedBeforeSending(t *testing.T) {
	gw := newGateway(t, say(http.StatusOK, grantedJSON))
	c := newTestClient(t, gw.URL, nil)
	with := func(change func(*Grant)) Grant {
		g := testGrant
		change(&g)
		return g
	}
	tests := []struct {
		name  string
		cred  Credentials
		grant Grant
		about About
		code  string
	}{
		{"no out_id", testCred, with(func(g *Grant) { g.OutID = " " }), AboutRequest, CodeNotSendable},
		{"not UTF-8", testCred, with(func(g *Grant) { g.OpenID = "a\xff" }), AboutRequest, CodeNotSendable},
		{"too large", testCred, with(func(g *Grant) { g.Extra = strings.Repeat("x", maxDTOBytes) }), AboutRequest, CodeNotSendable},
		{"no app key", Credentials{AppSecret: NewSecret("s"), Session: NewSecret("s")}, testGrant, AboutApp, CodeNoCredentials},
		{"no secret", Credentials{AppKey: "k", Session: NewSecret("s")}, testGrant, AboutApp, CodeNoCredentials},
		{"blank session", Credentials{AppKey: "k", AppSecret: NewSecret("s"), Session: NewSecret(" ")}, testGrant, AboutApp, CodeNoCredentials},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.Send(t.Context(), tt.cred, tt.grant)
			var e *Error
			require.ErrorAs(t, err, &e)
			requireVerdict(t, Error{About: tt.about}, e)
			require.Equal(t, tt.code, e.Code)
			require.False(t, e.Sent)
		})
	}
	require.Zero(t, gw.requests.Load())
}

func TestLargestDTOIsSent(t *testing.T) {
	g := testGrant
	g.Extra = ""
	text, refused := encodeDTO(g)
	require.Nil(t, refused)
	g.Extra = strings.Repeat("x", maxDTOBytes-len(text)-len(`"extra":"",`))
	text, refused = encodeDTO(g)
	require.Nil(t, refused)
	require.Len(t, text, maxDTOBytes)
	g.Extra += "x"
	_, refused = encodeDTO(g)
	require.NotNil(t, refused)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	target := newGateway(t, say(http.StatusOK, grantedJSON))
	for _, status := range []int{301, 302, 303, 307, 308} {
		gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) })
		e := sendError(t, t.Context(), newTestClient(t, gw.URL, nil))
		requireVerdict(t, wantGateway, e)
		require.Equal(t, fmt.Sprintf("http-%d", status), e.Code)
		require.EqualValues(t, 1, gw.requests.Load())
	}
	require.Zero(t, target.requests.Load())
}

// No status is tried again inside, as some clients do on 5xx.
func TestOneRequestForOneSend(t *testing.T) {
	for _, status := range []int{200, 403, 408, 425, 429, 500, 502, 503, 504} {
		gw := newGateway(t, say(status, "<html>Tengine</html>"))
		e := sendError(t, t.Context(), newTestClient(t, gw.URL, nil))
		requireVerdict(t, wantGateway, e)
		require.EqualValues(t, 1, gw.requests.Load())
	}
}

func TestConfigIsChecked(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	tests := map[string]func(*Config){
		"gateway.url":         func(c *Config) { c.URL = "" },
		"gateway.url must":    func(c *Config) { c.URL = "ftp://host" },
		"gateway.url must be": func(c *Config) { c.URL = "https://user:password@host/router/rest" },
		"without user, query": func(c *Config) { c.URL = "https://host/router/rest?session=1" },
		"with a host":         func(c *Config) { c.URL = "https:///router/rest" },
		"gateway.sign_method": func(c *Config) { c.SignMethod = "sha1" },
		"gateway.timeout":     func(c *Config) { c.Timeout = -1 },
		"Config.IdleConns":    func(c *Config) { c.IdleConns = -1 },
		"user agent":          func(c *Config) { c.UserAgent = "a\r\nb" },
	}
	for want, change := range tests {
		cfg := DefaultConfig()
		change(&cfg)
		_, err := New(cfg, nil)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "password")
	}
}

func TestErrorSaysWhatTheGatewaysSupportAsksFor(t *testing.T) {
	e := &Error{About: AboutGateway, Code: "15", SubCode: "isp.busy", Message: "come back", RequestID: "1a2b", Host: "top1.na61"}
	require.EqualError(t, e, "tmall.nrt.coupon.send: about gateway: 15 (isp.busy): come back [request_id 1a2b at top1.na61]")
}
