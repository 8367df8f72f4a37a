package proof

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/schemas"
)

// live is a system on a real wire: requests of a seeded Load on it, and ends
// written by the test, which stands in for the engine.
type live struct {
	*kafka
	source *Source
	codec  *schemas.Codec
	client *kgo.Client
	events []Event

	ended   time.Time        // timestamp of what finish writes; zero: now
	padding kgo.RecordHeader // of what bury writes
}

func newLive(t *testing.T, events int) *live {
	t.Helper()
	topics := testTopics()
	k := newKafka(t, append(topics.Inputs, topics.Retry, topics.Granted, topics.Failed, topics.DeadLetter)...)
	fake := srfake.New()
	t.Cleanup(fake.Close)
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: fake.URL()})
	require.NoError(t, err)
	t.Cleanup(registry.Close)
	own := schemas.Topics{Inputs: topics.Inputs, Granted: topics.Granted, Failed: topics.Failed}
	require.NoError(t, registry.Register(t.Context(), own))
	codec := schemas.NewCodec(registry, schemas.Rules{})
	l := &live{kafka: k, codec: codec, client: k.client()}
	l.source = &Source{Options: k.opts, Topics: topics, Group: "g", Codec: codec, Registry: registry, Patience: enough}
	l.produceEvents(events, 7)
	return l
}

// produceEvents sends n more.
func (l *live) produceEvents(n int, seed uint64) {
	l.Helper()
	load := NewLoad(LoadConfig{Seed: seed, Store: "store", Loyalty: "loyalty", From: start, Every: time.Second, Keys: 5, Flawed: 0.2, Repeats: 0.1})
	for range len(l.events) {
		load.Next() // they were sent before
	}
	for range n {
		e := load.Next()
		value, err := e.Value(l.codec)
		require.NoError(l, err)
		r := &kgo.Record{Topic: e.Topic, Key: e.Key, Value: value, Timestamp: e.At}
		require.NoError(l, l.client.ProduceSync(l.Context(), r).FirstErr())
		l.events = append(l.events, e)
	}
}

// finish ends the n-th event as it deserves; refused: not granted, but failed.
func (l *live) finish(client *kgo.Client, n int, refused bool) {
	l.Helper()
	e, source := l.events[n], l.sourceOf(n)
	record := &kgo.Record{Topic: "dead", Key: e.Key, Timestamp: l.ended, Headers: []kgo.RecordHeader{{Key: sourceHeader, Value: []byte(source)}}}
	q := e.Request
	ending := schemas.Ending{
		RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: start.Add(time.Hour), BizCode: q.BizCode,
		Channel: q.Channel, CouponCode: q.CouponCode, CouponType: q.CouponType, Trigger: q.Trigger, Attempts: 1,
		AttemptLog: []schemas.Attempt{{At: start, Code: "0"}}, GatewayRequestID: ptr("g"),
	}
	var err error
	switch {
	case e.Flaw != Flawless:
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: reasonHeader, Value: []byte(e.Flaw.Reason())})
		record.Value, err = e.Value(l.codec)
	case refused:
		record.Topic = "failed"
		record.Value, err = l.codec.EncodeOutcome(&schemas.Failed{Ending: ending, Reason: schemas.ReasonLimitReached})
	default:
		record.Topic = "granted"
		record.Value, err = l.codec.EncodeOutcome(&schemas.Granted{Ending: ending, Coupon: schemas.Coupon{InstanceID: 1}})
	}
	require.NoError(l, err)
	require.NoError(l, client.ProduceSync(l.Context(), record).FirstErr())
}

// sourceOf counts how many events of the same topic came before.
func (l *live) sourceOf(n int) string {
	offset := 0
	for _, e := range l.events[:n] {
		if e.Topic == l.events[n].Topic {
			offset++
		}
	}
	return fmt.Sprintf("%s/0/%d", l.events[n].Topic, offset)
}

// commitAll puts both watermarks behind every request.
func (l *live) commitAll() {
	l.Helper()
	ends, err := l.admin.ListEndOffsets(l.Context(), "store", "loyalty")
	require.NoError(l, err)
	require.NoError(l, l.admin.CommitAllOffsets(l.Context(), "g", ends.Offsets()))
}

func (l *live) look() Report {
	l.Helper()
	checker, err := Read(l.Context(), l.source)
	require.NoError(l, err)
	return checker.Report()
}

