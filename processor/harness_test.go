//go:build synctests

package processor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// shop is everything around the engine, inside one synctest bubble: an embedded
// broker on a virtual network, a registry and a gateway without sockets.
type shop struct {
	t        *testing.T
	network  *kfake.VirtualNetwork
	kafka    *kfake.Cluster
	registry http.RoundTripper
	gateway  http.RoundTripper
	topics   Topics
	codec    *schemas.Codec
	client   *kgo.Client
	breaker  breaker.Config
	tracer   trace.Tracer // nil: no traces

	credentials *topclient.CredentialSource
}

// handlerTransport answers requests from a handler, without a socket.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func newShop(t *testing.T, partitions int32, gateway http.RoundTripper, with ...kfake.Opt) *shop {
	t.Helper()
	s := &shop{t: t, network: &kfake.VirtualNetwork{}, gateway: gateway, topics: DefaultConfig().Topics, breaker: breaker.DefaultConfig()}
	s.credentials = topclient.Static(topclient.Credentials{AppKey: "app", AppSecret: topclient.NewSecret("secret"), Session: topclient.NewSecret("session")})
	cluster, err := kfake.NewCluster(append(with, kfake.ListenFn(s.network.Listen), kfake.Ports(9092, 9093),
		kfake.SeedTopics(partitions, s.topics.All()...), kfake.GroupMinSessionTimeout(time.Second))...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	s.kafka = cluster
	registry := srfake.NewRegistry()
	s.registry = handlerTransport{registry.Handler()}
	reg := s.newRegistry()
	own := schemas.Topics{Inputs: []string{s.topics.Store, s.topics.Loyalty}, Granted: s.topics.Granted, Failed: s.topics.Failed}
	require.NoError(t, reg.Register(t.Context(), own))
	require.NoError(t, reg.FetchOwn(t.Context(), own))
	s.codec = schemas.NewCodec(reg, schemas.Rules{})
	s.client, err = kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	return s
}

func (s *shop) newRegistry() *schemas.Registry {
	reg, err := schemas.NewRegistry(schemas.RegistryConfig{URL: "http://registry", Transport: s.registry})
	require.NoError(s.t, err)
	return reg
}

func (s *shop) options() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.Dialer(s.network.DialContext)}
}

// config is short on patience: time is fake, but a test should not need much.
func (s *shop) config(replica string) Config {
	cfg := DefaultConfig()
	cfg.TransactionalID = replica
	cfg.SessionTimeout, cfg.HeartbeatInterval = 6*time.Second, time.Second
	return cfg
}

// replica is one running Processor.
type replica struct {
	*Processor
	stop    context.CancelFunc
	done    chan error
	line    *line
	scraped *prometheus.Registry
	log     *transcript
}

// start runs a Processor until the test ends, or stopped or killed is called.
// with may prepare its line before it is used.
func (s *shop) start(cfg Config, with ...func(*line)) *replica {
	s.t.Helper()
	way := newLine(s.network.DialContext)
	for _, prepare := range with {
		prepare(way)
	}
	reg := s.newRegistry()
	client, err := topclient.New(topclient.Config{URL: "http://gateway/router/rest", SignMethod: "hmac-sha256", Timeout: cfg.CallTimeout}, s.gateway)
	require.NoError(s.t, err)
	log := &transcript{t: s.t}
	metrics := prometheus.NewRegistry()
	p, err := New(cfg, Deps{
		Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: metrics, Registry: reg,
		Codec:  schemas.NewCodec(reg, schemas.Rules{}),
		Client: client, Credentials: s.credentials,
		Breaker: breaker.New(s.breaker, nil), Tracer: s.tracer,
		Kafka: []kgo.Opt{kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.Dialer(way.DialContext), kgo.WithHooks(way.hooks...)},
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{Processor: p, stop: cancel, done: make(chan error, 1), line: way, scraped: metrics, log: log}
	go func() { r.done <- p.Run(ctx) }()
	s.t.Cleanup(func() { _ = r.stopped() })
	return r
}

// stopped stops the replica in good order.
func (r *replica) stopped() error {
	r.stop()
	err := <-r.done
	r.done <- nil
	return err
}

// killed ends the replica the way kill -9 does, as far as anyone else can see:
// no more byte of it reaches a broker.
func (r *replica) killed() {
	r.line.cut()
	_ = r.stopped()
}

// transcript is the log of a replica, kept and shown.
type transcript struct {
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("%s", bytes.TrimSpace(b))
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (s *shop) request(id string) schemas.Request {
	return schemas.Request{
		RequestID: id, OccurredAt: time.Now().UTC().Truncate(time.Millisecond), BizCode: "YXX", OpenID: schemas.NewOpenID("open-" + id),
		Channel: "app", CouponCode: "coupon-1", CouponType: 247,
		Trigger: &schemas.Trigger{Kind: "store-checkout"},
	}
}

// produce writes requests to a partition of the store topic; key nil is none.
func (s *shop) produce(partition int32, key []byte, requests ...schemas.Request) {
	s.t.Helper()
	s.produceTo(s.topics.Store, partition, key, requests...)
}

func (s *shop) produceTo(topic string, partition int32, key []byte, requests ...schemas.Request) {
	s.t.Helper()
	var records []*kgo.Record
	for _, r := range requests {
		value, err := s.codec.EncodeRequest(topic, r)
		require.NoError(s.t, err)
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Key: key, Value: value})
	}
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), records...).FirstErr())
}

