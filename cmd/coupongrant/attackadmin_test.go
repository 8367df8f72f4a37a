package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
)

// serveAdmin is the admin port on a socket.
func serveAdmin(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	service := newHTTPService(listener, adminOf(processor.Health{Live: true}).handler(), quiet()).bounded()
	service.start(quiet())
	t.Cleanup(func() { _ = service.stop(t.Context()) }) // callers that it had to cut off
	return service.address()
}

// rawCall sends bytes as they are and reads what comes; status 0: the connection
// was closed without an answer.
func rawCall(t *testing.T, address string, request io.Reader) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(requestTimeout)))
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = io.Copy(conn, request) }() // the server may leave before its end
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		_ = conn.Close()
		<-sent
		return &http.Response{}, ""
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close()
	_ = conn.Close()
	<-sent
	return response, string(body)
}

// endless gives the same bytes for ever.
type endless string

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		n += copy(b[n:], e)
	}
	return n, nil
}

func TestAttackOversizedRequestsOnTheAdminPort(t *testing.T) {
	address := serveAdmin(t)
	end := " HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, tt := range map[string]struct {
		request io.Reader
		want    []int // 0: closed without an answer, as the caller was still sending
	}{
		"an endless line":          {io.MultiReader(strings.NewReader("GET /"), endless("a")), []int{0, 431}},
		"an endless header":        {io.MultiReader(strings.NewReader("GET /livez HTTP/1.1\r\nX-A: "), endless("a")), []int{0, 431}},
		"endless headers":          {io.MultiReader(strings.NewReader("GET /livez HTTP/1.1\r\n"), endless("A: b\r\n")), []int{0, 431}},
		"a body of a terabyte":     {io.MultiReader(strings.NewReader("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"), endless("a")), []int{0, 405}},
		"endless chunks":           {io.MultiReader(strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), endless("1\r\na\r\n")), []int{0, 200}},
		"a chunk of 2^63 bytes":    {io.MultiReader(strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n"), endless("a")), []int{0, 200}},
		"a length below 0":         {strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), []int{400}},
		"a length and chunks":      {strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), []int{200, 400}},
		"two lengths":              {strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"), []int{400}},
		"a limit of 10^30":         {strings.NewReader("GET /api/recent?limit=" + strings.Repeat("9", 30) + end), []int{400}},
		"a limit below 0":          {strings.NewReader("GET /api/dead-letters?limit=-1" + end), []int{400}},
		"ten thousand parameters":  {strings.NewReader("GET /api/recent?" + strings.Repeat("&", 10_000) + end), []int{200}},
		"an id of 10,000 bytes":    {strings.NewReader("GET /api/requests/" + strings.Repeat("a", 10_000) + end), []int{200}},
		"a range of a million":     {strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=" + strings.Repeat("0-0,", 3000) + "0-0\r\n\r\n"), []int{200, 206, 416}},
		"an HTTP/2 preface":        {strings.NewReader("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []int{0, 400, 404, 405, 505}},
		"no HTTP at all":           {io.LimitReader(endless("\x16\x03\x01\x00"), 1<<20), []int{0, 400, 431}},
		"an upgrade":               {strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), []int{200}},
		"an expectation":           {strings.NewReader("GET /livez HTTP/1.1\r\nHost: x\r\nExpect: everything\r\n\r\n"), []int{417}},
		"another way than a GET":   {strings.NewReader("TRACE /livez HTTP/1.1\r\nHost: x\r\nCookie: " + canary + "\r\n\r\n"), []int{405}},
		"a tunnel":                 {strings.NewReader("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n"), []int{404, 405}},
		"a request for a stranger": {strings.NewReader("GET http://stranger.example/livez HTTP/1.1\r\nHost: stranger.example\r\n\r\n"), []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer, body := rawCall(t, address, tt.request)
			runtime.ReadMemStats(&after)
			require.Contains(t, tt.want, answer.StatusCode, body)
			require.NotContains(t, body, canary)
			// The race detector takes from pools at random what was put back, and the answer is made anew then.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes of memory for one request, ours included")
		})
	}
	_, body := rawCall(t, address, strings.NewReader("GET /livez"+end))
	require.Equal(t, "ok\n", body)
}