func TestReadOfACleanRunIsBalanced(t *testing.T) {
	l := newLive(t, 120)
	want := newReport()
	for n, e := range l.events {
		l.finish(l.client, n, n%5 == 0)
		switch {
		case e.Flaw != Flawless:
			want.DeadLetters[string(e.Flaw.Reason())]++
		case n%5 == 0:
			want.Failed["LIMIT_REACHED"]++
			want.Attempts++
		default:
			want.Granted++
			want.Attempts++
		}
	}
	l.commitAll()
	var read, total int64
	l.source.Progress = func(r, t int64) { read, total = r, t }
	got := l.look()
	require.Equal(t, Balanced, got.Verdict(), text(t, got))
	require.EqualValues(t, 120, got.Requests)
	require.Equal(t, want.Granted, got.Granted)
	require.Equal(t, want.Failed, got.Failed)
	require.Equal(t, want.DeadLetters, got.DeadLetters)
	require.Equal(t, want.Attempts, got.Attempts)
	require.Positive(t, got.Repeats)
	require.EqualValues(t, 240, total)
	require.Equal(t, total, read)
}

func TestReadFindsPlantedBreaches(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(*live)
		want  map[Kind]int64
	}{
		{"loss", func(l *live) { l.commitAll() }, map[Kind]int64{Lost: 1}},
		{"end in an aborted transaction", func(l *live) {
			client := l.transaction("x")
			l.finish(client, 9, false)
			l.abort(client)
			l.commitAll()
		}, map[Kind]int64{Lost: 1}},
		{"double across transactions", func(l *live) {
			for _, id := range []string{"x", "y"} {
				client := l.transaction(id)
				l.finish(client, 9, false)
				l.kafka.commit(client)
			}
			l.commitAll()
		}, map[Kind]int64{Doubled: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLive(t, 10)
			for n := range 9 {
				l.finish(l.client, n, false)
			}
			c.plant(l)
			require.Equal(t, c.want, counts(l.look()))
		})
	}
}

// transaction begins one and leaves it open.
func (l *live) transaction(id string) *kgo.Client {
	l.Helper()
	client := l.kafka.client(kgo.TransactionalID(id))
	require.NoError(l, client.BeginTransaction())
	return client
}

// impatient looks do not wait for a transaction that the test keeps open.
const impatient = 300 * time.Millisecond

func TestReadOfNothingCommittedIsUnfinished(t *testing.T) {
	l := newLive(t, 10)
	r := l.look()
	require.Equal(t, Unfinished, r.Verdict())
	require.EqualValues(t, 10, r.Unfinished)
}

func TestReadBeforeAnOpenTransactionIsUnfinishedAndSaysWhere(t *testing.T) {
	l := newLive(t, 2)
	l.finish(l.client, 0, true)
	client := l.transaction("x")
	l.finish(client, 1, true)
	l.commitAll()
	l.source.Patience = impatient
	r := l.look()
	require.Equal(t, Unfinished, r.Verdict())
	require.Equal(t, []Unread{{Topic: "failed", From: 0, End: 1, Why: "a transaction is open since offset 0"}}, r.Unread)
	l.kafka.commit(client)
	require.Equal(t, Balanced, l.look().Verdict())
}

func TestReadRetentionOfEndsMakesOlderRequestsUncheckable(t *testing.T) {
	l := newLive(t, 4)
	for n := range 3 {
		l.finish(l.client, n, true)
	}
	l.commitAll()
	l.trim("failed", 1)
	r := l.look()
	require.EqualValues(t, 2, r.NotCheckable, text(t, r))
	require.Empty(t, r.Violations)
}

// One request is of a producer whose clock runs 40 minutes ahead, one of a
// producer that takes microseconds for milliseconds. Both ended, and retention
// took their ends.
func TestReadRequestsFromTheFutureAreNotLostWithTheirEnds(t *testing.T) {
	l := newLive(t, 0)
	now := time.Now()
	for _, at := range []time.Time{now.Add(40 * time.Minute), time.UnixMilli(now.UnixMicro()), now.Add(-time.Minute)} {
		require.NoError(t, l.client.ProduceSync(t.Context(), &kgo.Record{Topic: "store", Timestamp: at}).FirstErr())
	}
	for n := range 3 {
		end := &kgo.Record{Topic: "dead", Headers: []kgo.RecordHeader{
			{Key: sourceHeader, Value: fmt.Append(nil, "store/0/", n)}, {Key: reasonHeader, Value: []byte("undecodable")},
		}}
		require.NoError(t, l.client.ProduceSync(t.Context(), end).FirstErr())
	}
	l.commitAll()
	l.trim("dead", 2)
	r := l.look()
	require.Empty(t, r.Violations, text(t, r))
	require.EqualValues(t, 2, r.NotCheckable)
}

func TestReadNamesAMissingTopic(t *testing.T) {
	l := newLive(t, 0)
	l.source.Topics.Failed = "absent"
	_, err := Read(t.Context(), l.source)
	require.ErrorContains(t, err, "listing offsets of absent")
}

func TestReadFailsWithoutARegistry(t *testing.T) {
	l := newLive(t, 3)
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	l.source.Registry, l.source.Codec = registry, schemas.NewCodec(registry, schemas.Rules{})
	l.source.Patience = 200 * time.Millisecond
	_, err = Read(t.Context(), l.source)
	require.ErrorIs(t, err, schemas.ErrRegistryDown)
}
