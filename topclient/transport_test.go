package topclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A kept connection that the server closes just as the next request arrives:
// net/http repeats requests that it takes to be idempotent. It must not here.
func TestClosedKeepAliveIsNotReplayed(t *testing.T) {
	var requests atomic.Int64
	addr := listen(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for served := 0; ; served++ {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			requests.Add(1)
			if served == 1 {
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(grantedJSON), grantedJSON)
		}
	})
	c := newTestClient(t, "http://"+addr, nil)
	_, err := c.Send(t.Context(), testCred, testGrant)
	require.NoError(t, err)
	e := sendError(t, t.Context(), c)
	requireVerdict(t, wantGateway, e)
	require.Equal(t, CodeConnectionLost, e.Code)
	require.EqualValues(t, 2, requests.Load())
}

// listen serves connections one after the other by talk, which is how a server
// misbehaves below HTTP.
func listen(t testing.TB, talk func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// afterRequest consumes one request, then misbehaves by rest.
func afterRequest(rest func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			rest(conn)
		}
	}
}

func TestBrokenAnswersAreInDoubt(t *testing.T) {
	write := func(text string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, text) } }
	tests := []struct {
		name string
		rest func(net.Conn)
		code string
	}{
		{"closed before headers", func(net.Conn) {}, CodeConnectionLost},
		{"reset before headers", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, CodeConnectionLost},
		{"closed in the headers", write("HTTP/1.1 200 OK\r\nContent-"), CodeConnectionLost},
		{"not HTTP", write("session-canary+/=\r\n\r\n"), CodeConnectionLost},
		{"body shorter than declared", write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + grantedJSON), CodeConnectionLost},
		{"last chunk missing", write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), CodeConnectionLost},
		{"body longer than declared", write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n" + grantedJSON), CodeBadBody},
		{"endless headers", write("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n"), CodeConnectionLost},
		{"only interim answers", write(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50)), CodeConnectionLost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := sendError(t, t.Context(), newTestClient(t, "http://"+listen(t, afterRequest(tt.rest)), nil))
			requireVerdict(t, wantGateway, e)
			require.Equal(t, tt.code, e.Code)
			require.True(t, e.Sent)
			require.NotContains(t, e.Error(), "canary")
		})
	}
}

// Before a byte of the request left nothing can have been granted.
func TestNoConnectionIsNotInDoubt(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	tlsServer := httptest.NewUnstartedServer(say(http.StatusOK, grantedJSON))
	tlsServer.Config.ErrorLog = discardLog()
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	plain := newGateway(t, say(http.StatusOK, grantedJSON))
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	tests := []struct {
		name, url, code string
		patience        time.Duration // of the handshake
	}{
		{"nobody listens", "http://" + closed.Addr().String(), CodeRefused, time.Minute},
		{"unknown certificate", tlsServer.URL, CodeTLS, time.Minute},
		{"not TLS", strings.Replace(plain.URL, "http:", "https:", 1), CodeTLS, time.Minute},
		{"handshake stalls", "https://" + silent, CodeConnectTimeout, 200 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestClient(t, tt.url, nil)
			c.transport.(*http.Transport).TLSHandshakeTimeout = tt.patience
			e := sendError(t, t.Context(), c)
			require.Equal(t, tt.code, e.Code, e.Message)
			requireVerdict(t, Error{About: AboutGateway}, e)
			require.False(t, e.Sent)
		})
	}
	require.Zero(t, plain.requests.Load())
}

func TestUnresolvedHostIsNotInDoubt(t *testing.T) {
	resolve := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "gateway.invalid", IsNotFound: true}}
	}
	c, err := New(Config{URL: "http://gateway.invalid"}, &http.Transport{DialContext: resolve})
	require.NoError(t, err)
	e := sendError(t, t.Context(), c)
	requireVerdict(t, Error{About: AboutGateway}, e)
	require.Equal(t, CodeDNS, e.Code)
	require.False(t, e.Sent)
}

func TestCauseCanBeAskedFor(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	e := sendError(t, t.Context(), newTestClient(t, "http://"+closed.Addr().String(), nil))
	require.ErrorIs(t, e, syscall.ECONNREFUSED)
}

// One deadline holds for the whole call, wherever the gateway falls silent.
func TestTimeout(t *testing.T) {
	silence := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the client closes
	stallAfter := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			silence(c)
		}
	}
	drip := func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for _, err := io.WriteString(c, " "); err == nil; _, err = io.WriteString(c, " ") {
			<-time.After(5 * time.Millisecond)
		}
	}
	tests := map[string]func(net.Conn){
		"before headers": silence,
		"after headers":  stallAfter("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
		"in the body":    stallAfter("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + grantedJSON),
		"after continue": stallAfter("HTTP/1.1 100 Continue\r\n\r\n"),
		"drip":           drip,
	}
	for name, rest := range tests {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, afterRequest(rest))
			c := newTestClient(t, "http://"+addr, func(c *Config) { c.Timeout = 150 * time.Millisecond })
			e := sendError(t, t.Context(), c)
			requireVerdict(t, wantGateway, e)
			require.Equal(t, CodeTimeout, e.Code)
			require.True(t, e.Sent)
			require.False(t, e.Canceled)
			require.ErrorIs(t, e, context.DeadlineExceeded)
		})
	}
}

