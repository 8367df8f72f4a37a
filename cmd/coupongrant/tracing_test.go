package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// otlpCollector takes traces over HTTP, as a collector does.
type otlpCollector struct {
	*httptest.Server

	mu    sync.Mutex
	paths map[string]int
	spans []*tracepb.Span
	all   strings.Builder // everything that came, as text
}

func newCollector(t *testing.T) *otlpCollector {
	t.Helper()
	c := &otlpCollector{paths: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		export := new(collector.ExportTraceServiceRequest)
		if err != nil || proto.Unmarshal(body, export) != nil {
			http.Error(w, "no OTLP", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths[r.Method+" "+r.URL.Path]++
		fmt.Fprintln(&c.all, export.String())
		for _, of := range export.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the spans of one trace, by name.
func (c *otlpCollector) of(trace string) map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*tracepb.Span{}
	for _, span := range c.spans {
		if hex.EncodeToString(span.TraceId) == trace {
			found[span.Name] = span
		}
	}
	return found
}

func (c *otlpCollector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.String()
}

const (
	tillsTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	tillsSpan  = "00f067aa0ba902b7"
)

// traced writes a request that its till traces, and returns the outcome.
func (d *devRunning) traced() *kgo.Record {
	d.Helper()
	topics := defaultConfig().Processor.Topics
	client, err := kgo.NewClient(kgo.SeedBrokers(d.said("kafka.brokers")), kgo.ConsumeTopics(topics.Granted, topics.Failed),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(d, err)
	defer client.Close()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: d.said("registry.url")})
	require.NoError(d, err)
	defer registry.Close()
	require.NoError(d, registry.FetchOwn(d.Context(), schemas.Topics{Inputs: []string{topics.Store, topics.Loyalty}}))
	value, err := schemas.NewCodec(registry, schemas.Rules{}).EncodeRequest(topics.Store, schemas.Request{
		RequestID: "traced", OccurredAt: time.Now(), BizCode: "YXX", OpenID: schemas.NewOpenID(proof.Canary + "-traced"),
		Channel: "app", CouponCode: "fsdfsfee1f2", CouponType: 247, Trigger: &schemas.Trigger{Kind: "store-checkout"},
	})
	require.NoError(d, err)
	require.NoError(d, client.ProduceSync(d.Context(), &kgo.Record{Topic: topics.Store, Value: value, Headers: []kgo.RecordHeader{
		{Key: "traceparent", Value: []byte("00-" + tillsTrace + "-" + tillsSpan + "-01")},
	}}).FirstErr())
	for {
		for _, r := range client.PollFetches(d.Context()).Records() {
			if strings.Contains(traceparent(r), tillsTrace) {
				return r
			}
		}
		require.NoError(d, d.Context().Err())
	}
}

func traceparent(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "traceparent" {
			return string(h.Value)
		}
	}
	return ""
}

func TestOneTraceAtTheCollectorSpansRequestCallAndOutcome(t *testing.T) {
	to := newCollector(t)
	d := startDev(t, "--rate", "5", "--no-outage", "--tracing.otlp_endpoint", to.URL)
	outcome := d.traced()
	topics := defaultConfig().Processor.Topics
	request, call, send := "process "+topics.Store, "tmall.nrt.coupon.send", "send "+outcome.Topic
	require.Eventually(t, func() bool {
		got := to.of(tillsTrace)
		return got[request] != nil && got[call] != nil && got[send] != nil
	}, 20*time.Second, 20*time.Millisecond, "%s", d.stderr.String())

	got := to.of(tillsTrace)
	require.Len(t, got, 3)
	require.Equal(t, tillsSpan, hex.EncodeToString(got[request].ParentSpanId), "the till's span is the parent")
	require.Equal(t, got[request].SpanId, got[call].ParentSpanId)
	require.Equal(t, got[request].SpanId, got[send].ParentSpanId)
	require.Equal(t, "00-"+tillsTrace+"-"+hex.EncodeToString(got[send].SpanId)+"-01", traceparent(outcome), "the outcome carries it on")
	require.Equal(t, tracepb.Span_SPAN_KIND_CONSUMER, got[request].Kind)
	require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, got[call].Kind)
	require.Equal(t, tracepb.Span_SPAN_KIND_PRODUCER, got[send].Kind)
	require.LessOrEqual(t, got[request].StartTimeUnixNano, got[call].StartTimeUnixNano)
	require.LessOrEqual(t, got[call].EndTimeUnixNano, got[request].EndTimeUnixNano)
	require.Contains(t, got[request].String(), "traced")
	d.stopped()
	require.Equal(t, []string{"POST /v1/traces"}, sortedKeys(to.paths))
	require.Greater(t, len(to.spans), 3, "requests without a trace of their own are sampled")
	for _, secret := range []string{proof.Canary, "topsim-demo-secret", "router/rest"} {
		require.NotContains(t, to.text(), secret)
		require.NotContains(t, d.stderr.String(), secret+"?")
	}
}

