//go:build integration

package processor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// The embedded broker ends a transaction before it answers; real brokers answer
// first and write the markers after. What depends on that is tested here, with
// the engine in this process and brokers that TestEngineOnRealKafka of the proof
// package has started.

// wrongEnds is how many applied commits are answered with an error. One lookup
// may come after the markers by luck; this many do not.
const wrongEnds = 40

// wrongly answers every applied commit that has published something with one of the two codes after which
// kgo reports an abort: UNKNOWN_SERVER_ERROR, which it checks by a request that
// waits for the markers, and TRANSACTION_ABORTABLE, which it takes at its word.
func wrongly(l *line) {
	const unknownServerError, transactionAbortable = 0xffff, 120
	var published atomic.Bool
	l.answer = func(key kmsg.Key, frame []byte) bool {
		if key == kmsg.Produce {
			published.Store(true)
		}
		if key != kmsg.EndTxn || !published.Swap(false) || l.hits.Load() == wrongEnds {
			return true
		}
		code := uint16(unknownServerError)
		if l.hits.Add(1)%2 == 0 {
			code = transactionAbortable
		}
		const tagsAndThrottle = 1 + 4
		binary.BigEndian.PutUint16(frame[tagsAndThrottle:], code)
		return true
	}
}

func TestUnknownCommitIsLookedUpOnRealKafka(t *testing.T) {
	b := newBrokers(t)
	lost := newLine((&net.Dialer{}).DialContext)
	wrongly(lost)
	p, stop := b.start(lost)

	published := p.metrics.outcomes.WithLabelValues("granted")
	sent := 0
	for lost.hits.Load() < wrongEnds {
		require.Less(t, sent, 100*wrongEnds, "only %d commits were answered with an error", lost.hits.Load())
		b.produce(sent)
		sent++
		require.Eventually(t, func() bool { return testutil.ToFloat64(published) >= float64(sent) },
			time.Minute, time.Millisecond, "request %d has no end", sent)
	}
	require.NoError(t, stop())

	ends := b.ends()
	for source, count := range ends {
		require.Equal(t, 1, count, "ends of %s", source)
	}
	require.Len(t, ends, sent)
	require.EqualValues(t, wrongEnds, testutil.ToFloat64(p.metrics.transactions.WithLabelValues("unknown")),
		"each must have been found to be committed")
}

// Without RequireStable a lookup can come before the markers, and then the batch
// goes out twice.
func TestUnstableProofIsSeenOnRealKafka(t *testing.T) {
	newBrokers(t)
	const test = "TestUnknownCommitIsLookedUpOnRealKafka"

	out, err := runPatched(t, "unstable-proof", "integration", test)

	require.Error(t, err, "%s passed with the bug planted:\n%s", test, out)
	require.Regexp(t, regexp.MustCompile(`(?m)^\s*--- FAIL: `+test), out, "it must fail by itself, not to build")
	require.Contains(t, out, "ends of ", "it must fail for a second end")
}

// brokers are real ones, with topics of this test, and a registry in this process.
type brokers struct {
	t        *testing.T
	addrs    []string
	cfg      Config
	registry *schemas.Registry
	codec    *schemas.Codec
	client   *kgo.Client // to produce requests
}

// registryHandler is a registry without a socket.
type registryHandler struct{ http.Handler }

func (h registryHandler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func newBrokers(t *testing.T) *brokers {
	t.Helper()
	addrs := os.Getenv("COUPONGRANT_TEST_BROKERS")
	require.NotEmpty(t, addrs, "COUPONGRANT_TEST_BROKERS names no brokers; `make kafka-test` starts some")
	name := t.Name() + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
	b := &brokers{t: t, addrs: strings.Split(addrs, ","), cfg: DefaultConfig()}
	b.cfg.Group, b.cfg.TransactionalID = name, name
	b.cfg.SessionTimeout, b.cfg.HeartbeatInterval = 6*time.Second, time.Second
	b.cfg.Topics = Topics{
		Store: name + ".store", Loyalty: name + ".loyalty", Granted: name + ".granted",
		Failed: name + ".failed", DeadLetter: name + ".dead", Retry: name + ".retry",
	}
	var err error
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.addrs...))
	require.NoError(t, err)
	t.Cleanup(b.client.Close)
	admin := kadm.NewClient(b.client)
	created, err := admin.CreateTopics(t.Context(), 1, 1, nil, b.cfg.Topics.All()...)
	require.NoError(t, err)
	require.NoError(t, created.Error())
	t.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), b.cfg.Topics.All()...) })
	b.register()
	return b
}

