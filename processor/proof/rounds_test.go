package proof

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestRoundsOfAnySizeFindTheSame(t *testing.T) {
	l := newLive(t, 90)
	for n := range 70 {
		if n == 33 {
			continue // it is lost
		}
		l.finish(l.client, n, n%5 == 0)
		if n == 44 {
			l.finish(l.client, n, false)
		}
	}
	l.commitUpTo(func(end int64) int64 { return end / 2 })
	want := sorted(l.look())
	require.Equal(t, map[Kind]int64{Lost: 1, Doubled: 1}, map[Kind]int64{Lost: want.Violations[Lost].Total, Doubled: want.Violations[Doubled].Total})
	require.Positive(t, want.Unfinished)
	for _, size := range []int64{1, 2, 7, 30, 89} {
		l.source.round = size
		var read, total int64
		l.source.Progress = func(r, t int64) { read, total = r, t }
		require.Equal(t, want, sorted(l.look()), "rounds of %d", size)
		require.Equal(t, total, read, "rounds of %d", size)
	}
}

// A backlog that nothing was ended of is counted, not remembered.
func TestBacklogTakesNoMemory(t *testing.T) {
	l := newLive(t, 100)
	for n := range 10 {
		l.finish(l.client, n, true)
	}
	l.source.round = 15
	checker, err := Read(t.Context(), l.source)
	require.NoError(t, err)
	for _, p := range checker.inputs {
		require.Empty(t, p.open)
	}
	r := checker.Report()
	require.EqualValues(t, 100, r.Requests)
	require.EqualValues(t, 90, r.Unfinished)
	require.NotNil(t, r.OldestUnfinished)
	require.Equal(t, Unfinished, r.Verdict())
}

func TestRoundsBeforeAnOpenTransactionAreUnfinished(t *testing.T) {
	l := newLive(t, 20)
	for n := range 15 {
		l.finish(l.client, n, true)
	}
	client := l.transaction("x")
	l.finish(client, 15, true)
	l.commitAll()
	l.source.Patience, l.source.round = impatient, 3
	r := l.look()
	require.Equal(t, Unfinished, r.Verdict())
	require.Empty(t, r.Violations)
	require.Len(t, r.Unread, 1)
	l.kafka.commit(client)
	require.EqualValues(t, 4, l.look().Violations[Lost].Total, "only then is the rest lost")
}

// Retention may take a whole partition while it is read.
func TestRoundsEndThoughRetentionTookEverything(t *testing.T) {
	l := newLive(t, 20)
	for n := range 10 {
		l.finish(l.client, n, true)
	}
	l.source.round = 2
	l.source.Progress = func(int64, int64) {
		l.source.Progress = nil
		ends, err := l.admin.ListEndOffsets(t.Context(), "failed", "dead")
		require.NoError(t, err)
		_, err = l.admin.DeleteRecords(t.Context(), ends.Offsets())
		require.NoError(t, err)
	}
	l.source.Patience = impatient
	require.Empty(t, l.look().Violations)
}

// commitUpTo puts every watermark so many records behind the end.
func (l *live) commitUpTo(behind func(end int64) int64) {
	l.Helper()
	ends, err := l.admin.ListEndOffsets(l.Context(), "store", "loyalty")
	require.NoError(l, err)
	var offsets kadm.Offsets
	ends.Each(func(o kadm.ListedOffset) {
		offsets.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: max(o.Offset-behind(o.Offset), 0)})
	})
	require.NoError(l, l.admin.CommitAllOffsets(l.Context(), "g", offsets))
}
