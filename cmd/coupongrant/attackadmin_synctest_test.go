//go:build synctests

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// adminBubble is the admin port on a network without sockets, so that the hours of
// a patient attacker pass at once.
type adminBubble struct {
	t       *testing.T
	network *kfake.VirtualNetwork
}

const bubbleAddress = "localhost:9290"

func inAdminBubble(t *testing.T, handler http.Handler, test func(*adminBubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &adminBubble{t, &kfake.VirtualNetwork{}}
		listener, err := b.network.Listen("tcp", bubbleAddress)
		require.NoError(t, err)
		service := newHTTPService(listener, handler, quiet()).bounded()
		service.start(slog.New(slog.DiscardHandler))
		defer func() { require.NoError(t, service.stop(context.Background())) }()
		test(b)
	})
}

func (b *adminBubble) dial() net.Conn {
	b.t.Helper()
	conn, err := b.network.DialContext(b.t.Context(), "tcp", bubbleAddress)
	require.NoError(b.t, err)
	return conn
}

// leftAfter is how long the server keeps a connection on which somebody drips a
// byte a second, or never reads.
func (b *adminBubble) leftAfter(conn net.Conn, drip, text string) time.Duration {
	b.t.Helper()
	began := time.Now()
	_, err := io.WriteString(conn, text)
	require.NoError(b.t, err)
	for drip != "" && err == nil && time.Since(began) < time.Hour {
		<-time.After(time.Second)
		_, err = io.WriteString(conn, drip)
	}
	if drip == "" { // it does not even read: whether the server has gone is seen by another write
		for err == nil && time.Since(began) < time.Hour {
			<-time.After(time.Second)
			require.NoError(b.t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
			_, err = io.WriteString(conn, "x")
		}
	}
	return time.Since(began)
}

// answers says that a caller who does nothing wrong is answered within a while.
func (b *adminBubble) answers(within time.Duration) {
	b.t.Helper()
	began := time.Now()
	conn := b.dial()
	defer func() { _ = conn.Close() }()
	require.NoError(b.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(b.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, response.StatusCode)
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	require.LessOrEqual(b.t, time.Since(began), within)
}

// Who sends or reads a byte now and then holds a connection for seconds, and nobody
// else up.
func TestAttackSlowCallersOfTheAdminPort(t *testing.T) {
	large := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	})
	for name, tt := range map[string]struct {
		text, drip string
		most       time.Duration
	}{
		"nothing":          {"", "", headerTimeout},
		"a header's drops": {"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: ", "a", headerTimeout},
		"a body's drops":   {"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "a", requestTimeout},
		"chunks' drops":    {"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", requestTimeout},
		"an answer unread": {"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "", answerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inAdminBubble(t, large, func(b *adminBubble) {
				const callers = 20
				left := make(chan time.Duration, callers)
				for range callers {
					go func() {
						conn := b.dial()
						defer func() { _ = conn.Close() }()
						if tt.drip != "" {
							go func() { _, _ = io.Copy(io.Discard, conn) }()
						}
						left <- b.leftAfter(conn, tt.drip, tt.text)
					}()
				}
				b.answers(time.Second)
				for range callers {
					require.LessOrEqual(b.t, <-left, tt.most+3*time.Second, "the server keeps it for longer than it says")
				}
			})
		})
	}
}

// Connections beyond the limit wait for those before them to be left.
func TestAttackManyConnectionsToTheAdminPort(t *testing.T) {
	inAdminBubble(t, http.NotFoundHandler(), func(b *adminBubble) {
		for i := range 2 * maxConnections {
			conn := b.dial()
			defer func() { _ = conn.Close() }()
			go func() { _, _ = fmt.Fprintf(conn, "GET /%d HTTP/1.1\r\nX-A: ", i) }()
		}
		began := time.Now()
		conn := b.dial()
		defer func() { _ = conn.Close() }()
		require.NoError(b.t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(b.t, err)
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(b.t, err)
		waited := time.Since(began)
		require.GreaterOrEqual(b.t, waited, headerTimeout, "the limit was not met")
		require.LessOrEqual(b.t, waited, 3*headerTimeout)
	})
}

// A search of the topics that takes long is no slow caller.
func TestLongSearchIsNotCutOff(t *testing.T) {
	const minutes = 5
	scan := func(ctx context.Context, _ string, progress func(read, total int64)) (requestTrace, error) {
		for i := range int64(minutes * 6) {
			select {
			case <-time.After(10 * time.Second):
				progress(i, minutes*6)
			case <-ctx.Done():
				return requestTrace{}, ctx.Err()
			}
		}
		return requestTrace{RequestID: "found"}, nil
	}
	m := newMemory("", scan)
	mux := http.NewServeMux()
	m.serve(mux)
	inAdminBubble(t, mux, func(b *adminBubble) {
		conn := b.dial()
		defer func() { _ = conn.Close() }()
		_, err := io.WriteString(conn, "GET /api/requests/found?scan=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.NoError(b.t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(b.t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(b.t, err)
		require.NoError(b.t, response.Body.Close())
		require.Contains(b.t, string(text), `{"trace":{"request_id":"found"`)
		require.Equal(b.t, minutes*6, strings.Count(string(text), `"total"`))
	})
}