func (b *brokers) register() {
	b.t.Helper()
	var err error
	b.registry, err = schemas.NewRegistry(schemas.RegistryConfig{
		URL: "http://registry", Transport: registryHandler{srfake.NewRegistry().Handler()},
	})
	require.NoError(b.t, err)
	topics := b.cfg.Topics
	own := schemas.Topics{Inputs: []string{topics.Store, topics.Loyalty}, Granted: topics.Granted, Failed: topics.Failed}
	require.NoError(b.t, b.registry.Register(b.t.Context(), own))
	require.NoError(b.t, b.registry.FetchOwn(b.t.Context(), own))
	b.codec = schemas.NewCodec(b.registry, schemas.Rules{})
}

// grantsAll is a gateway that grants every call at once.
type grantsAll struct{}

func (grantsAll) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	const body = `{"tmall_nrt_coupon_send_response":{"model":{"coupon_instance_id":7},"request_id":"r"}}`
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// start runs the engine over a line until stop is called, or the test ends.
func (b *brokers) start(way *line) (p *Processor, stop func() error) {
	b.t.Helper()
	client, err := topclient.New(topclient.Config{URL: "http://gateway/router/rest", SignMethod: "hmac-sha256", Timeout: b.cfg.CallTimeout}, grantsAll{})
	require.NoError(b.t, err)
	var log bytes.Buffer
	p, err = New(b.cfg, Deps{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry(),
		Registry: b.registry, Codec: b.codec, Client: client,
		Credentials: topclient.Static(topclient.Credentials{AppKey: "app", AppSecret: topclient.NewSecret("secret"), Session: topclient.NewSecret("session")}),
		Breaker:     breaker.New(breaker.DefaultConfig(), nil),
		Kafka:       []kgo.Opt{kgo.SeedBrokers(b.addrs...), kgo.Dialer(way.DialContext)},
	})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	b.t.Cleanup(func() {
		_ = stop()
		if b.t.Failed() {
			b.t.Logf("the engine's log:\n%s", log.String())
		}
	})
	return p, stop
}

// produce sends request number n.
func (b *brokers) produce(n int) {
	b.t.Helper()
	value, err := b.codec.EncodeRequest(b.cfg.Topics.Store, schemas.Request{
		RequestID: fmt.Sprint("id-", n), OccurredAt: time.Now().UTC().Truncate(time.Millisecond), BizCode: "biz",
		OpenID: schemas.NewOpenID("member"), Channel: "app", CouponCode: "c0ffee", CouponType: 247,
	})
	require.NoError(b.t, err)
	record := &kgo.Record{Topic: b.cfg.Topics.Store, Value: value}
	require.NoError(b.t, b.client.ProduceSync(b.t.Context(), record).FirstErr())
}

// ends counts the grants of each source that are committed by now: those before
// a record of our own.
func (b *brokers) ends() map[string]int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	last := &kgo.Record{Topic: b.cfg.Topics.Granted}
	require.NoError(b.t, b.client.ProduceSync(ctx, last).FirstErr())
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(b.cfg.Topics.Granted))
	require.NoError(b.t, err)
	defer client.Close()
	found := map[string]int{}
	for reached := int64(0); reached < last.Offset; {
		fetches := client.PollFetches(ctx)
		require.NoError(b.t, fetches.Err(), "read up to %d of %d", reached, last.Offset)
		fetches.EachRecord(func(r *kgo.Record) {
			reached = r.Offset
			for _, h := range r.Headers {
				if h.Key == headerSource {
					found[string(h.Value)]++
				}
			}
		})
	}
	return found
}
