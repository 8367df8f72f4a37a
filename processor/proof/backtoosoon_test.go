//go:build chaos

package proof_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker is killed when it has written that a transaction commits, and nobody else has
// that. If it is back before the controller has missed it, Apache Kafka 4.4.0 has it act
// on what it wrote until it is registered again; then another coordinator, which knows
// of no commit, aborts. No client can prevent that (docs/guarantees.md); who restarts
// brokers can.

const (
	tornTries      = 12 // about one in three is torn
	tornPartitions = 6
)

func TestTransactionsAreWholeWhenAKilledBrokerWaits(t *testing.T) {
	b := brokersToKill(t)
	for try := range tornTries / 2 {
		committed := b.killedCommitting(t, try, b.start)
		require.Contains(t, []int{0, tornPartitions}, committed, "partitions in which the transaction is committed")
	}
}

// TestTransactionsAreTornWhenAKilledBrokerIsBackTooSoon is the control. Should it fail
// with a later Kafka, killed brokers need not wait any more.
func TestTransactionsAreTornWhenAKilledBrokerIsBackTooSoon(t *testing.T) {
	b := brokersToKill(t)
	for try := range tornTries {
		committed := b.killedCommitting(t, try, func(i int) error {
			if err := b.launch(i); err != nil {
				return err
			}
			return within(brokerStart, "the broker does not serve", func() bool { return b.serves(i) && b.inSync() })
		})
		if t.Logf("try %d: committed in %d of %d partitions", try, committed, tornPartitions); committed%tornPartitions != 0 {
			return
		}
	}
	t.Fatal("no transaction was torn")
}

func brokersToKill(t *testing.T) *realBrokers {
	t.Helper()
	return startBrokers(t, t.TempDir(), brokerSetup{count: brokerCount, jvm: smallJVM(), more: func(_, _ string) string {
		return "broker.session.timeout.ms=15000\n" // longer than a start takes
	}})
}

// killedCommitting kills the coordinator of a transaction that it alone knows to commit,
// has it started again, and returns in how many partitions the transaction is committed
// when all is over.
func (b *realBrokers) killedCommitting(t *testing.T, try int, again func(int) error) int {
	t.Helper()
	name := fmt.Sprintf("torn-%d", try) // of the topic, and the transactional id
	_, err := b.admin.CreateTopic(t.Context(), tornPartitions, brokerCount, nil, name)
	require.NoError(t, err)
	require.NoError(t, within(brokerStart, "the topic has not all its copies", b.inSync))
	client, err := kgo.NewClient(kgo.SeedBrokers(b.direct...), kgo.TransactionalID(name), kgo.TransactionTimeout(5*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	for p := range tornPartitions {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Partition: int32(p), Value: []byte{0}}).FirstErr())
	}
	found := b.admin.FindTxnCoordinators(t.Context(), name)[name]
	require.NoError(t, found.Err)
	coordinator := int(found.NodeID) - 1

	require.NoError(t, b.signalOthers(coordinator, syscall.SIGSTOP))
	time.Sleep(1500 * time.Millisecond) // replica.fetch.wait.max.ms is 500: what they had asked for is answered by now
	b.commitUnanswered(t, client, name, found.NodeID)
	require.NoError(t, b.kill(coordinator))
	require.NoError(t, b.signalOthers(coordinator, syscall.SIGCONT))
	require.NoError(t, again(coordinator))
	require.NoError(t, within(brokerStart, "the transaction is under way", func() bool { return b.decided(t.Context(), name) }))
	return b.committedIn(t, name)
}

func (b *realBrokers) signalOthers(but int, sig os.Signal) error {
	for i, p := range b.procs {
		if i == but {
			continue
		}
		if err := p.Process.Signal(sig); err != nil {
			return fmt.Errorf("sending %v to broker %d: %w", sig, i+1, err)
		}
	}
	return nil
}

// commitUnanswered asks for a commit that the coordinator cannot answer: the others do
// not take it over.
func (b *realBrokers) commitUnanswered(t *testing.T, client *kgo.Client, id string, coordinator int32) {
	t.Helper()
	producer, epoch, err := client.ProducerID(t.Context())
	require.NoError(t, err)
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, producer, epoch, true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = client.Broker(int(coordinator)).RetriableRequest(ctx, req)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// decided says that every partition ends with a marker.
func (b *realBrokers) decided(ctx context.Context, topic string) bool {
	stable, err := b.admin.ListCommittedOffsets(ctx, topic)
	if err != nil || stable.Error() != nil {
		return false
	}
	all := true
	stable.Each(func(o kadm.ListedOffset) { all = all && o.Offset > 1 })
	return all && len(stable[topic]) == tornPartitions
}

// committedIn reads each partition to its end.
func (b *realBrokers) committedIn(t *testing.T, topic string) (committed int) {
	t.Helper()
	for p := range int32(tornPartitions) {
		reader, err := kgo.NewClient(kgo.SeedBrokers(b.direct...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().At(0)}}))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
		for marked := false; !marked; {
			fetches := reader.PollFetches(ctx)
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Attrs.IsControl() {
					marked = true
				} else {
					committed++
				}
			})
		}
		cancel()
		reader.Close()
	}
	return committed
}
