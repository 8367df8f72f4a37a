package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// processing is `run` against a site and a simulated gateway.
type processing struct {
	*site
	sim  *topsim.Simulator
	args []string
}

func newProcessing(t *testing.T, cfg topsim.Config) *processing {
	t.Helper()
	cfg.Apps = map[string]topsim.App{"42": app("secret", "session")}
	sim, err := topsim.New(cfg)
	require.NoError(t, err)
	gateway := httptest.NewServer(simulatorHandler(sim))
	t.Cleanup(func() { gateway.Close(); require.NoError(t, sim.Close()) })
	p := &processing{site: newSite(t).ready().learn(), sim: sim}
	secret, session := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "session")
	(&troubled{site: p.site}).write(secret, "secret")
	(&troubled{site: p.site}).write(session, "session")
	p.args = append([]string{
		"run", "--gateway.url", gateway.URL + routerPath, "--gateway.app_key", "42", "--gateway.app_secret_file", secret,
		"--gateway.session_file", session, "--admin.listen", "127.0.0.1:0",
	}, p.reach...)
	return p
}

// during runs the processor until a condition holds.
func (p *processing) during(until func() bool, args ...string) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	var stderr output
	code := make(chan int, 1)
	go func() { code <- run(ctx, append(p.args, args...), strings.NewReader(""), new(output), &stderr) }()
	require.Eventually(p, until, 30*time.Second, 20*time.Millisecond, "%s", &stderr)
	cancel()
	require.Equal(p, exitDone, <-code, stderr.String())
	require.NotContains(p, stderr.String(), proof.Canary)
}

// visible counts what read_committed readers see of a topic.
func (s *site) visible(topic string) (records []*kgo.Record) {
	s.Helper()
	reader := proof.NewReader(&proof.Source{Options: []kgo.Opt{kgo.SeedBrokers(s.reach[1])}})
	ranges, err := reader.Stable(s.Context(), topic)
	require.NoError(s, err)
	require.NoError(s, reader.Scan(s.Context(), ranges, func(r *kgo.Record) error {
		records = append(records, r)
		return nil
	}))
	return records
}

