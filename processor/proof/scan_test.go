package proof

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// kafka is an in-process broker with one-partition topics.
type kafka struct {
	testing.TB
	cluster *kfake.Cluster
	opts    []kgo.Opt
	admin   *kadm.Client
}

func newKafka(t testing.TB, topics ...string) *kafka {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	k := &kafka{TB: t, cluster: cluster, opts: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}}
	k.admin = kadm.NewClient(k.client())
	return k
}

func (k *kafka) client(opts ...kgo.Opt) *kgo.Client {
	k.Helper()
	client, err := kgo.NewClient(append(opts, append(k.opts, kgo.DefaultProduceTopic("t"))...)...)
	require.NoError(k, err)
	k.Cleanup(client.Close)
	return client
}

func (k *kafka) produce(client *kgo.Client, values ...string) {
	k.Helper()
	for _, v := range values {
		require.NoError(k, client.ProduceSync(k.Context(), kgo.StringRecord(v)).FirstErr())
	}
}

// begin starts a transaction, writes values in it, and leaves it open.
func (k *kafka) begin(id string, values ...string) *kgo.Client {
	k.Helper()
	client := k.client(kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
	require.NoError(k, client.BeginTransaction())
	k.produce(client, values...)
	return client
}

func (k *kafka) commit(client *kgo.Client) {
	k.Helper()
	require.NoError(k, client.EndTransaction(k.Context(), kgo.TryCommit))
}

func (k *kafka) abort(client *kgo.Client) {
	k.Helper()
	require.NoError(k, client.EndTransaction(k.Context(), kgo.TryAbort))
}

// end is the high watermark of t/0.
func (k *kafka) end() int64 {
	k.Helper()
	ends, err := k.admin.ListEndOffsets(k.Context(), "t")
	require.NoError(k, err)
	return ends["t"][0].Offset
}

// read scans t/0 up to end and returns the values seen and where it stopped.
func (k *kafka) read(ctx context.Context, end int64, patience time.Duration) ([]string, *span, error) {
	k.Helper()
	var values []string
	spans, err := scanRanges(ctx, &Source{Options: k.opts, Patience: patience}, []Range{{Topic: "t", End: end}}, func(int64) {},
		func(r *kgo.Record) error {
			values = append(values, string(r.Value))
			return nil
		})
	return values, spans[topicPartition{"t", 0}], err
}

// enough patience that no scan of these tests ends for want of it.
const enough = time.Minute

func TestScanEndsWhateverStandsAtTheTail(t *testing.T) {
	for _, c := range []struct {
		name string
		tail func(*kafka)
		want []string
	}{
		{"nothing", func(*kafka) {}, []string{"first"}},
		{"records", func(k *kafka) { k.produce(k.client(), "a", "b") }, []string{"first", "a", "b"}},
		{"a commit marker", func(k *kafka) { k.commit(k.begin("x", "a")) }, []string{"first", "a"}},
		{"an aborted transaction", func(k *kafka) { k.abort(k.begin("x", "a", "b")) }, []string{"first"}},
		{"many aborted transactions", func(k *kafka) {
			for i := range 20 {
				k.abort(k.begin(fmt.Sprint(i), "a"))
			}
		}, []string{"first"}},
		{"records between the markers of others", func(k *kafka) {
			one, two := k.begin("x", "a"), k.begin("y", "b")
			k.produce(k.client(), "c")
			k.abort(one)
			k.commit(two)
		}, []string{"first", "b", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKafka(t, "t")
			k.produce(k.client(), "first")
			c.tail(k)
			got, sp, err := k.read(t.Context(), k.end(), enough)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.Equal(t, k.end(), sp.next)
		})
	}
}

func TestScanOfAnEmptyPartitionEndsAtOnce(t *testing.T) {
	k := newKafka(t, "t")
	got, sp, err := k.read(t.Context(), k.end(), enough)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Zero(t, sp.next)
}

func TestScanWaitsForATransactionThatEndsLate(t *testing.T) {
	k := newKafka(t, "t")
	open := k.begin("x", "a")
	end := k.end()
	k.produce(k.client(), "later")
	ended := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { ended <- open.EndTransaction(t.Context(), kgo.TryCommit) })
	got, sp, err := k.read(t.Context(), end, enough)
	require.NoError(t, err)
	require.NoError(t, <-ended)
	require.Equal(t, []string{"a"}, got, "what came after the end is left out")
	require.Equal(t, end, sp.next)
}

func TestScanLosesPatienceBeforeAnOpenTransaction(t *testing.T) {
	k := newKafka(t, "t")
	k.produce(k.client(), "first")
	open := k.begin("x", "a")
	got, sp, err := k.read(t.Context(), k.end(), 300*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []string{"first"}, got)
	require.EqualValues(t, 1, sp.next)
	k.abort(open)
}

func TestScanStartsWhereRetentionHasLeftTheLog(t *testing.T) {
	k := newKafka(t, "t")
	k.produce(k.client(), "a", "b", "c")
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "t", At: 2})
	_, err := k.admin.DeleteRecords(t.Context(), offsets)
	require.NoError(t, err)
	got, sp, err := k.read(t.Context(), 3, enough) // the range still says 0
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, got)
	require.EqualValues(t, 3, sp.next)
}

func TestScanIsCancelled(t *testing.T) {
	k := newKafka(t, "t")
	open := k.begin("x", "a")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := k.read(ctx, k.end(), enough)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	k.abort(open)
}