// A deadline of the caller is the same as ours: the gateway was too slow for it.
// passing is a context whose deadline passes when the test says so.
type passing struct {
	context.Context //nolint:containedctx // it is one
	deadline        chan struct{}
}

func (p passing) Done() <-chan struct{} { return p.deadline }

func (p passing) Err() error {
	select {
	case <-p.deadline:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestCallersDeadlineIsATimeout(t *testing.T) {
	ctx := passing{t.Context(), make(chan struct{})}
	addr := listen(t, afterRequest(func(c net.Conn) {
		close(ctx.deadline)
		_, _ = io.Copy(io.Discard, c)
	}))
	e := sendError(t, ctx, newTestClient(t, "http://"+addr, nil))
	require.Equal(t, CodeTimeout, e.Code)
	require.False(t, e.Canceled)
	require.True(t, e.MayHaveGranted)
}

func TestCallerCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := listen(t, afterRequest(func(c net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, c)
	}))
	e := sendError(t, ctx, newTestClient(t, "http://"+addr, nil))
	requireVerdict(t, wantUnknown, e)
	require.True(t, e.Canceled)
	require.True(t, e.Sent)
	require.Equal(t, CodeCanceled, e.Code)
	require.ErrorIs(t, e, context.Canceled)
}

func TestCanceledBeforeTheCallIsNotInDoubt(t *testing.T) {
	gw := newGateway(t, say(http.StatusOK, grantedJSON))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := sendError(t, ctx, newTestClient(t, gw.URL, nil))
	require.True(t, e.Canceled)
	require.False(t, e.MayHaveGranted)
	require.False(t, e.Sent)
	require.Zero(t, gw.requests.Load())
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A transport that has read of the body may have sent it, whatever it says
// later; one that has not cannot send it once Send has returned.
func TestSentIsDecidedOnce(t *testing.T) {
	var late io.ReadCloser
	tests := map[string]struct {
		transport roundTrip
		sent      bool
	}{
		"read, then failed": {func(r *http.Request) (*http.Response, error) {
			_, _ = r.Body.Read(make([]byte, 1))
			return nil, errors.New("broken")
		}, true},
		"failed, then read": {func(r *http.Request) (*http.Response, error) {
			late = r.Body
			return nil, errors.New("broken")
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := New(Config{URL: "http://gateway"}, tt.transport)
			require.NoError(t, err)
			e := sendError(t, t.Context(), c)
			require.Equal(t, tt.sent, e.Sent)
			require.Equal(t, tt.sent, e.MayHaveGranted)
		})
	}
	n, err := late.Read(make([]byte, 1))
	require.Zero(t, n)
	require.ErrorIs(t, err, errWithdrawn)
}

// A transport that was handed in is watched at a body of ours; it must come to
// the same answers as our own, whose body is in memory.
func TestHandedInTransportIsWatched(t *testing.T) {
	addr := listen(t, afterRequest(func(net.Conn) {}))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for target, sent := range map[string]bool{addr: true, closed.Addr().String(): false} {
		for _, transport := range []http.RoundTripper{nil, &http.Transport{}} {
			c, err := New(Config{URL: "http://" + target}, transport)
			require.NoError(t, err)
			e := sendError(t, t.Context(), c)
			require.Equal(t, sent, e.Sent)
			require.Equal(t, sent, e.MayHaveGranted)
		}
	}
}

func TestTransportOfItsOwnIsStrict(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	tr := newTransport(DefaultConfig())
	require.Nil(t, tr.Proxy)
	require.False(t, tr.TLSClientConfig.InsecureSkipVerify)
	require.EqualValues(t, 0x0303, tr.TLSClientConfig.MinVersion, "TLS 1.2")
	require.GreaterOrEqual(t, tr.MaxIdleConnsPerHost, 256)
	require.False(t, tr.Protocols.HTTP2())
}

// What answers 101 hands out its connection, of which nothing but its own end ends a
// read.
func TestAnotherProtocolIsNoAnswer(t *testing.T) {
	for _, protocol := range []string{"websocket", "h2c"} {
		gw := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn) // until the caller leaves
			_ = conn.Close()
		}))
		err := sendError(t, t.Context(), newTestClient(t, gw.URL, nil))
		requireVerdict(t, Error{About: AboutGateway, MayHaveGranted: true}, err)
		require.Equal(t, "http-101", err.Code)
		gw.Close()
	}
}
