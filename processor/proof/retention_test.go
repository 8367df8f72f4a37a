package proof

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const day = 24 * time.Hour

func TestRetentionTookNothingNewerThanCanBeKnown(t *testing.T) {
	now := start
	const week = 7 * day
	for name, row := range map[string]struct {
		kept retention
		left time.Duration // age of the oldest record that is left; 0: none is
		want time.Duration // age
	}{
		"by age, and nothing is left":                {retention{week.Milliseconds(), -1}, 0, week},
		"by age, and the rest is newer":              {retention{week.Milliseconds(), -1}, day, week},
		"by age, and the rest is in a large segment": {retention{week.Milliseconds(), -1}, 9 * day, 9 * day},
		"by age or size, and nothing is left":        {retention{week.Milliseconds(), 1 << 30}, 0, week},
		"by age or size, and something is left":      {retention{week.Milliseconds(), 1 << 30}, day, day},
		"nothing may be left":                        {retention{week.Milliseconds(), 0}, 0, 0},
		"by size, and something is left":             {retention{-1, 1 << 30}, day, day},
		"by size, and nothing is left":               {retention{-1, 1 << 30}, 0, 0},
		"by nobody, and something is left":           {retention{-1, -1}, day, day},
		"by nobody, and nothing is left":             {retention{-1, -1}, 0, 0},
		"what is left is of the future":              {retention{-1, -1}, -day, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var left time.Time
			if row.left != 0 {
				left = now.Add(-row.left)
			}
			require.Equal(t, row.want, now.Sub(row.kept.tookBefore(left, now)))
		})
	}
}

// request puts a record that is no request on the store topic, which is as old as is
// said, and returns its offset.
func (l *live) request(age time.Duration) int64 {
	l.Helper()
	r := &kgo.Record{Topic: "store", Timestamp: time.Now().Add(-age)}
	require.NoError(l, l.client.ProduceSync(l.Context(), r).FirstErr())
	return r.Offset
}

// bury ends such a record as it deserves.
func (l *live) bury(offset int64, age time.Duration) {
	l.Helper()
	end := &kgo.Record{Topic: "dead", Timestamp: time.Now().Add(-age), Headers: []kgo.RecordHeader{
		{Key: sourceHeader, Value: fmt.Append(nil, "store/0/", offset)}, {Key: reasonHeader, Value: []byte("undecodable")}, l.padding,
	}}
	require.NoError(l, l.client.ProduceSync(l.Context(), end).FirstErr())
}

// trim deletes what stands before an offset, as retention does.
func (l *live) trim(topic string, before int64) {
	l.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, At: before})
	deleted, err := l.admin.DeleteRecords(l.Context(), offsets)
	require.NoError(l, err)
	require.NoError(l, deleted.Error())
}

func (l *live) alter(topic, key, value string) {
	l.Helper()
	altered, err := l.admin.AlterTopicConfigs(l.Context(), []kadm.AlterConfig{{Name: key, Value: &value}}, topic)
	require.NoError(l, err)
	require.NoError(l, altered[0].Err)
}

// Nobody failed for longer than the topic keeps what it has: it is empty, and a
// request of yesterday is lost all the same.
func TestReadLossIsSeenThoughRetentionEmptiedAPartition(t *testing.T) {
	for name, row := range map[string]struct {
		settings     map[string]string
		lost         int64
		notCheckable int64
	}{
		"by age":                   {nil, 1, 1},
		"by age, or were it large": {map[string]string{"retention.bytes": "1000000"}, 1, 1},
		"as nobody knows":          {map[string]string{"retention.ms": "-1"}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, 0)
			for key, value := range row.settings {
				l.alter("dead", key, value)
			}
			l.bury(l.request(9*day), 9*day)
			l.request(day)
			l.trim("dead", 1)
			l.commitAll()
			r := l.look()
			require.Equal(t, row.lost, r.Violations[Lost].Total, text(t, r))
			require.Equal(t, row.notCheckable, r.NotCheckable)
			if row.lost > 0 {
				require.EqualValues(t, 1, r.Violations[Lost].Named[0].Offset)
			}
		})
	}
}

// The first round ends long before the first record that retention left.
func TestReadLossIsSeenThoughTheFirstRoundHasNothingOfAPartition(t *testing.T) {
	l := newLive(t, 10)
	l.alter("dead", "retention.bytes", "1000000")
	for range 3 {
		l.bury(l.request(6*day), 6*day)
	}
	l.ended = time.Now().Add(-5 * day)
	for n := range 10 {
		l.finish(l.client, n, true)
	}
	l.bury(l.request(3*day), 3*day)
	l.request(day)
	ends, err := l.admin.ListEndOffsets(t.Context(), "dead")
	require.NoError(t, err)
	l.trim("dead", ends["dead"][0].Offset-1)
	l.commitAll()
	for _, size := range []int64{2, defaultRound} {
		l.source.round = size
		r := l.look()
		require.EqualValues(t, 1, r.Violations[Lost].Total, text(t, r))
	}
}

// Retention overtakes the reading: what it takes is newer than what was read before.
func TestReadEndsThatRetentionTookWhileTheyWereReadAreNotLost(t *testing.T) {
	l := newLive(t, 0)
	const ends = 8 // no two of which brokers give at once
	l.padding = kgo.RecordHeader{Key: "padding", Value: make([]byte, 900_000)}
	_, _ = rand.Read(l.padding.Value) // does not compress
	l.bury(l.request(12*day), 12*day)
	for range ends - 1 {
		l.bury(l.request(8*day), 8*day)
	}
	l.commitAll()
	l.source.Progress = func(read, _ int64) {
		if read > ends { // all requests, and an end
			l.source.Progress = nil
			l.trim("dead", ends-1)
		}
	}
	r := l.look()
	require.Nil(t, l.source.Progress)
	require.Less(t, r.DeadLetters["undecodable"], int64(ends), "it must have been too late for some")
	require.Empty(t, r.Violations, text(t, r))
	require.Equal(t, ends-r.DeadLetters["undecodable"], r.NotCheckable)
}

// Not to be told how long ends are kept is no reason to call everything not checkable.
func TestReadNeedsToKnowHowLongEndsAreKept(t *testing.T) {
	l := newLive(t, 0)
	refusal := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "dead", Err: kerr.TopicAuthorizationFailed, Count: -1})
	l.bury(l.request(9*day), 9*day)
	l.request(day)
	l.commitAll()
	require.EqualValues(t, 1, l.look().Violations[Lost].Total, "as long as nothing is gone, nobody has to know")
	require.Zero(t, refusal.Hits())

	l.trim("dead", 1)
	_, err := Read(t.Context(), l.source)
	var lacks *LacksError
	require.ErrorAs(t, err, &lacks)
	require.Equal(t, OnTopic(kadm.OpDescribeConfigs, "dead"), lacks.Right)
	require.ErrorContains(t, err, "reading how long dead keeps its records, of which some are gone: this user lacks DESCRIBE_CONFIGS on topic dead")
	require.Positive(t, refusal.Hits())

	refusal.Remove()
	require.EqualValues(t, 1, l.look().Violations[Lost].Total)
}