// The same dead letter is put back twice: Tmall grants one coupon, both replays
// are told it, the audit is balanced, and the trail names everything.
func TestReplayTwiceGrantsOnce(t *testing.T) {
	p := newProcessing(t, topsim.Config{CouponTypes: []int64{247, 999}})
	topics := defaultConfig().Processor.Topics
	const id = "request-of-a-new-type"
	source := p.write(topics.Store, p.value(id, 999), head("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	p.during(func() bool { return len(p.visible(topics.DeadLetter)) == 1 })
	require.Zero(t, p.sim.Ledger().Grants(id))

	dry := p.run("", "dead-letters", "replay", "--reason", "invalid-request")
	require.Equal(t, exitDone, dry.code, dry.stderr)
	require.Contains(t, dry.stdout, "1 of 1 dead letter would be put back; nothing is done yet: --yes does it")
	require.Len(t, p.visible(topics.Store), 1, "a dry run writes nothing")

	first := p.run("", "dead-letters", "replay", "--source", source, "--yes")
	require.Equal(t, exitDone, first.code, first.stderr)
	require.Contains(t, first.stdout, "1 of 1 put back")
	second := p.run("", "dead-letters", "replay", "--yes")
	require.Equal(t, exitDone, second.code, second.stderr)
	require.Contains(t, second.stdout, "it was put back already, as "+topics.Store+"/")
	require.Contains(t, second.stdout, "0 of 1 put back")
	again := p.run("", "dead-letters", "replay", "--yes", "--again")
	require.Equal(t, exitDone, again.code, again.stderr)
	require.Contains(t, again.stdout, "1 of 1 put back")
	for _, got := range []ran{dry, first, second, again} {
		require.NotContains(t, got.stdout+got.stderr, proof.Canary)
	}

	p.during(func() bool { return len(p.visible(topics.Granted)) == 2 }, "--request.coupon_types", "247,999")
	require.Equal(t, 1, p.sim.Ledger().Grants(id))
	require.Empty(t, p.sim.Ledger().Violations())
	trace, _ := p.traceOf(id)
	require.Equal(t, kindGranted, trace.State)
	require.Len(t, trace.Records, 3)
	require.Equal(t, []string{"", source, source}, []string{trace.Records[0].ReplayOf, trace.Records[1].ReplayOf, trace.Records[2].ReplayOf})
	require.False(t, trace.Records[1].InDoubt)
	require.True(t, trace.Records[2].InDoubt, "the first replay may have been granted when the second was made")
	for _, outcome := range p.visible(topics.Granted) {
		require.Contains(t, header(outcome, "traceparent"), "0af7651916cd43dd8448eb211c80319c")
	}
	ledger := httptest.NewServer(simulatorHandler(p.sim))
	defer ledger.Close()
	audit := p.run("", "audit", "--json", "--ledger", ledger.URL, "--request.coupon_types", "247,999")
	require.Equal(t, exitDone, audit.code, audit.stdout+audit.stderr)
	var report proof.Report
	require.NoError(t, json.Unmarshal([]byte(audit.stdout), &report))
	require.EqualValues(t, 2, report.Replays)
}

// A replay of what was granted by an answer that nobody heard is refused by
// Tmall, since the member has the coupon. It must not be failed for that.
func TestReplayInDoubtIsNotFailedByARefusal(t *testing.T) {
	p := newProcessing(t, topsim.Config{OtherCoupon: topsim.Coupon{PerMember: 1}, Replay: topsim.ReplayLimitFirst})
	topics := defaultConfig().Processor.Topics
	const id = "request-in-doubt"
	p.ask(id)
	p.during(func() bool { return len(p.visible(topics.Granted)) == 1 })
	require.Equal(t, 1, p.sim.Ledger().Grants(id))
	// As if the answer had been lost: the control is such a dead letter, of a request of the same
	// member, without its doubt.
	const other = "request-refused"
	doubtful, control := p.ask(id), p.ask(other)
	p.committed(topics.Store)
	since := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	p.dead(doubtful, "grant-unknown", p.value(id, 247), head(headerInDoubt, "true"), head(headerFirstAttempt, rfc3339(since)))
	p.dead(control, "invalid-request", p.value(other, 247), head(headerInDoubt, "false"))

	replayed := func(reason string) (as string) {
		got := p.run("", "dead-letters", "replay", "--yes", "--json", "--reason", reason)
		require.Equal(t, exitDone, got.code, got.stderr)
		var d planned
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
		require.Equal(t, actionReplay, d.Action, d.Why)
		return d.ReplayedAs
	}
	as := replayed("invalid-request")
	p.during(func() bool { return len(p.visible(topics.Failed)) == 1 })
	require.Equal(t, as, header(p.visible(topics.Failed)[0], headerSource), "without doubt a refusal is an outcome")
	as = replayed("grant-unknown")
	p.during(func() bool { return len(p.visible(topics.Retry)) == 1 }, "--retry.doubtful_attempts", "2", "--retry.delay", "1h")
	parked := p.visible(topics.Retry)[0]
	require.Equal(t, as, header(parked, headerSource))
	require.Equal(t, "true", header(parked, headerInDoubt))
	require.Equal(t, rfc3339(since), header(parked, headerFirstAttempt), "the window of idempotency counts from the first attempt, not from the replay")
}

// letters writes dead letters of requests of their own.
func (s *site) deadLetters(n int) (sources []string) {
	s.Helper()
	for i := range n {
		id := fmt.Sprint("request-", i)
		source := s.ask(id)
		s.dead(source, "unknown-schema", s.value(id, 247))
		sources = append(sources, source)
	}
	return sources
}

// replayed counts what was put back, by the request record.
func (s *site) replayed() map[string]int {
	s.Helper()
	counts := map[string]int{}
	for _, r := range s.visible(defaultConfig().Processor.Topics.Store) {
		if of := header(r, headerReplayOf); of != "" {
			counts[of]++
		}
	}
	return counts
}

func onceOf(sources []string) map[string]int {
	counts := map[string]int{}
	for _, source := range sources {
		counts[source] = 1
	}
	return counts
}

// replaying starts the command in the background, slowly, and returns when some
// are put back.
func (s *site) replaySlowly(ctx context.Context) (stdout, stderr *output, code chan int) {
	s.Helper()
	stdout, stderr, code = &output{}, &output{}, make(chan int, 1)
	args := append([]string{"dead-letters", "replay", "--yes", "--rate", "10"}, s.reach...)
	go func() { code <- run(ctx, args, strings.NewReader(""), stdout, stderr) }()
	require.Eventually(s, func() bool { return strings.Contains(stdout.String(), "replay  ") }, 20*time.Second, time.Millisecond, "%s", stderr)
	return stdout, stderr, code
}

// What says to be put back is, what does not is not, and the next one goes on
// with the rest: each exactly once.
func TestReplayThatIsInterruptedIsGoneOnWith(t *testing.T) {
	s := newSite(t).ready().learn()
	sources := s.deadLetters(30)
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr, code := s.replaySlowly(ctx)
	cancel()
	require.Equal(t, exitFailed, <-code)
	said := strings.Count(stdout.String(), "replay  ")
	require.Positive(t, said)
	require.Less(t, said, len(sources), "it was interrupted")
	require.Len(t, s.replayed(), said)
	require.Contains(t, stderr.String(), "interrupted")
	require.Contains(t, stdout.String(), fmt.Sprintf("%d of 30 put back", said))

	rest := s.run("", "dead-letters", "replay", "--yes", "--rate", "10000")
	require.Equal(t, exitDone, rest.code, rest.stderr)
	require.Equal(t, len(sources)-said, strings.Count(rest.stdout, "replay  "))
	require.Equal(t, onceOf(sources), s.replayed())
}

func TestSecondReplayTakesOverFromTheFirst(t *testing.T) {
	s := newSite(t).ready().learn()
	sources := s.deadLetters(30)
	_, stderr, code := s.replaySlowly(t.Context())
	second := s.run("", "dead-letters", "replay", "--yes", "--rate", "10000")
	require.Equal(t, exitDone, second.code, second.stderr)
	require.Equal(t, exitFailed, <-code)
	require.Contains(t, stderr.String(), "another `dead-letters replay --yes` of this group was begun meanwhile")
	require.Equal(t, onceOf(sources), s.replayed())
}

// ends counts the transactions that are ended so. Those that are not to be ended are
// refused.
func (s *site) ends(refused func(commit bool) bool) (commits, aborts *atomic.Int64) {
	s.Helper()
	commits, aborts = new(atomic.Int64), new(atomic.Int64)
	s.kafka.ControlKey(kmsg.NewPtrEndTxnRequest().Key(), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		s.kafka.KeepControl()
		end, ok := asked.(*kmsg.EndTxnRequest)
		require.True(s, ok)
		if end.Commit {
			commits.Add(1)
		} else {
			aborts.Add(1)
		}
		if !refused(end.Commit) {
			return nil, nil, false
		}
		response, ok := asked.ResponseKind().(*kmsg.EndTxnResponse)
		require.True(s, ok)
		response.ErrorCode = kerr.InvalidTxnState.Code
		return response, nil, true
	})
	return commits, aborts
}

func nothing(bool) bool { return false }

func (s *site) limit(topic, bytes string) {
	s.Helper()
	altered, err := s.admin.AlterTopicConfigs(s.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: keyMaxMessage, Value: &bytes}}, topic)
	require.NoError(s, err)
	require.NoError(s, altered[0].Err)
}

