//go:build synctests

package processor

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/coupongrant/coupongrant/topclient"
)

const (
	callersTrace  = "0af7651916cd43dd8448eb211c80319c"
	callersSpan   = "b7ad6b7169203331"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
	callersState  = "till=17"
)

// produceTraced writes a request that its producer traces.
func (s *shop) produceTraced(id, traceparent string) {
	s.t.Helper()
	value, err := s.codec.EncodeRequest(s.topics.Store, s.request(id))
	require.NoError(s.t, err)
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value, Headers: []kgo.RecordHeader{
		{Key: headerTraceParent, Value: []byte(traceparent)}, {Key: headerTraceState, Value: []byte(callersState)},
	}}).FirstErr())
}

// doubtfulAtFirst is a gateway whose first answers are of codes that nobody knows.
func doubtfulAtFirst(n int) always {
	calls := 0
	return func(*http.Request) (*http.Response, error) {
		if calls++; calls <= n {
			const body = `{"error_response":{"code":9999,"msg":"of no page","request_id":"r"}}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
		return granted(1), nil
	}
}

// One trace spans the request, each call, the parking and the outcome, whatever
// became of the request in between.
func TestOneTraceSpansRequestCallsParkingAndOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
		cfg := DefaultConfig()
		s := newShop(t, 1, doubtfulAtFirst(cfg.Retry.DoubtfulAttempts))
		s.tracer = provider.Tracer("test")
		r := s.start(s.config("r1"))
		s.produceTraced("traced", callersParent)
		ends := s.settled(2) // it is parked, then granted
		s.produce(0, nil, s.request("not-traced"))
		s.settled(3)
		require.NoError(t, r.stopped())

		byID := map[string]sdktrace.ReadOnlySpan{}
		count := map[string]int{}
		for _, span := range spans.Ended() {
			require.Equal(t, callersTrace, span.SpanContext().TraceID().String(), "what is not sampled is not told of")
			byID[span.SpanContext().SpanID().String()] = span
			count[span.Name()]++
			require.NotContains(t, told(span), "open-", "no span holds an open_id")
		}
		require.Equal(t, map[string]int{
			"process " + s.topics.Store: 1, "process " + s.topics.Retry: 1,
			"send " + s.topics.Retry: 1, "send " + s.topics.Granted: 1, topclient.Method: cfg.Retry.DoubtfulAttempts + 1,
		}, count)
		require.Len(t, spans.Started(), len(spans.Ended()), "each span that began has ended")

		var way []string // from the outcome back to the producer
		at := headerText(on(s.topics.Granted, traced(ends))[0], headerTraceParent)
		require.Equal(t, callersState, headerText(on(s.topics.Granted, traced(ends))[0], headerTraceState))
		for id := strings.Split(at, "-")[2]; id != callersSpan; id = byID[id].Parent().SpanID().String() {
			require.Contains(t, byID, id, "after %v", way)
			way = append(way, byID[id].Name())
		}
		require.Equal(t, []string{"send " + s.topics.Granted, "process " + s.topics.Retry, "send " + s.topics.Retry, "process " + s.topics.Store}, way)
		for _, span := range byID {
			if span.Name() == topclient.Method {
				require.Contains(t, byID[span.Parent().SpanID().String()].Name(), "process ")
			}
		}
	})
}

// told is everything that a span tells.
func told(span sdktrace.ReadOnlySpan) string {
	return fmt.Sprintln(span.Name(), span.Attributes(), span.Events(), span.Links(), span.Status(), span.Resource())
}

// traced are the records of the caller's trace.
func traced(records []*kgo.Record) []*kgo.Record {
	return some(records, func(r *kgo.Record) bool { return strings.Contains(headerText(r, headerTraceParent), callersTrace) })
}

// Without a tracer the context goes from the request to its outcome as it came.
func TestTraceContextPassesThroughWhereNobodyTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"))
		s.produceTraced("traced", callersParent)
		outcome := s.settled(1)[0]
		require.Equal(t, callersParent, headerText(outcome, headerTraceParent))
		require.Equal(t, callersState, headerText(outcome, headerTraceState))
		require.NoError(t, r.stopped())
	})
}

// A request that leaves with its partition has a span that says so.
func TestSpanOfARequestThatMovesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }))
		s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
		cfg := s.config("r1")
		cfg.CallTimeout = 2 * time.Second
		r := s.start(cfg)
		s.produceTraced("traced", callersParent)
		time.Sleep(time.Second)
		require.NoError(t, r.stopped())
		require.Len(t, spans.Started(), len(spans.Ended()))
	})
}

// A partition that leaves for another replica takes its requests along: their spans
// here end then, not when the session does.
func TestSpansEndWithTheirPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }))
		s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
		cfg := s.config("r1")
		cfg.CallTimeout = 2 * time.Second
		first := s.start(cfg)
		s.spread("held-up", 4, 2)
		time.Sleep(5 * time.Second)
		require.Zero(t, movedSpans(spans))

		cfg.TransactionalID = "r2"
		second := s.start(cfg)
		time.Sleep(time.Minute)
		require.Positive(t, movedSpans(spans), "nobody has stopped yet")
		require.NoError(t, first.stopped())
		require.NoError(t, second.stopped())
	})
}

func movedSpans(spans *tracetest.SpanRecorder) (n int) {
	for _, span := range spans.Ended() {
		if slices.Contains(span.Attributes(), spanEnd.String("moved")) {
			n++
		}
	}
	return n
}
