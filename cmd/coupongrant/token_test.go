package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// newTestToken asks at url as a client whose secret is canary.
func newTestToken(t *testing.T, url string) func() (string, error) {
	t.Helper()
	file := writeFile(t, canary)
	require.NoError(t, os.Chmod(file, 0o600))
	cfg := defaultConfig()
	cfg.Security.SASL = saslConfig{Mechanism: saslOAuthBearer, TokenURL: url, ClientID: "grants", ClientSecretFile: file}
	token, err := new(access).newToken(cfg)
	require.NoError(t, err)
	return token
}

// What is no HTTP is quoted by net/http, what is no JSON by encoding/json.
func TestSecretThatATokenAddressEchoesIsNotRepeated(t *testing.T) {
	for name, echo := range map[string]string{
		"as a status line": "%s\r\n",
		"as a status":      "HTTP/1.1 %s\r\n",
		"as a header":      "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"as a length":      "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"as text":          "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s",
		"as an error":      "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nerror=%[1]s&error_description=%[1]s",
		"a long number":    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":" + strings.Repeat("9", 4000) + "}%s",
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				form, _ := io.ReadAll(r.Body) // the secret, if it is not in the header
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(conn, echo, string(form)+r.Header.Get("Authorization"))
				_ = conn.Close()
			}))
			defer idp.Close()
			_, err := newTestToken(t, idp.URL)()
			require.ErrorContains(t, err, "kafka.sasl.token_url gives no token")
			require.ErrorContains(t, err, "check ")
			require.NotContains(t, err.Error(), canary)
			require.Less(t, len(err.Error()), 300)
			require.Positive(t, asked.Load(), "the fault was met")
		})
	}
}

// A connection that is handed over ends by no timeout of the client.
func TestTokenThatNobodyGivesIsToldWhy(t *testing.T) {
	for name, row := range map[string]struct{ answer, says string }{
		"another protocol": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP 101"},
		"a cut body":       {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":", "the connection ended before the answer was complete"},
		"an endless body":  {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2<<20), "the answer is longer than 1 MiB"},
		"no token":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "what it answers holds none"},
	} {
		t.Run(name, func(t *testing.T) {
			idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, row.answer)
				if name == "another protocol" {
					_, _ = io.Copy(io.Discard, conn) // until the caller leaves
				}
				_ = conn.Close()
			}))
			defer idp.Close()
			_, err := newTestToken(t, idp.URL)()
			require.ErrorContains(t, err, row.says)
		})
	}
	_, err := newTestToken(t, "http://"+freeAddress(t))()
	require.ErrorContains(t, err, "connection refused")
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	_, err = newTestToken(t, stranger.URL)()
	require.ErrorContains(t, err, "the certificate is signed by an unknown authority")
}

// The client's secret goes to the address alone, whatever the environment says. The
// environment is read once in a process, so this takes one of its own.
func TestNoProxyIsAskedForAToken(t *testing.T) {
	const child = "COUPONGRANT_TEST_ASK_FOR_A_TOKEN"
	const address = "http://token.invalid"
	if os.Getenv(child) != "" {
		_, err := newTestToken(t, address)()
		require.ErrorContains(t, err, "kafka.sasl.token_url gives no token")
		fmt.Fprintln(os.Stdout, "asked for a token")
		return
	}
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL)
	said, err := again.CombinedOutput()
	require.Contains(t, string(said), "asked for a token")
	require.Zero(t, asked.Load())
	require.NoError(t, err, string(said))
}