// Nothing but what is served has an answer, whatever the path; no answer leads
// anywhere else, or says more than it should.
func TestAttackPathTricksOnTheAdminPort(t *testing.T) {
	address := serveAdmin(t)
	for _, path := range []string{
		"/console/../../../../etc/passwd", "/console/..%2f..%2f..%2fetc%2fpasswd", "/console/%2e%2e/%2e%2e/etc/passwd", "/console/..%5c..%5cetc%5cpasswd",
		"/console/....//....//etc/passwd", "/console//etc/passwd", "/console/%00", "/console/app.js%00.html", "/console/app.js/", "/console/app.js/..%2findex.html",
		"/console/", "/console", "/console/index.html", "/.git/config", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars", "/livez/", "/livez%2f", "//livez", "/./livez", "/api/../livez",
		"/api/", "/api", "/api/requests/..", "/api/requests/../../etc/passwd", "/api/requests/", "/metrics/..;/livez", "/%2f%2fstranger.example/%2e%2e", "//stranger.example/%2e%2e", "/\\stranger.example/..",
		"//stranger.example/%0d%0aSet-Cookie:%20a=b/..", "/%0d%0aSet-Cookie:a=b/../x", "/api/requests/%0d%0aSet-Cookie:a=b", "/api/requests?id=%0d%0aSet-Cookie:a=b", "/api/recent?limit=%0d%0aSet-Cookie:a=b", "/?%0d%0aSet-Cookie:a=b",
		"/api/requests/%3cscript%3ealert(1)%3c%2fscript%3e", "/api/recent?limit=%3cscript%3ealert(1)%3c%2fscript%3e", "*", "/%", "/%zz", "/\x00", "/a b",
	} {
		t.Run(url.PathEscape(path), func(t *testing.T) {
			answer, body := rawCall(t, address, strings.NewReader("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"))
			require.Contains(t, []int{200, 301, 307, 308, 400, 404}, answer.StatusCode, body)
			require.Empty(t, answer.Header.Get("Set-Cookie"))
			require.NotContains(t, body, "root:")
			if to := answer.Header.Get("Location"); to != "" {
				require.Regexp(t, `^/([^/\\]|$)`, to, "it leads to another host")
			}
			if answer.StatusCode == http.StatusOK && !strings.HasPrefix(path, "/?") {
				require.True(t, strings.HasPrefix(path, "/api/requests"), "something is served at %s", path)
				require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
			}
			if strings.Contains(body, "<script>") {
				require.Regexp(t, "^text/plain", answer.Header.Get("Content-Type"))
				require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
			}
		})
	}
	answer, body := rawCall(t, address, strings.NewReader("GET /console/app.js HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.Equal(t, http.StatusOK, answer.StatusCode, "what is served must be seen")
	require.NotEmpty(t, body)
}

// What a request id holds is text on the page of a browser that is told otherwise.
func TestAttackTextOfStrangersIsNoMarkupToABrowser(t *testing.T) {
	a := adminOf(processor.Health{Live: true, Holds: []processor.Hold{{Kind: "gateway", Reason: "<script>alert(1)</script>\r\nSet-Cookie: a=b"}}})
	a.memory = newMemory("", nil)
	a.memory.find = func(id string) []processor.Trail {
		return []processor.Trail{{RequestID: id, Why: "</script><img src=x>"}}
	}
	for _, path := range []string{"/api/status", "/readyz", "/api/requests/x", "/api/recent", "/api/dead-letters"} {
		answer := ask(a.handler(), http.MethodGet, path)
		require.Equal(t, "application/json", answer.Header().Get("Content-Type"), path)
		require.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"), path)
		require.False(t, bytes.ContainsAny(answer.Body.Bytes(), "<>\r"), "%s: %s", path, answer.Body)
	}
	page := ask(a.handler(), http.MethodGet, "/")
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "require-trusted-types-for 'script'", fmt.Sprint(page.Code))
}
