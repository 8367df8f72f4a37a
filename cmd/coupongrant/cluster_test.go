package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// site is a broker and a registry for commands to work on.
type site struct {
	*testing.T
	kafka  *kfake.Cluster
	client *kgo.Client
	admin  *kadm.Client
	codec  *schemas.Codec
	reach  []string // flags
}

func newSite(t *testing.T, opts ...kfake.Opt) *site {
	t.Helper()
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	t.Cleanup(registry.Close)
	return newSiteAt(t, registry.URL, opts...)
}

func newSiteAt(t *testing.T, registryURL string, opts ...kfake.Opt) *site {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	ours, err := schemas.NewRegistry(schemas.RegistryConfig{URL: registryURL})
	require.NoError(t, err)
	t.Cleanup(ours.Close)
	return &site{
		T: t, kafka: cluster, client: client, admin: kadm.NewClient(client), codec: schemas.NewCodec(ours, schemas.Rules{}),
		reach: []string{"--kafka.brokers", cluster.ListenAddrs()[0], "--registry.url", registryURL},
	}
}

func (s *site) run(stdin string, args ...string) ran {
	s.Helper()
	return runWith(s.T, stdin, append(args, s.reach...)...)
}

// ready has topics and schemas.
func (s *site) ready() *site {
	s.Helper()
	got := s.run("", "topics", "create", "--partitions", "2")
	require.Equal(s, exitDone, got.code, got.stderr)
	return s
}

func (s *site) settingsOf(topic string) map[string]string {
	s.Helper()
	found, err := s.admin.DescribeTopicConfigs(s.Context(), topic)
	require.NoError(s, err)
	return settingsOf(found[0])
}

func (s *site) records(topic string) int64 {
	s.Helper()
	ends, err := s.admin.ListEndOffsets(s.Context(), topic)
	require.NoError(s, err)
	n := int64(0)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func TestTopicsCreate(t *testing.T) {
	s := newSite(t)
	got := s.run("", "topics", "create", "--retry.give_up_after", "240h")
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Equal(t, 6, strings.Count(got.stdout, "created"))
	require.Contains(t, got.stdout, "replication is 1 and not 3")
	require.Contains(t, got.stdout, "schemas registered")
	topics := defaultConfig().Processor.Topics
	input, err := strconv.Atoi(s.settingsOf(topics.Store)[keyMaxMessage])
	require.NoError(t, err)
	for _, topic := range []string{topics.Retry, topics.DeadLetter} {
		require.Equal(t, strconv.Itoa(input+64<<10), s.settingsOf(topic)[keyMaxMessage])
	}
	retention, err := strconv.ParseInt(s.settingsOf(topics.Retry)[keyRetention], 10, 64)
	require.NoError(t, err)
	require.Greater(t, time.Duration(retention)*time.Millisecond, 2*240*time.Hour)
	require.Equal(t, "delete", s.settingsOf(topics.Granted)[keyCleanup])
	details, err := s.admin.ListTopics(t.Context(), topics.Granted)
	require.NoError(t, err)
	require.Len(t, details[topics.Granted].Partitions, 12)
}

// Kafka has no larger number for it.
func TestTopicsCreateGivesNoMoreRoomThanThereIs(t *testing.T) {
	s := newSite(t).ready()
	topics, most := defaultConfig().Processor.Topics, "2147483647"
	altered, err := s.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: keyMaxMessage, Value: &most}}, topics.Loyalty)
	require.NoError(t, err)
	require.NoError(t, altered[0].Err)
	_, err = s.admin.DeleteTopic(t.Context(), topics.Retry)
	require.NoError(t, err)
	got := s.run("", "topics", "create", "--partitions", "2")
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Equal(t, most, s.settingsOf(topics.Retry)[keyMaxMessage])
}

func TestTopicsCreateAgainChangesNothingAndTellsDifferences(t *testing.T) {
	s := newSite(t).ready()
	same := s.run("", "topics", "create", "--partitions", "2")
	require.Equal(t, exitDone, same.code, same.stderr)
	require.Equal(t, 6, strings.Count(same.stdout, "exists"))
	require.NotContains(t, same.stdout, "differs")

	topics := defaultConfig().Processor.Topics
	before := s.settingsOf(topics.Retry)
	other := s.run("", "topics", "create", "--partitions", "3", "--retry.give_up_after", "1000h")
	require.Equal(t, exitDone, other.code, other.stderr)
	require.Equal(t, 6, strings.Count(other.stdout, "differs: partitions is 2, new it would be 3; not changed"))
	require.Equal(t, 1, strings.Count(other.stdout, "differs: retention.ms"))
	require.Equal(t, before, s.settingsOf(topics.Retry))
}

