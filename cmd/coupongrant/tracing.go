package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
)

// TracingConfig says where traces go, and of what.
type TracingConfig struct {
	Endpoint string  // of a collector, OTLP over HTTP; empty: no traces
	Sample   float64 // share of the requests that come without a trace of their own
}

func (c TracingConfig) validate() []error {
	var errs []error
	if c.Endpoint != "" {
		at, err := url.Parse(c.Endpoint)
		switch {
		case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
			errs = append(errs, errors.New("tracing.otlp_endpoint is no URL of a collector: use http://host:4318"))
		case at.User != nil || at.RawQuery != "":
			errs = append(errs, errors.New("tracing.otlp_endpoint holds a user, a password or a query: leave them out, and put what the collector wants to see into OTEL_EXPORTER_OTLP_HEADERS"))
		}
	}
	if c.Sample < 0 || c.Sample > 1 {
		errs = append(errs, fmt.Errorf("tracing.sample is %v: use a share from 0 to 1", c.Sample))
	}
	return errs
}

// traces is where the collector takes them.
func (c TracingConfig) traces() string {
	at, err := url.Parse(c.Endpoint)
	if err == nil && strings.Trim(at.Path, "/") == "" {
		return at.JoinPath("v1", "traces").String()
	}
	return c.Endpoint
}

// Spans wait for the collector in a queue of so many, and what does not fit is
// dropped: a collector that is slow, or gone, must cost nobody anything but spans.
const (
	spanQueue       = 8192
	spanTimeout     = 5 * time.Second // of one export, tries included
	spanFarewell    = 2 * time.Second // for what is queued when we stop
	spanExportEvery = time.Second
)

const maxCollectorText = 200 // runes of what the log says of a failed export

// newTracer gives no tracer unless a collector is named.
func newTracer(lc fx.Lifecycle, cfg Config, log *slog.Logger) (trace.Tracer, error) {
	if cfg.Tracing.Endpoint == "" {
		return nil, nil //nolint:nilnil // which is how the processor is told
	}
	exporter, err := otlptracehttp.New(context.Background(), // contacts nobody
		otlptracehttp.WithEndpointURL(cfg.Tracing.traces()),
		otlptracehttp.WithTimeout(spanTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: spanTimeout, MaxElapsedTime: spanTimeout}))
	if err != nil {
		return nil, fmt.Errorf("tracing.otlp_endpoint: %w", err)
	}
	of := resource.NewSchemaless(
		semconv.ServiceName("coupongrant"), semconv.ServiceNamespace(cfg.Processor.Group),
		semconv.ServiceVersion(cfg.Processor.Version), semconv.ServiceInstanceID(cfg.Processor.TransactionalID))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(of),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Tracing.Sample))),
		sdktrace.WithBatcher(&toldExporter{SpanExporter: exporter, log: log.With("component", "tracing")},
			sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithBatchTimeout(spanExportEvery), sdktrace.WithExportTimeout(spanTimeout)))
	lc.Append(fx.StopHook(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, spanFarewell)
		defer cancel()
		_ = provider.Shutdown(ctx) // what the collector does not take by then is lost, and that is no failure of ours
	}))
	return provider.Tracer("github.com/coupongrant/coupongrant"), nil
}

// toldExporter says once that spans are lost, and once that they are not any
// more. OpenTelemetry would tell of each export on standard error.
type toldExporter struct {
	sdktrace.SpanExporter

	log  *slog.Logger
	lost atomic.Bool
}

func (e *toldExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.lost.Swap(true):
		e.log.Warn("the collector does not take our spans: traces are lost, and nothing else; check tracing.otlp_endpoint and the collector",
			"error", printable(fmt.Sprintf("%.*s", maxCollectorText, err))) // which holds up to 4 MiB of the answer
	case err == nil && e.lost.Swap(false):
		e.log.Info("the collector takes our spans again")
	}
	return nil
}
