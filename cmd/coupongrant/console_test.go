package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/schemas"
)

func TestPageAndItsPartsAreServedUnderAStrictPolicy(t *testing.T) {
	h := adminWith(held)
	page := ask(h, http.MethodGet, "/")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	parts := regexp.MustCompile(`(?:src|href)="(console/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Greater(t, len(parts), 4)
	kinds := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
	for _, part := range append(parts, []string{"", ""}) {
		got := ask(h, http.MethodGet, "/"+part[1])
		require.Equal(t, http.StatusOK, got.Code, part[1])
		header := got.Header()
		require.Equal(t, consolePolicy, header.Get("Content-Security-Policy"))
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		require.NotEmpty(t, header.Get("ETag"))
		if part[1] != "" {
			require.Equal(t, kinds[part[1][strings.LastIndex(part[1], ".")+1:]], header.Get("Content-Type"), part[1])
		}
	}
	require.Contains(t, consolePolicy, "default-src 'none'")
	require.NotContains(t, consolePolicy, "unsafe")
	require.NotContains(t, consolePolicy, "*")
}

// The imports of the modules are parts too, and nothing of the page is elsewhere.
func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	h := adminWith(held)
	entries, err := consoleFiles.ReadDir("console")
	require.NoError(t, err)
	modules := 0
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			continue
		}
		text, err := consoleFiles.ReadFile("console/" + name)
		require.NoError(t, err)
		foreign := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "")
		require.NotRegexp(t, `https?://|url\(|@import|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`, foreign, name)
		for _, found := range regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			modules++
			require.Equal(t, http.StatusOK, ask(h, http.MethodGet, "/console/"+found[1]).Code, found[1])
		}
	}
	require.Positive(t, modules)
}

func TestBrowserThatHasAPartIsNotSentItAgain(t *testing.T) {
	h := adminWith(held)
	tag := ask(h, http.MethodGet, "/console/app.js").Header().Get("ETag")
	again := httptest.NewRequest(http.MethodGet, "/console/app.js", http.NoBody)
	again.Header.Set("If-None-Match", tag)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, again)
	require.Equal(t, http.StatusNotModified, w.Code)
	require.Zero(t, w.Body.Len())
}

func TestOnlyPartsOfThePageAreServed(t *testing.T) {
	h := adminWith(held)
	for _, path := range []string{"/console", "/console/", "/console/uplot/", "/console/index.html", "/console/no.js", "/index.html", "/console/../admin.go", "/console/%2e%2e/console.go"} {
		require.NotEqual(t, http.StatusOK, ask(h, http.MethodGet, path).Code, path)
	}
}

// remembering is the admin over what a replica remembers.
func remembering(trails ...processor.Trail) http.Handler {
	of := func(limit int) []processor.Trail { return trails[:min(limit, len(trails))] }
	m := newMemory(" --config c.yaml", nil)
	m.recent, m.letters = of, of
	m.find = func(id string) []processor.Trail {
		var found []processor.Trail
		for _, trail := range trails {
			if trail.RequestID == id {
				found = append(found, trail)
			}
		}
		return found
	}
	a := &admin{metrics: prometheus.NewRegistry(), memory: m}
	return a.handler()
}

func TestRecentEndsAndDeadLetters(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := remembering(
		processor.Trail{RequestID: "a", Source: "store/1/7", End: "dead-letter", Reason: "grant-unknown", Detail: "gave up", Attempts: 10, InDoubt: true, EndedAt: &at},
		processor.Trail{RequestID: "", Source: "store/1/8", End: "dead-letter", Reason: "undecodable", EndedAt: &at},
	)
	letters := ask(h, http.MethodGet, "/api/dead-letters")
	require.Equal(t, "no-store", letters.Header().Get("Cache-Control"))
	require.Equal(t, "nosniff", letters.Header().Get("X-Content-Type-Options"))
	require.JSONEq(t, `{"dead_letters":[
		{"request_id":"a","source":"store/1/7","reason":"grant-unknown","error":"gave up","at":"2026-01-02T03:04:05Z","attempts":10,"in_doubt":true,
		 "command":"coupongrant dead-letters replay --source store/1/7 --config c.yaml"},
		{"request_id":"","source":"store/1/8","reason":"undecodable","error":"","at":"2026-01-02T03:04:05Z","attempts":0,"in_doubt":false,
		 "command":"coupongrant dead-letters replay --source store/1/8 --config c.yaml"}]}`, letters.Body.String())

	var recent struct{ Recent []processor.Trail }
	require.NoError(t, json.Unmarshal(ask(h, http.MethodGet, "/api/recent?limit=1").Body.Bytes(), &recent))
	require.Len(t, recent.Recent, 1)
	require.JSONEq(t, `{"recent":[]}`, ask(remembering(), http.MethodGet, "/api/recent").Body.String())
	require.JSONEq(t, `{"dead_letters":[]}`, ask(remembering(), http.MethodGet, "/api/dead-letters").Body.String())
	for _, limit := range []string{"0", "-1", "1001", "x", "9999999999999999999"} {
		refused := ask(h, http.MethodGet, "/api/recent?limit="+limit)
		require.Equal(t, http.StatusBadRequest, refused.Code, limit)
		require.Contains(t, refused.Body.String(), "use 1 to 1000")
	}
}

