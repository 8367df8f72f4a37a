package processor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace/noop"
)

// traceOne does with a request what is done for traces on its way.
func traceOne(ctx context.Context, tr *tracing, t *task, e *end, r *kgo.Record, ends []*end) {
	tr.begin(t)
	tr.called(t, answered{task: t, at: time.Time{}, took: time.Second})
	tr.publish(ctx, e, r)
	tr.published(ends, true)
}

func traceable() (*task, *end, *kgo.Record) {
	t := &task{
		assignment: assignment{partition: partition{topic: "store"}},
		record:     &kgo.Record{Headers: []kgo.RecordHeader{{Key: headerTraceParent, Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}},
	}
	return t, &end{task: t}, &kgo.Record{Topic: "granted"}
}

// Traces are off by default: then they must cost nothing on the way of a record.
func TestNoTracesCostNothing(t *testing.T) {
	tk, e, r := traceable()
	ends := []*end{e}
	require.Nil(t, newTracing(t.Context(), nil))
	require.Zero(t, testing.AllocsPerRun(100, func() { traceOne(t.Context(), nil, tk, e, r, ends) }))
	on := newTracing(t.Context(), noop.NewTracerProvider().Tracer(""))
	require.NotZero(t, testing.AllocsPerRun(100, func() { traceOne(t.Context(), on, tk, e, r, ends) }), "this can see what traces cost")
}

func BenchmarkNoTraces(b *testing.B) {
	t, e, r := traceable()
	ends := []*end{e}
	b.ReportAllocs()
	for b.Loop() {
		traceOne(b.Context(), nil, t, e, r, ends)
	}
}