func TestProduceSendsLinesAndTellsTheOthers(t *testing.T) {
	s := newSite(t).ready()
	line := func(id, trigger string) string {
		return fmt.Sprintf(`{"request_id":%q,"biz_code":"b","open_id":"canaryOpenId","channel":"c","coupon_code":"u","coupon_type":247,"trigger":{"kind":%q}}`, id, trigger)
	}
	got := s.run(strings.Join([]string{
		line("a", "store-checkout"), "canaryOpenId", "", line("b", "loyalty-milestone"), line("", "x"), line("c", "later-kind"),
	}, "\n"), "produce")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stdout, "3 requests sent")
	require.Contains(t, got.stderr, "line 2: ")
	require.Contains(t, got.stderr, "line 5: request_id is missing")
	require.Contains(t, got.stderr, "2 line(s)")
	require.NotContains(t, got.stdout+got.stderr, "canaryOpenId")
	topics := defaultConfig().Processor.Topics
	require.EqualValues(t, 2, s.records(topics.Store))
	require.EqualValues(t, 1, s.records(topics.Loyalty))

	strict := s.run("x\n"+line("d", "store-checkout"), "produce", "--strict")
	require.Equal(t, exitFailed, strict.code)
	require.Contains(t, strict.stdout, "0 requests sent")

	fixed := s.run(line("e", "store-checkout"), "produce", "--topic", "loyalty")
	require.Equal(t, exitDone, fixed.code, fixed.stderr)
	require.EqualValues(t, 2, s.records(topics.Loyalty))

	named := s.run(line("f", "store-checkout"), "produce", "--topic", topics.Loyalty)
	require.Equal(t, exitDone, named.code, named.stderr)
	require.EqualValues(t, 3, s.records(topics.Loyalty))
}

func TestProduceCanBeInterruptedWhileItsInputIsSilent(t *testing.T) {
	s := newSite(t).ready()
	in, person := io.Pipe()
	defer func() { _ = person.Close() }() // ends the reading
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr output
	code := make(chan int, 1)
	go func() { code <- run(ctx, append([]string{"produce"}, s.reach...), in, &stdout, &stderr) }()
	_, err := io.WriteString(person, `{"request_id":"a","biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247}`+"\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.records(defaultConfig().Processor.Topics.Store) == 1 }, 30*time.Second, 10*time.Millisecond)
	interrupt()
	select {
	case got := <-code:
		require.Equal(t, exitFailed, got)
		require.Contains(t, stdout.String(), "1 requests sent")
		require.Contains(t, stderr.String(), "interrupted before it was done")
	case <-time.After(20 * time.Second):
		require.Fail(t, "it still waits for its input")
	}
}

func TestProduceSampleDataGoesToBothInputs(t *testing.T) {
	s := newSite(t).ready()
	got := s.run("", "produce", "--count", "60", "--seed", "7", "--rate", "5000")
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Contains(t, got.stdout, "60 requests sent")
	topics := defaultConfig().Processor.Topics
	store, loyalty := s.records(topics.Store), s.records(topics.Loyalty)
	require.EqualValues(t, 60, store+loyalty)
	require.Positive(t, store)
	require.Positive(t, loyalty)
}

func TestSampleDataSaysHowFarItIs(t *testing.T) {
	s := newSite(t).ready().learn()
	f := produceFlags{count: 15, rate: 20}
	sender := &sender{client: s.client, codec: s.codec, topics: defaultConfig().Processor.Topics, limit: f.limiter()}
	var seen output
	require.NoError(t, sender.sample(t.Context(), f, &statusLine{out: &seen, live: true}))
	require.Contains(t, seen.String(), " of 15 sent")
	require.NoError(t, sender.finish(t.Context()))
}

// However many are sent as fast as it goes, none is said to have happened later.
func TestSampleDataIsNotOfTheFuture(t *testing.T) {
	load := proof.NewLoad(sampleLoad(defaultConfig().Processor.Topics, produceFlags{}))
	for range 60_000 {
		load.Next()
	}
	require.False(t, load.Next().At.After(time.Now()))
}

// end writes an outcome or dead letter for a request record, as the processor
// would.
func (s *site) end(topic, source string, value []byte, headers ...kgo.RecordHeader) {
	s.Helper()
	headers = append(headers, kgo.RecordHeader{Key: "coupongrant-source", Value: []byte(source)})
	record := &kgo.Record{Topic: topic, Value: value, Headers: headers}
	require.NoError(s, s.client.ProduceSync(s.Context(), record).FirstErr())
}

func (s *site) granted(id string) []byte {
	s.Helper()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: s.reach[3]})
	require.NoError(s, err)
	defer registry.Close()
	require.NoError(s, registry.FetchOwn(s.Context(), defaultConfig().Processor.Topics.Schemas()))
	value, err := schemas.NewCodec(registry, schemas.Rules{}).EncodeOutcome(&schemas.Granted{
		Ending: schemas.Ending{RequestID: id, OccurredAt: time.Unix(1.7e9, 0), EndedAt: time.Unix(1.7e9, 0), BizCode: "b", Channel: "c", CouponCode: "u", CouponType: 247, Attempts: 1},
		Coupon: schemas.Coupon{InstanceID: 1<<60 + 1},
	})
	require.NoError(s, err)
	return value
}