// parked is a record of the retry topic, as whoever parks a request writes it.
func (s *shop) parked(partition int32, q schemas.Request, source string, headers ...kgo.RecordHeader) *kgo.Record {
	s.t.Helper()
	value, err := s.codec.EncodeRequest(s.topics.Store, q)
	require.NoError(s.t, err)
	return &kgo.Record{Topic: s.topics.Retry, Partition: partition, Value: value, Headers: append(headers, kgo.RecordHeader{Key: headerSource, Value: []byte(source)})}
}

// ids counts the ends of each source record.
func ids(records []*kgo.Record) map[string]int {
	counts := map[string]int{}
	for _, r := range records {
		for _, h := range r.Headers {
			if h.Key == headerSource {
				counts[string(h.Value)]++
			}
		}
	}
	return counts
}

// onceEach requires n sources with one end each.
func onceEach(t *testing.T, n int, records []*kgo.Record) {
	t.Helper()
	counts := ids(records)
	for source, count := range counts {
		require.Equal(t, 1, count, "ends of %s", source)
	}
	require.Equal(t, n, len(counts), "records with an end")
}

// readerWait is short: kgo hands a fetch the partitions that are ready when it
// goes out, and one that has caught only empty ones waits for this long (by
// default 5 s) before the others are asked for. It looks like a stall of the
// engine, and is one of the reader.
const readerWait = 50 * time.Millisecond

// allEnds reads the result, retry and dead-letter topics to their end: with offsets that
// are known, since a kgo client that is closed while it asks for some fetches once more,
// and leaves a goroutine behind.
func (s *shop) allEnds() []*kgo.Record {
	s.t.Helper()
	topics := []string{s.topics.Granted, s.topics.Failed, s.topics.DeadLetter, s.topics.Retry}
	ends, err := kadm.NewClient(s.client).ListEndOffsets(s.t.Context(), topics...)
	require.NoError(s.t, err)
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().At(0)
		}
	})
	client, err := kgo.NewClient(append(s.options(), kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(readerWait), kgo.KeepControlRecords())...)
	require.NoError(s.t, err)
	defer client.Close()
	var got []*kgo.Record
	reached := map[partition]int64{}
	done := func() bool {
		all := true
		ends.Each(func(o kadm.ListedOffset) {
			all = all && reached[partition{o.Topic, o.Partition}] >= o.Offset
		})
		return all
	}
	for !done() {
		client.PollFetches(s.t.Context()).EachRecord(func(r *kgo.Record) {
			reached[partition{r.Topic, r.Partition}] = r.Offset + 1
			if !r.Attrs.IsControl() {
				got = append(got, r)
			}
		})
	}
	return got
}

// settled waits until nothing of the group lags, n requests being taken for
// done when they have their ends.
func (s *shop) settled(n int) []*kgo.Record {
	s.t.Helper()
	for range 600 {
		if got := s.allEnds(); len(got) >= n {
			return got
		}
		time.Sleep(time.Second)
	}
	s.t.Fatalf("%d ends came within ten minutes, %d wanted", len(s.allEnds()), n)
	return nil
}

// lag is how many offsets of the inputs are not committed.
func (s *shop) lag(group string) int64 {
	lags, err := kadm.NewClient(s.client).Lag(s.t.Context(), group)
	require.NoError(s.t, err)
	return lags[group].Lag.Total()
}

// always is a gateway that does the same with every call.
type always func(r *http.Request) (*http.Response, error)

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	return a(r)
}

func granted(id int64) *http.Response {
	body := fmt.Sprintf(`{"tmall_nrt_coupon_send_response":{"model":{"coupon_instance_id":%d},"request_id":"r"}}`, id)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body)), ContentLength: int64(len(body))}
}

// position is what the group has committed of a partition.
func (s *shop) position(group string, p partition) (int64, metadata) {
	s.t.Helper()
	offsets, err := kadm.NewClient(s.client).FetchOffsets(s.t.Context(), group)
	require.NoError(s.t, err)
	o, ok := offsets.Lookup(p.topic, p.number)
	if !ok {
		return 0, metadata{}
	}
	m, err := decodeMetadata(o.At, o.LeaderEpoch, o.Metadata)
	require.NoError(s.t, err)
	return o.At, m
}

func (s *shop) produceRaw(partition int32, value []byte) {
	s.t.Helper()
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Store, Partition: partition, Value: value}).FirstErr())
}

// commit sets the group's offset the way something else would.
func (s *shop) commit(p partition, offset int64, meta string) {
	s.t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: p.topic, Partition: p.number, At: offset, LeaderEpoch: -1, Metadata: meta})
	_, err := kadm.NewClient(s.client).CommitOffsets(s.t.Context(), "coupongrant", offsets)
	require.NoError(s.t, err)
}

// on returns the records of one topic.
func on(topic string, records []*kgo.Record) []*kgo.Record {
	var some []*kgo.Record
	for _, r := range records {
		if r.Topic == topic {
			some = append(some, r)
		}
	}
	return some
}

func (s *shop) setTopic(topic, key, value string) error {
	_, err := kadm.NewClient(s.client).AlterTopicConfigs(s.t.Context(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	return err
}