// The control: nobody is told of anything while no collector is named.
func TestNoCollectorNoTraces(t *testing.T) {
	to := newCollector(t)
	d := startDev(t, "--rate", "5", "--no-outage")
	require.Equal(t, "00-"+tillsTrace+"-"+tillsSpan+"-01", traceparent(d.traced()), "it passes through")
	d.stopped()
	require.Empty(t, to.text())
}

// A collector that refuses, is silent, or is not there costs spans and nothing else.
func TestFailingCollectorStopsNobody(t *testing.T) {
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(func() { close(over); silent.Close(); refusing.Close() })
	for name, endpoint := range map[string]string{
		"silent": silent.URL, "refuses": refusing.URL, "absent": "http://" + freeAddress(t),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			d := startDev(t, "--rate", "200", "--no-outage", "--tracing.otlp_endpoint", endpoint)
			d.traced()
			require.Eventually(t, func() bool { return strings.Contains(d.stderr.String(), "the collector does not take our spans") }, 20*time.Second, 20*time.Millisecond)
			require.Equal(t, 1, strings.Count(d.stderr.String(), "the collector does not take our spans"), "told once")
			stopping := time.Now()
			d.stopped()
			require.Less(t, time.Since(stopping), spanFarewell+15*time.Second)
			t.Logf("began, was told, ended within %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// The exporter's error holds what the collector says, up to 4 MiB of it.
func TestWhatACollectorSaysIsOneShortLine(t *testing.T) {
	var asked atomic.Int64
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "no\n\x1b]0;pwn\a"+strings.Repeat("x", 1<<20))
	}))
	defer refusing.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(refusing.URL))
	require.NoError(t, err)
	defer func() { require.NoError(t, exporter.Shutdown(t.Context())) }()
	var log bytes.Buffer
	told := &toldExporter{SpanExporter: exporter, log: slog.New(slog.NewJSONHandler(&log, nil))}
	require.NoError(t, told.ExportSpans(t.Context(), tracetest.SpanStubs{{Name: "one"}}.Snapshots()))
	require.EqualValues(t, 1, asked.Load())
	var line struct {
		Error string `json:"error"`
	}
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	require.Contains(t, line.Error, "403 Forbidden")
	require.Less(t, len(line.Error), 300)
	require.Equal(t, printable(line.Error), line.Error)
}

func TestTracingSettingsAreChecked(t *testing.T) {
	for value, says := range map[string]string{
		"collector:4318":                      "use http://host:4318",
		"ftp://collector":                     "use http://host:4318",
		"http://u:" + canary + "@host:4318":   "OTEL_EXPORTER_OTLP_HEADERS",
		"http://host:4318/?token=" + canary:   "OTEL_EXPORTER_OTLP_HEADERS",
		"https://collector.example/v1/traces": "",
		"http://127.0.0.1:4318":               "",
	} {
		got := runWith(t, "", "config", "check", "--gateway.app_key=1", "--tracing.otlp_endpoint="+value)
		if says == "" {
			require.NotContains(t, got.stderr, "tracing.")
			continue
		}
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.stderr, says)
		require.NotContains(t, got.stderr, canary)
	}
	got := runWith(t, "", "config", "check", "--gateway.app_key=1", "--tracing.sample=1.5")
	require.Contains(t, got.stderr, "tracing.sample is 1.5: use a share from 0 to 1")
	require.Equal(t, "http://host:4318/v1/traces", TracingConfig{Endpoint: "http://host:4318/"}.traces())
	require.Equal(t, "http://host/own", TracingConfig{Endpoint: "http://host/own"}.traces())
}
