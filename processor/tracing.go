package processor

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupongrant/coupongrant/topclient"
)

// tracing makes the spans of a request: one from when it is taken in until its
// end is committed, below it one for each call of the gateway and one for each
// record that is sent to tell its end. The record carries the last on, so that a
// parked request and whoever reads an outcome stay in the trace that the producer
// of the request began. A nil tracing makes none, and costs nothing. Safe for
// concurrent use.
//
// No span holds an open_id, a secret, or a text of the gateway's.
type tracing struct {
	tracer trace.Tracer
	base   context.Context // carries no span; a span's parent is handed over in a context

	mu   sync.Mutex
	open map[*task]struct{} // whose span has not ended
}

func newTracing(ctx context.Context, tracer trace.Tracer) *tracing {
	if tracer == nil {
		return nil
	}
	return &tracing{tracer: tracer, base: context.WithoutCancel(ctx), open: map[*task]struct{}{}}
}

// The names of what we say in spans beside OpenTelemetry's own.
const (
	spanRequestID = attribute.Key("coupongrant.request_id")
	spanSource    = attribute.Key("coupongrant.source")
	spanEnd       = attribute.Key("coupongrant.end")
	spanReason    = attribute.Key("coupongrant.reason")
	spanAttempts  = attribute.Key("coupongrant.attempts")
	spanAttempt   = attribute.Key("coupongrant.attempt")
	spanInDoubt   = attribute.Key("coupongrant.in_doubt")
	spanAbout     = attribute.Key("coupongrant.about")
	spanCode      = attribute.Key("coupongrant.code")

	spanSystem    = attribute.Key("messaging.system")
	spanTopic     = attribute.Key("messaging.destination.name")
	spanPartition = attribute.Key("messaging.destination.partition.id")
	spanOffset    = attribute.Key("messaging.kafka.offset")
)

// begin begins the span of a record that is taken in. Its parent is whom the
// record's headers name.
func (tr *tracing) begin(t *task) {
	if tr == nil {
		return
	}
	parent := propagation.TraceContext{}.Extract(tr.base, carrier{&kgo.Record{Headers: traceContext(t.record)}})
	_, t.span = tr.tracer.Start(parent, "process "+t.topic, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		spanSystem.String("kafka"), spanTopic.String(t.topic), spanPartition.Int(int(t.number)), spanOffset.Int64(t.offset),
		spanSource.String(t.source),
	))
	tr.mu.Lock()
	tr.open[t] = struct{}{}
	tr.mu.Unlock()
}

// called tells of a call that has ended, before anyone hears of its answer.
func (tr *tracing) called(t *task, ans answered) {
	if tr == nil {
		return
	}
	_, span := tr.tracer.Start(trace.ContextWithSpan(tr.base, t.span), topclient.Method,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(ans.at), trace.WithAttributes(spanAttempt.Int(t.attempts+1)))
	if ans.err != nil {
		span.SetAttributes(spanAbout.String(ans.err.About.String()), spanCode.String(ans.err.Label()), spanInDoubt.Bool(ans.err.MayHaveGranted))
		span.SetStatus(codes.Error, ans.err.Label())
	}
	span.End(trace.WithTimestamp(ans.at.Add(ans.took)))
}

// publish begins the span of a record that is sent for an end. The record carries
// it on in place of the context that it had from the request.
func (tr *tracing) publish(ctx context.Context, e *end, r *kgo.Record) {
	if tr == nil {
		return
	}
	ctx, e.sending = tr.tracer.Start(trace.ContextWithSpan(ctx, e.task.span), "send "+r.Topic,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(spanSystem.String("kafka"), spanTopic.String(r.Topic)))
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool {
		return h.Key == headerTraceParent || h.Key == headerTraceState
	})
	propagation.TraceContext{}.Inject(ctx, carrier{r})
}

// published ends the span of each record of a transaction that has ended, and
// of the requests as well where it has committed.
func (tr *tracing) published(ends []*end, committed bool) {
	if tr == nil {
		return
	}
	for _, e := range ends {
		if e.sending == nil {
			continue // the transaction failed before it came to this one
		}
		if committed {
			e.tell(e.task.span)
			tr.end(e.task)
		} else {
			e.sending.SetStatus(codes.Error, "the transaction did not commit")
		}
		e.sending.End()
		e.sending = nil
	}
}

// tell says in the span of a request how it ended.
func (e *end) tell(span trace.Span) {
	t := e.task
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(spanRequestID.String(t.request.RequestID), spanAttempts.Int(t.attempts), spanInDoubt.Bool(t.inDoubt), spanEnd.String(e.kind.String()))
	switch e.kind {
	case endFailed:
		span.SetAttributes(spanReason.String(string(e.failure)))
	case endDeadLetter:
		span.SetAttributes(spanReason.String(string(e.reason)))
		span.SetStatus(codes.Error, "dead letter")
	case endGranted, endParked:
	}
}

func (tr *tracing) end(t *task) {
	t.span.End()
	tr.mu.Lock()
	delete(tr.open, t)
	tr.mu.Unlock()
}

// moved ends the spans of the requests that another replica, or another session,
// takes over: those that are left of some assignments.
func (tr *tracing) moved(of func(assignment) bool) {
	if tr == nil {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for t := range tr.open {
		if of(t.assignment) {
			t.span.SetAttributes(spanEnd.String("moved"))
			t.span.End()
			delete(tr.open, t)
		}
	}
}

// carrier reads and writes trace context in a record's headers.
type carrier struct{ *kgo.Record }

func (c carrier) Get(key string) string { return headerText(c.Record, key) }

func (c carrier) Set(key, value string) {
	c.Headers = append(c.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
}

func (c carrier) Keys() []string {
	keys := make([]string, len(c.Headers))
	for i, h := range c.Headers {
		keys[i] = h.Key
	}
	return keys
}