func TestTailShowsOutcomesAndDeadLettersWithoutTheirValues(t *testing.T) {
	s := newSite(t).ready()
	topics := defaultConfig().Processor.Topics
	s.end(topics.Granted, topics.Store+"/0/1", s.granted("r-\x1b[2J"))
	s.end(topics.DeadLetter, topics.Store+"/0/2", []byte("canaryOpenId"),
		kgo.RecordHeader{Key: "coupongrant-reason", Value: []byte("undecodable")},
		kgo.RecordHeader{Key: "coupongrant-error", Value: []byte("not the wire format")})
	s.end(topics.Failed, topics.Store+"/0/3", []byte("no outcome"))

	text := s.run("", "tail", "--from-start", "--limit", "3")
	require.Equal(t, exitDone, text.code, text.stderr)
	require.Contains(t, text.stdout, `granted  "r-\x1b[2J"  coupon 1152921504606846977, 1 attempt`)
	require.Contains(t, text.stdout, topics.Store+"/0/2  undecodable: not the wire format")
	require.NotContains(t, text.stdout, "canaryOpenId")

	lines := s.run("", "tail", "--from-start", "--limit", "3", "--json")
	require.Equal(t, exitDone, lines.code, lines.stderr)
	kinds := map[string]view{}
	for line := range strings.Lines(lines.stdout) {
		var v view
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		kinds[v.Kind] = v
	}
	require.Equal(t, "1152921504606846977", kinds[kindGranted].Coupon.InstanceID)
	require.Equal(t, "undecodable", kinds[kindDeadLetter].Reason)
	require.Contains(t, kinds, kindUnreadable)
	require.NotContains(t, lines.stdout, "canaryOpenId")
}

// A consumer would wait for a topic that is missing, and say nothing.
func TestTailNamesATopicThatIsMissing(t *testing.T) {
	s := newSite(t).ready()
	topics := defaultConfig().Processor.Topics
	s.end(topics.Granted, topics.Store+"/0/1", s.granted("r"))
	all := s.run("", "tail", "--from-start", "--limit", "1")
	require.Equal(t, exitDone, all.code, all.stderr)

	_, err := s.admin.DeleteTopic(t.Context(), topics.Failed)
	require.NoError(t, err)
	got := s.run("", "tail", "--from-start")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "the topic "+topics.Failed+" (topics.failed) is missing: run `coupongrant topics create`; if it has another name, set topics.failed\n")
	require.Empty(t, got.stdout)
}

func TestAuditExitCodes(t *testing.T) {
	s := newSite(t).ready()
	empty := s.run("", "audit")
	require.Equal(t, 0, empty.code, empty.stderr)
	got := s.run("", "produce", "--count", "3", "--seed", "1", "--topic", "store")
	require.Equal(t, exitDone, got.code, got.stderr)
	waiting := s.run("", "audit", "--json")
	require.Equal(t, 4, waiting.code, waiting.stderr)
	var report struct{ Verdict string }
	require.NoError(t, json.Unmarshal([]byte(waiting.stdout), &report))
	require.Equal(t, "unfinished", report.Verdict)

	topics := defaultConfig().Processor.Topics
	s.end(topics.Granted, topics.Store+"/0/999", s.granted("nobody"))
	violated := s.run("", "audit")
	require.Equal(t, 3, violated.code, violated.stderr)
	require.Contains(t, violated.stdout, "VIOLATED")
}