const (
	roomForOne = "400" // bytes; a replay of deadLetters has some 200
	roomForAll = "1000000"
)

// Records that a topic takes one by one, but not in one batch, are put back one by one,
// and what went to another topic with them is not put back twice.
func TestReplayOfWhatIsTooLargeTogetherGoesOneByOne(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{"Kafka 4": nil, "before": {kfake.MaxVersions(kversion.V3_5_0())}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, opts...).ready().learn()
			sources := s.deadLetters(30)
			other := s.write(topicsOf.Loyalty, s.value("request-of-the-other-topic", 247))
			s.dead(other, "unknown-schema", s.value("request-of-the-other-topic", 247))
			s.limit(topicsOf.Store, roomForOne)
			commits, aborts := s.ends(nothing)
			got := s.run("", "dead-letters", "replay", "--yes", "--rate", "10000")
			require.Equal(t, exitDone, got.code, got.stderr)
			require.Contains(t, got.stdout, "31 of 31 put back")
			require.Equal(t, onceOf(sources), s.replayed())
			require.Len(t, s.visible(topicsOf.Loyalty), 2)
			require.EqualValues(t, 31, commits.Load())
			require.EqualValues(t, 1, aborts.Load())

			// The control: where there is room they go together.
			s.limit(topicsOf.Store, roomForAll)
			commits.Store(0)
			again := s.run("", "dead-letters", "replay", "--yes", "--again", "--rate", "10000")
			require.Equal(t, exitDone, again.code, again.stderr)
			require.EqualValues(t, 1, commits.Load())
		})
	}
}

