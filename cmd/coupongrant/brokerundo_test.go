package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// remains are the folders that a broker leaves when it is killed at the commit of
// its second transaction.
type remains struct {
	*testing.T
	before string // it has not begun the commit
	after  string // it has ended it
	undo   []byte // what brokerUndo had written down
}

func copied(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func newRemains(t *testing.T) *remains {
	t.Helper()
	dir, undoPath := t.TempDir(), filepath.Join(t.TempDir(), "undo")
	undo, err := openBrokerUndo(dir, undoPath, quiet())
	require.NoError(t, err)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SeedTopics(1, "in", "out"), kfake.GroupMinSessionTimeout(time.Second))
	require.NoError(t, err)
	defer cluster.Close()
	cluster.Control(undo.observe)
	r := &remains{T: t}
	commits := 0
	cluster.Control(func(request kmsg.Request) (kmsg.Response, error, bool) {
		if end, ends := request.(*kmsg.EndTxnRequest); ends && end.Commit {
			if commits++; commits == 2 {
				r.before = copied(t, dir)
				r.undo, err = os.ReadFile(undoPath)
			}
		}
		return nil, nil, false
	})
	copyTwo(t, cluster.ListenAddrs())
	require.NoError(t, err)
	require.Equal(t, 2, commits)
	r.after = copied(t, dir)
	require.NoError(t, undo.close())
	return r
}

// copyTwo copies two records from in to out, each in its own transaction. kfake
// refuses a transaction now and then (OUT_OF_ORDER_SEQUENCE_NUMBER): that one is
// aborted, and its record comes again.
func copyTwo(t *testing.T, brokers []string) {
	t.Helper()
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(brokers...), kgo.TransactionalID("t"), kgo.ConsumerGroup("g"),
		kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(5*time.Second), kgo.HeartbeatInterval(time.Second))
	require.NoError(t, err)
	defer session.Close()
	feeder, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer feeder.Close()
	for _, value := range []string{"one", "two"} {
		require.NoError(t, feeder.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte(value)}).FirstErr())
		committed := false
		for range 5 {
			records := session.PollRecords(t.Context(), 1).Records()
			require.Len(t, records, 1)
			require.NoError(t, session.Begin())
			session.Produce(t.Context(), &kgo.Record{Topic: "out", Value: records[0].Value}, nil)
			if committed, err = session.End(t.Context(), kgo.TryCommit); committed {
				break
			}
			t.Log("aborted:", err)
		}
		require.True(t, committed, "five transactions, and all of them refused: %v", err)
	}
}

// torn has the markers of the commit, and not its offsets.
func (r *remains) torn() string {
	r.Helper()
	dir := copied(r.T, r.after)
	for _, name := range []string{pidsLog, groupsLog} {
		text, err := os.ReadFile(filepath.Join(r.before, name))
		require.NoError(r, err)
		require.NoError(r, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return dir
}

// found is what a broker makes of a folder: what was published, and how far the
// group has come.
func (r *remains) found(dir string, repair bool) (published []string, offset int64) {
	r.Helper()
	if repair {
		path := filepath.Join(r.TempDir(), "undo")
		require.NoError(r, os.WriteFile(path, r.undo, 0o600))
		undo, err := openBrokerUndo(dir, path, quiet())
		require.NoError(r, err)
		require.NoError(r, undo.close())
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir))
	require.NoError(r, err)
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(r, err)
	defer client.Close()
	const last = "last" // what was aborted is not delivered, so the end of the log is not seen
	require.NoError(r, client.ProduceSync(r.Context(), &kgo.Record{Topic: "out", Value: []byte(last)}).FirstErr())
	reading, stop := context.WithTimeout(r.Context(), 20*time.Second)
	defer stop()
	for !slices.Contains(published, last) && reading.Err() == nil {
		for record := range client.PollFetches(reading).RecordsAll() {
			published = append(published, string(record.Value))
		}
	}
	published = slices.DeleteFunc(published, func(value string) bool { return value == last })
	offsets, err := kadm.NewClient(client).FetchOffsets(r.Context(), "g")
	require.NoError(r, err)
	at, _ := offsets.Lookup("in", 0)
	return published, at.At
}

func TestHalfACommitIsUndone(t *testing.T) {
	r := newRemains(t)
	published, offset := r.found(r.torn(), true)
	require.Equal(t, []string{"one"}, published)
	require.EqualValues(t, 1, offset)
}

// kfake alone publishes half of a commit. Now and then it leaves the transaction
// open instead, which hides it from readers: then another one is torn.
func TestHalfACommitIsPublishedWithoutUndo(t *testing.T) {
	for range 5 {
		r := newRemains(t)
		published, offset := r.found(r.torn(), false)
		if slices.Equal(published, []string{"one", "two"}) {
			require.EqualValues(t, 1, offset, "published, and its offset not committed")
			return
		}
	}
	t.Fatal("five torn commits, and none was published: the undo is not needed any more")
}

func TestAWholeCommitStays(t *testing.T) {
	r := newRemains(t)
	published, offset := r.found(copied(t, r.after), true)
	require.Equal(t, []string{"one", "two"}, published)
	require.EqualValues(t, 2, offset)
}

func TestSizesHoldUntilTheNextRequest(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "undo")
	undo, err := openBrokerUndo(dir, path, quiet())
	require.NoError(t, err)
	for _, step := range []struct {
		request kmsg.Request
		written bool
	}{
		{&kmsg.EndTxnRequest{Commit: true}, true},
		{&kmsg.ProduceRequest{}, false},
		{&kmsg.EndTxnRequest{}, false}, // an abort loses nothing when it is torn
		{&kmsg.EndTxnRequest{Commit: true}, true},
		{&kmsg.EndTxnRequest{Commit: true}, true},
	} {
		_, _, handled := undo.observe(step.request)
		require.False(t, handled)
		require.Equal(t, step.written, fileSize(t, path) > 0)
	}
	require.NoError(t, undo.close())
	require.Zero(t, fileSize(t, path))
}
