package topsim

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(gatewayFileVariable); path != "" {
		serveLedger(path)
	}
	goleak.VerifyTestMain(m)
}

func newSim(tb testing.TB, cfg Config) *Simulator {
	tb.Helper()
	sim, err := New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, sim.Close()) })
	return sim
}

// params are those of a valid call, to be spoilt before signing.
type params map[string]string

func newParams(outID string, at time.Time) params {
	content, _ := json.Marshal(map[string]any{
		"biz_code": "YXX", "channel": "app", "coupon_type": 247,
		"open_id": "member-1", "out_id": outID, "uuid": "coupon-1",
	})
	return params{
		"method": Method, "app_key": DemoAppKey, "session": DemoSession, "v": "2.0", "format": "json",
		"sign_method": "hmac-sha256", "timestamp": at.In(gatewayZone).Format(timeLayout), dtoName: string(content),
	}
}

func (p params) with(name, value string) params {
	p[name] = value
	return p
}

func (p params) without(name string) params {
	delete(p, name)
	return p
}

// content changes a member of the dto; nil removes it.
func (p params) content(name string, value any) params {
	var members map[string]any
	_ = json.Unmarshal([]byte(p[dtoName]), &members)
	members[name] = value
	if value == nil {
		delete(members, name)
	}
	text, _ := json.Marshal(members)
	return p.with(dtoName, string(text))
}

func (p params) signed(secret string) params {
	var list []param
	for name, value := range p {
		list = append(list, param{name, value})
	}
	sign, _ := signature(p["sign_method"], secret, list)
	return p.with("sign", sign)
}

func (p params) form() string {
	values := url.Values{}
	for name, value := range p {
		values.Set(name, value)
	}
	return values.Encode()
}

// seen is what a caller sees of a call. err: of the call, or of reading its body.
type seen struct {
	status int
	header http.Header
	raw    string
	body   string // unpacked
	err    error
	early  bool // err came instead of an answer
}

// caller calls by one road.
type caller struct {
	rt      http.RoundTripper
	url     string
	gzip    bool
	timeout time.Duration
}

func inProcess(sim *Simulator) caller {
	return caller{rt: sim.Transport(), url: "http://gateway.test" + routerPath, timeout: 10 * time.Second}
}

func overSockets(tb testing.TB, sim *Simulator) caller {
	server := httptest.NewServer(sim)
	transport := &http.Transport{DisableCompression: true}
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return caller{rt: transport, url: server.URL + routerPath, timeout: 10 * time.Second}
}

func (c caller) request(ctx context.Context, form string) *http.Request {
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	r.GetBody = nil // as in our client: a call is never replayed by net/http
	if c.gzip {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	return r
}

func (c caller) call(ctx context.Context, form string) seen {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.do(c.request(ctx, form))
}

func (c caller) do(r *http.Request) seen {
	resp, err := c.rt.RoundTrip(r)
	if err != nil {
		return seen{err: err, early: true}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	s := seen{status: resp.StatusCode, header: resp.Header, raw: string(raw), body: string(raw), err: err}
	if err == nil && resp.Header.Get("Content-Encoding") == "gzip" {
		s.body, s.err = unpack(s.raw)
	}
	return s
}

func unpack(packed string) (string, error) {
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
}

// grant makes a valid call.
func (c caller) grant(tb testing.TB, sim *Simulator, outID string) seen {
	tb.Helper()
	return c.call(tb.Context(), newParams(outID, sim.now()).signed(DemoAppSecret).form())
}

// envelope is every answer form at once.
type envelope struct {
	Response *struct {
		Model     json.RawMessage `json:"model"`
		RequestID string          `json:"request_id"`
	} `json:"tmall_nrt_coupon_send_response"`
	Error *struct {
		Code      int    `json:"code"`
		Msg       string `json:"msg"`
		SubCode   string `json:"sub_code"`
		SubMsg    string `json:"sub_msg"`
		RequestID string `json:"request_id"`
	} `json:"error_response"`
}

func (s seen) envelope(tb testing.TB) envelope {
	tb.Helper()
	require.NoError(tb, s.err)
	var e envelope
	require.NoError(tb, json.Unmarshal([]byte(s.body), &e), s.body)
	return e
}

// code is that of an error envelope, with its sub_code; 0: none.
func (s seen) code(tb testing.TB) (int, string) {
	tb.Helper()
	e := s.envelope(tb)
	if e.Error == nil {
		return 0, ""
	}
	return e.Error.Code, e.Error.SubCode
}

// instance is that of a granted coupon; 0: none.
func (s seen) instance(tb testing.TB) int64 {
	tb.Helper()
	e := s.envelope(tb)
	if e.Response == nil || len(e.Response.Model) == 0 {
		return 0
	}
	var model struct {
		InstanceID int64 `json:"coupon_instance_id"`
	}
	require.NoError(tb, json.Unmarshal(e.Response.Model, &model))
	return model.InstanceID
}