// One that is too large alone is no matter of the batch.
func TestReplayOfWhatIsTooLargeAloneSaysSo(t *testing.T) {
	s := newSite(t).ready().learn()
	s.deadLetters(2)
	s.limit(topicsOf.Store, "100")
	got := s.run("", "dead-letters", "replay", "--yes", "--rate", "10000")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "putting back after 0 of 2: MESSAGE_TOO_LARGE")
	require.NotContains(t, got.stderr, "--rate")
	require.Empty(t, s.replayed())
}

// Whether an earlier transaction is over must be known before another one begins.
func TestReplayBeginsNoTransactionBeforeTheLastIsOver(t *testing.T) {
	s := newSite(t).ready().learn()
	s.deadLetters(30)
	s.limit(topicsOf.Store, roomForOne)
	commits, aborts := s.ends(func(commit bool) bool { return !commit })
	got := s.run("", "dead-letters", "replay", "--yes", "--rate", "10000")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "MESSAGE_TOO_LARGE")
	require.Contains(t, got.stderr, "too large together: with --rate 10 they go one by one")
	require.EqualValues(t, 1, aborts.Load())
	require.Zero(t, commits.Load())
	require.Empty(t, s.replayed())
	got = s.run("", "dead-letters", "replay", "--yes", "--rate", "10")
	require.Equal(t, exitDone, got.code, got.stderr)
}

// What was put back behind another producer's open transaction is committed, and
// no reader sees it before that one's end.
func TestReplayDoesNotPassOverAnOpenTransaction(t *testing.T) {
	s := newSite(t).ready().learn()
	source := s.deadLetters(1)[0]
	at, ok := parsePosition(source)
	require.True(t, ok)
	in := func(value []byte, headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: at.topic, Partition: at.partition, Value: value, Headers: headers}
	}
	manual := []kgo.Opt{kgo.SeedBrokers(s.reach[1]), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	producer, err := kgo.NewClient(append(manual, kgo.TransactionalID("a-producer"))...)
	require.NoError(t, err)
	defer producer.Close()
	require.NoError(t, producer.BeginTransaction())
	require.NoError(t, producer.ProduceSync(t.Context(), in(s.value("request-open", 247))).FirstErr())
	earlier, err := kgo.NewClient(manual...)
	require.NoError(t, err)
	defer earlier.Close()
	require.NoError(t, earlier.ProduceSync(t.Context(), in(s.value("request-0", 247), head(headerReplayOf, source))).FirstErr())

	got := s.run("", "dead-letters", "replay", "--yes")
	require.Equal(t, exitFailed, got.code, got.stdout)
	require.Contains(t, got.stderr, "which an open transaction")
	require.NoError(t, producer.EndTransaction(t.Context(), kgo.TryAbort))
	got = s.run("", "dead-letters", "replay", "--yes")
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Contains(t, got.stdout, "it was put back already, as "+at.topic+"/")
	require.Equal(t, onceOf([]string{source}), s.replayed())
}

// Where the input no longer reaches back to a dead letter, nobody can know
// whether it was put back.
func TestReplayIsNotSureWhereRetentionHasBeen(t *testing.T) {
	s := newSite(t).ready().learn()
	topics := defaultConfig().Processor.Topics
	old, ok := parsePosition(s.ask("request-old"))
	require.True(t, ok)
	s.dead(old.String(), "unknown-schema", s.value("request-old", 247))
	require.Contains(t, s.run("", "dead-letters", "replay").stdout, "1 of 1 dead letter would be put back")
	manual, err := kgo.NewClient(kgo.SeedBrokers(s.reach[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer manual.Close()
	for range 3 {
		require.NoError(t, manual.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Store, Partition: old.partition, Value: []byte("x")}).FirstErr())
	}
	var before kadm.Offsets
	before.Add(kadm.Offset{Topic: topics.Store, Partition: old.partition, At: old.offset + 2})
	_, err = s.admin.DeleteRecords(t.Context(), before)
	require.NoError(t, err)
	got := s.run("", "dead-letters", "replay", "--yes")
	require.Contains(t, got.stdout, "whether it was put back before cannot be seen any more")
	require.Contains(t, got.stdout, "0 of 1 put back")
	require.Contains(t, s.run("", "dead-letters", "replay", "--yes", "--again").stdout, "1 of 1 put back")
}
