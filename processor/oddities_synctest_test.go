//go:build synctests

package processor

import (
	"encoding/binary"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Garbage may name more schemas than the registry's answers are remembered of. Each
// still becomes a dead letter, and what follows is called.
func TestManyUnknownSchemasHoldNobodyUp(t *testing.T) {
	const garbage = 3000
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				s := newShop(t, 1, takes(time.Millisecond, &calls))
				s.registry = &watchedRegistry{RoundTripper: s.registry, latency: latency}
				r := s.start(s.config("r1"))
				time.Sleep(5 * time.Second)
				var records []*kgo.Record
				for i := range garbage {
					records = append(records, &kgo.Record{Topic: s.topics.Store, Value: written(100_000 + i)})
				}
				require.NoError(t, s.client.ProduceSync(t.Context(), records...).FirstErr())
				s.produce(0, nil, s.request("good"))
				time.Sleep(3*time.Minute + 4*garbage*latency)
				ends := s.allEnds()
				require.Len(t, on(s.topics.DeadLetter, ends), garbage)
				require.Len(t, on(s.topics.Granted, ends), 1)
				time.Sleep(2 * time.Minute)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// However many records wait for a schema, and come meanwhile, a registry in trouble is
// asked for it once a second.
func TestRegistryInTroubleIsNotAskedForEachRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id, seconds = 100_000, 10
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		registry := &watchedRegistry{RoundTripper: withoutAnswers{s.registry, id, id + 1}}
		s.registry = registry
		r := s.start(s.config("r1"))
		time.Sleep(5 * time.Second)
		before := registry.asked.Load()
		for range 50 * seconds {
			s.produceRaw(0, written(id))
			time.Sleep(20 * time.Millisecond)
		}
		require.InDelta(t, seconds, registry.asked.Load()-before, 2)
		require.Contains(t, reasons(r.Health().Holds, holdRegistry), "check registry.url")
		require.NoError(t, r.stopped())
	})
}

// written is a value that says to be written with a schema.
func written(schema int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(schema)), 2, 'x') //nolint:gosec // ids of tests
}

// watchedRegistry counts what it is asked, and takes its time.
type watchedRegistry struct {
	http.RoundTripper
	latency time.Duration
	asked   atomic.Int64
}

func (w *watchedRegistry) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked.Add(1)
	time.Sleep(w.latency)
	return w.RoundTripper.RoundTrip(r)
}

// withoutAnswers is a registry that has no answer about the ids of a range.
type withoutAnswers struct {
	http.RoundTripper
	from, to int
}

func (w withoutAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	if id, err := strconv.Atoi(path.Base(r.URL.Path)); err == nil && id >= w.from && id < w.to {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return w.RoundTripper.RoundTrip(r)
}

// Schemas that the registry says nothing about, as many as are asked for at once, do
// not keep it from being asked for those behind them.
func TestSchemasWithoutAnAnswerHoldUpNoOthers(t *testing.T) {
	const first = 100_000
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		s.registry = withoutAnswers{s.registry, first, first + resolvedAtOnce}
		r := s.start(s.config("r1"))
		time.Sleep(5 * time.Second)
		var records []*kgo.Record
		for i := range resolvedAtOnce + 1 {
			value := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(first+i)), 2, 'x')
			records = append(records, &kgo.Record{Topic: s.topics.Store, Value: value})
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), records...).FirstErr())
		time.Sleep(5 * time.Minute)
		require.Len(t, on(s.topics.DeadLetter, s.allEnds()), 1)
		require.NoError(t, r.stopped())
	})
}

// Brokers may allow transactions less time than kafka.transaction_timeout: whoever
// looks at the hold need not find the log first.
func TestHoldSaysWhyTheSessionIsBuiltAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		s.produce(0, nil, s.request("waits"))
		fault := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.InvalidTransactionTimeout, Count: -1, TopLevel: true})
		r := s.start(s.config("r1"))
		said := false
		for range 40 {
			time.Sleep(1700 * time.Millisecond)
			said = said || strings.Contains(reasons(r.Health().Holds, holdStarting), kerr.InvalidTransactionTimeout.Message)
		}
		require.True(t, said)
		fault.Remove()
		time.Sleep(time.Minute)
		require.Empty(t, r.Health().Holds)
		require.Len(t, on(s.topics.Granted, s.allEnds()), 1)
		require.NoError(t, r.stopped())
	})
}