// auditOf runs one with --json over a kept state.
func (s *site) auditOf(state string) (report proof.Report, code int) {
	s.Helper()
	got := s.run("", "audit", "--json", "--state", state)
	require.NoError(s, json.Unmarshal([]byte(got.stdout), &report), got.stderr)
	return report, got.code
}

func TestAuditGoesOnFromItsState(t *testing.T) {
	s, state, topics := newSite(t).ready(), filepath.Join(t.TempDir(), "state"), defaultConfig().Processor.Topics
	first, code := s.auditOf(state)
	require.Equal(t, 0, code)
	require.Nil(t, first.New)
	s.end(topics.Granted, topics.Store+"/0/999", s.granted("nobody"))
	second, code := s.auditOf(state)
	require.Equal(t, 3, code)
	require.EqualValues(t, 1, *second.New)
	third, code := s.auditOf(state)
	require.Equal(t, 3, code, "it does not heal")
	require.Zero(t, *third.New)
	second.New, third.New = nil, nil
	require.Equal(t, second, third)

	unlock, err := lockFolder("state", state)
	require.NoError(t, err)
	locked := s.run("", "audit", "--state", state)
	require.NoError(t, unlock())
	require.Equal(t, exitFailed, locked.code)
	require.Contains(t, locked.stderr, "coupongrant: --state is "+state)

	require.NoError(t, os.WriteFile(filepath.Join(state, "state"), []byte("x"), 0o600))
	damaged := s.run("", "audit", "--state", state)
	require.Equal(t, exitFailed, damaged.code)
	require.Contains(t, damaged.stderr, "the state in "+state)
	require.Contains(t, damaged.stderr, ": use an empty folder")
}

// A breach is known when it was told: an audit whose report went nowhere leaves
// it to the next.
func TestAuditTellsAgainWhatItCouldNotTell(t *testing.T) {
	s, state, topics := newSite(t).ready(), filepath.Join(t.TempDir(), "state"), defaultConfig().Processor.Topics
	_, code := s.auditOf(state)
	require.Equal(t, 0, code)
	s.end(topics.Granted, topics.Store+"/0/999", s.granted("nobody"))
	var stderr output
	broken, out, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, broken.Close())
	code = run(t.Context(), append([]string{"audit", "--json", "--state", state}, s.reach...), strings.NewReader(""), out, &stderr)
	require.NoError(t, out.Close())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr.String(), "broken pipe")
	got, code := s.auditOf(state)
	require.Equal(t, 3, code)
	require.EqualValues(t, 1, *got.New)
	got, _ = s.auditOf(state)
	require.Zero(t, *got.New)
}

func TestAuditWithoutTopicsSaysWhatToDo(t *testing.T) {
	s := newSite(t)
	for _, args := range [][]string{{"audit"}, {"audit", "--state", t.TempDir()}} {
		got := s.run("", args...)
		require.Equal(t, exitFailed, got.code)
		require.Contains(t, got.stderr, ": check the settings topics.*, or run `coupongrant topics create`")
	}
	misspelt := s.ready().run("", "audit", "--topics.failed", "a.r")
	require.Equal(t, exitFailed, misspelt.code)
	require.Contains(t, misspelt.stderr, "listing offsets of a.r: ")
	require.Contains(t, misspelt.stderr, "check the settings topics.*")
}

func TestAuditWithoutAFolderSaysItOnceAndWhatToDo(t *testing.T) {
	s := newSite(t).ready()
	t.Setenv("TMPDIR", "/nonexistent")
	got := s.run("", "audit", "--wait", "1s")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
	require.Contains(t, got.stderr, "no such file or directory; TMPDIR names the folder")
}

func TestAuditThatWaitsLeavesNothingBehind(t *testing.T) {
	s := newSite(t).ready()
	t.Setenv("TMPDIR", t.TempDir())
	require.Equal(t, exitDone, s.run("", "produce", "--count", "3", "--topic", "store").code)
	got := s.run("", "audit", "--json", "--wait", "1500ms")
	require.Equal(t, 4, got.code, got.stderr)
	require.NotContains(t, got.stdout, "new_violations")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}
