//go:build integration || chaos || apart

package proof_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

const (
	// settleLimit bounds how long all that was sent takes to be ended, on a
	// loaded machine and after a kill.
	settleLimit = 90 * time.Second

	lookEvery = 50 * time.Millisecond
)

// system is what one test has to itself on the package's broker and registry:
// topics, a group, and the settings of the program's commands. Nothing runs
// until it is started.
type system struct {
	t        testing.TB
	brokers  []string
	registry string // as the test reaches it; settings may lead over a relay
	topics   proof.Topics
	group    string
	gateway  *gateway
	settings map[string]string // by key; they become environment variables

	codec    *schemas.Codec // of the topics, once they are created
	schemas  *schemas.Registry
	producer *kgo.Client
}

// newSystem names everything after the test. Sessions and transactions time out
// as fast as the broker lets them.
func newSystem(t testing.TB, brokers []string, g *gateway) *system {
	t.Helper()
	name := strings.NewReplacer("/", ".", " ", "-").Replace(t.Name()) + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
	s := &system{t: t, brokers: brokers, registry: startRegistry(t), group: name, gateway: g, topics: proof.Topics{
		Inputs: []string{name + ".store", name + ".loyalty"}, Retry: name + ".retry",
		Granted: name + ".granted", Failed: name + ".failed", DeadLetter: name + ".dead-letter",
	}}
	s.settings = map[string]string{
		"kafka.brokers": strings.Join(brokers, ","), "kafka.group": name,
		"kafka.session_timeout": "3s", "kafka.heartbeat_interval": "500ms", "kafka.transaction_timeout": "5s",
		"topics.store": s.topics.Inputs[0], "topics.loyalty": s.topics.Inputs[1], "topics.retry": s.topics.Retry,
		"topics.granted": s.topics.Granted, "topics.failed": s.topics.Failed, "topics.dead_letter": s.topics.DeadLetter,
		"registry.url": s.registry,
		"gateway.url":  g.url + "/router/rest", "gateway.app_key": demoApp.AppKey,
		"gateway.app_secret": demoApp.AppSecret.Reveal(), "gateway.session": demoApp.Session.Reveal(),
		"admin.listen": "127.0.0.1:0", "log.format": "json",
	}
	var err error
	s.schemas, err = schemas.NewRegistry(schemas.RegistryConfig{URL: s.registry})
	require.NoError(t, err)
	t.Cleanup(s.schemas.Close)
	s.codec = schemas.NewCodec(s.schemas, schemas.Rules{})
	s.producer, err = kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(t, err)
	t.Cleanup(s.producer.Close)
	return s
}

func (s *system) options() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(s.brokers...)} }

// environment turns settings into the program's variables; more win over the
// system's own.
func (s *system) environment(more map[string]string) []string {
	all := maps.Clone(s.settings)
	maps.Copy(all, more)
	var env []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		env = append(env, "COUPONGRANT_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+all[key])
	}
	return env
}

// start starts one of the program's commands.
func (s *system) start(args ...string) *process {
	s.t.Helper()
	return runProcess(s.t, s.environment(nil), buildBinary(s.t), args...)
}

// do runs a command that must succeed, and returns what it printed.
func (s *system) do(args ...string) string {
	s.t.Helper()
	p := s.start(args...)
	require.Zero(s.t, p.wait(s.t, 2*settleLimit), "%v: %s", args, p.stderr.String()) // audit itself may wait for settleLimit
	return p.stdout.String()
}

// createTopics as a user does, and learns the schemas.
func (s *system) createTopics(partitions int) {
	s.t.Helper()
	s.do("topics", "create", "--partitions", strconv.Itoa(partitions))
	own := schemas.Topics{Inputs: s.topics.Inputs, Granted: s.topics.Granted, Failed: s.topics.Failed}
	require.NoError(s.t, s.schemas.FetchOwn(s.t.Context(), own))
	s.t.Cleanup(func() {
		admin := adminClient(s.t, s.brokers)
		_, _ = admin.DeleteTopics(context.Background(), slices.Concat(s.topics.Inputs,
			[]string{s.topics.Retry, s.topics.Granted, s.topics.Failed, s.topics.DeadLetter})...)
	})
}

// send writes requests to partition 0 of an input topic and returns once they
// are there.
func (s *system) send(topic, key string, requests ...schemas.Request) {
	s.t.Helper()
	records := make([]*kgo.Record, len(requests))
	for i, r := range requests {
		value, err := s.codec.EncodeRequest(topic, r)
		require.NoError(s.t, err)
		records[i] = &kgo.Record{Topic: topic, Value: value}
		if key != "" {
			records[i].Key = []byte(key)
		}
	}
	require.NoError(s.t, s.producer.ProduceSync(s.t.Context(), records...).FirstErr())
}

// someRequests are n different ones; edit may change each.
func someRequests(prefix string, n int, edit func(*schemas.Request)) []schemas.Request {
	requests := make([]schemas.Request, n)
	for i := range requests {
		requests[i] = schemas.Request{
			RequestID: prefix + "-" + strconv.Itoa(i), OccurredAt: time.Now().UTC().Truncate(time.Millisecond), BizCode: "biz",
			OpenID: schemas.NewOpenID("AAF-" + prefix + "-" + strconv.Itoa(i)), Channel: "pos", CouponCode: "c0ffee", CouponType: 276,
		}
		if edit != nil {
			edit(&requests[i])
		}
	}
	return requests
}

// report is one look at the topics and the gateway's ledger.
func (s *system) report() proof.Report {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), settleLimit)
	defer cancel()
	checker, err := proof.Read(ctx, &proof.Source{
		Options: s.options(), Topics: s.topics, Group: s.group, Codec: s.codec, Registry: s.schemas,
	})
	require.NoError(s.t, err)
	require.NoError(s.t, proof.ReadLedger(ctx, &http.Client{}, s.gateway.url, checker))
	return checker.Report()
}

// balanced looks until everything is ended, and requires that nothing is
// violated and n requests are there.
func (s *system) balanced(n int) proof.Report {
	s.t.Helper()
	var last proof.Report
	s.eventually("all must be ended", func() bool {
		last = s.report()
		require.Empty(s.t, last.Violations)
		return last.Verdict() == proof.Balanced && last.Requests >= int64(n)
	})
	require.EqualValues(s.t, n, last.Requests)
	return last
}

// eventually waits for a condition.
func (s *system) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.NoError(s.t, within(settleLimit, what, condition))
}