func TestRequestIsFoundByAnyID(t *testing.T) {
	for path, id := range map[string]string{
		"/api/requests/order-7":                     "order-7",
		"/api/requests/a%2Fb%3Fc%23d":               "a/b?c#d",
		"/api/requests?id=..":                       "..",
		"/api/requests?id=%3Cb%3E%26%20%2B":         "<b>& +",
		"/api/requests/" + strings.Repeat("x", 200): strings.Repeat("x", 200),
	} {
		var got struct {
			RequestID string `json:"request_id"`
			Trails    []processor.Trail
		}
		found := ask(remembering(processor.Trail{RequestID: id}), http.MethodGet, path)
		require.Equal(t, http.StatusOK, found.Code, path)
		require.NoError(t, json.Unmarshal(found.Body.Bytes(), &got))
		require.Equal(t, id, got.RequestID)
		require.Len(t, got.Trails, 1, path)
	}
	require.JSONEq(t, `{"request_id":"nobody","trails":[]}`, ask(remembering(), http.MethodGet, "/api/requests/nobody").Body.String())
	require.Equal(t, http.StatusBadRequest, ask(remembering(), http.MethodGet, "/api/requests").Code)
}

func TestTopicsAreSearchedWhileAPersonWaits(t *testing.T) {
	s := newSite(t).ready()
	sent := s.run(`{"request_id":"order-7","biz_code":"b","open_id":"canaryOpenId","channel":"c","coupon_code":"u","coupon_type":247,"trigger":{"kind":"store-checkout"}}`, "produce")
	require.Equal(t, exitDone, sent.code, sent.stderr)
	cfg, err := load(t, "", nil, s.reach...)
	require.NoError(t, err)
	a := &admin{metrics: prometheus.NewRegistry(), memory: newMemory("", newTopicScan(cfg))}
	h := a.handler()
	for id, verdict := range map[string]string{"order-7": "waits: ", "order-8": "not found: "} {
		got := ask(h, http.MethodGet, "/api/requests?scan=1&id="+id)
		require.Equal(t, http.StatusOK, got.Code)
		require.Equal(t, "application/x-ndjson", got.Header().Get("Content-Type"))
		require.NotContains(t, got.Body.String(), "canaryOpenId")
		lines := strings.Split(strings.TrimSpace(got.Body.String()), "\n")
		var last struct{ Trace requestTrace }
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last), got.Body.String())
		require.Equal(t, id, last.Trace.RequestID)
		require.True(t, strings.HasPrefix(last.Trace.Verdict, verdict), last.Trace.Verdict)
	}
	refused := ask(h, http.MethodGet, "/api/requests?scan=1&id="+strings.Repeat("x", 65))
	require.Regexp(t, `^\{"error":"[^"]+`, refused.Body.String())
}

func TestOneSearchAtATimeWhichEndsWithItsClient(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	m := newMemory("", func(ctx context.Context, _ string, progress func(read, total int64)) (requestTrace, error) {
		progress(1, 2)
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return requestTrace{}, ctx.Err()
	})
	a := &admin{metrics: prometheus.NewRegistry(), memory: m}
	server := httptest.NewServer(a.handler())
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/requests/a?scan=1", http.NoBody)
	require.NoError(t, err)
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	require.JSONEq(t, `{"read":1,"total":2}`, line, "it comes while the search goes on")
	<-begun
	second := ask(a.handler(), http.MethodGet, "/api/requests/b?scan=1")
	require.Equal(t, http.StatusTooManyRequests, second.Code)
	require.Contains(t, second.Body.String(), "try again")
	leave()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestReplayCommandIsSafeToPaste(t *testing.T) {
	m := newMemory("", nil)
	require.Equal(t, "coupongrant dead-letters replay --source a.b_c-d/1/2", m.replayCommand(processor.Trail{Source: "a.b_c-d/1/2"}))
	require.Empty(t, m.replayCommand(processor.Trail{Source: "store/1/2", Reason: string(schemas.ConflictingRequest)}))
	for _, source := range []string{"'; rm -rf ~ #", "$(id)/1/2", "a b/1/2", "`id`", "", "a\nb", "!!/1/2"} {
		require.Equal(t, "coupongrant dead-letters replay --source '"+strings.ReplaceAll(source, "'", `'\''`)+"'", m.replayCommand(processor.Trail{Source: source}))
	}
}

func TestCommandsAreShownWithTheWayToTheCluster(t *testing.T) {
	const file = "kafka:\n  brokers: [a:1]\ntopics:\n  store: s\n"
	for name, tt := range map[string]struct {
		file    string
		environ []string
		want    string
	}{
		"nothing is set":  {want: "$"},
		"a file":          {file: file, want: ` --config /\S+$`},
		"the environment": {environ: []string{"COUPONGRANT_KAFKA_BROKERS=a:1,b:2", "COUPONGRANT_REGISTRY_URL=http://r:1", "COUPONGRANT_GATEWAY_APP_SECRET=" + canary}, want: " --kafka.brokers a:1,b:2 --registry.url http://r:1$"},
		"the way in": {
			environ: []string{"COUPONGRANT_KAFKA_TLS_ENABLED=true", "COUPONGRANT_KAFKA_TLS_SERVER_NAME=n", "COUPONGRANT_KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "COUPONGRANT_KAFKA_SASL_USER=u", "COUPONGRANT_KAFKA_SASL_PASSWORD=" + canary, "COUPONGRANT_INSECURE_ACCEPT=secrets-without-tls"},
			want:    " --kafka.tls.enabled=true --kafka.tls.server_name n --kafka.sasl.mechanism SCRAM-SHA-512 --kafka.sasl.user u --insecure.accept secrets-without-tls$",
		},
		"a default over a file": {file: file, environ: []string{"COUPONGRANT_KAFKA_BROKERS=127.0.0.1:9092"}, want: ` --config /\S+ --kafka.brokers 127.0.0.1:9092$`},
		"over a file":           {file: file, environ: []string{"COUPONGRANT_TOPICS_STORE=t"}, want: ` --config /\S+ --topics.store t$`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, tt.file, tt.environ)
			require.NoError(t, err)
			require.Regexp(t, "^"+tt.want, flagsToReach(cfg))
		})
	}
}
