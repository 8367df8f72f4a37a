//go:build synctests

package processor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Every request that a session sends, answered once with each error that brokers
// are known to answer it with, while calls are in flight: whatever the engine
// does about it, nothing is lost and nothing ends twice.
func TestErrorMatrix(t *testing.T) {
	coordinator := []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress}
	transaction := []*kerr.Error{
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState,
		kerr.ConcurrentTransactions, kerr.TransactionAbortable, kerr.UnknownServerError, kerr.RequestTimedOut,
	}
	group := []*kerr.Error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress}
	for _, row := range []struct {
		key    kmsg.Key
		errors [][]*kerr.Error
	}{
		{kmsg.Produce, [][]*kerr.Error{{
			kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
			kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.MessageTooLarge, kerr.InvalidRecord,
			kerr.TopicAuthorizationFailed, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.OutOfOrderSequenceNumber,
			kerr.UnknownProducerID, kerr.TransactionAbortable, kerr.InvalidTxnState, kerr.CorruptMessage, kerr.KafkaStorageError,
		}}},
		{kmsg.TxnOffsetCommit, [][]*kerr.Error{coordinator, transaction, group, {
			kerr.GroupAuthorizationFailed, kerr.OffsetMetadataTooLarge, kerr.UnknownTopicOrPartition,
		}}},
		{kmsg.EndTxn, [][]*kerr.Error{coordinator, transaction, {kerr.TransactionalIDAuthorizationFailed}}},
		{kmsg.InitProducerID, [][]*kerr.Error{coordinator, {
			kerr.ConcurrentTransactions, kerr.ProducerFenced, kerr.UnknownServerError, kerr.RequestTimedOut,
			kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		}}},
		{kmsg.OffsetFetch, [][]*kerr.Error{coordinator, {
			kerr.UnstableOffsetCommit, kerr.GroupAuthorizationFailed, kerr.UnknownServerError, kerr.TopicAuthorizationFailed,
		}}},
		{kmsg.Fetch, [][]*kerr.Error{{
			kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.UnknownTopicOrPartition,
			kerr.OffsetNotAvailable, kerr.KafkaStorageError, kerr.CorruptMessage, kerr.TopicAuthorizationFailed,
			kerr.UnknownServerError, kerr.FetchSessionIDNotFound, kerr.InvalidFetchSessionEpoch,
		}}},
		{kmsg.FindCoordinator, [][]*kerr.Error{{kerr.CoordinatorNotAvailable, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed}}},
		{kmsg.Heartbeat, [][]*kerr.Error{coordinator, group, {kerr.GroupAuthorizationFailed, kerr.UnknownServerError}}},
		{kmsg.JoinGroup, [][]*kerr.Error{coordinator, {kerr.UnknownMemberID, kerr.GroupAuthorizationFailed, kerr.UnknownServerError}}},
		{kmsg.SyncGroup, [][]*kerr.Error{coordinator, group}},
		{kmsg.ListOffsets, [][]*kerr.Error{{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.UnknownServerError, kerr.TopicAuthorizationFailed}}},
		// These two are sent to brokers before transaction version 2 only.
		{kmsg.AddPartitionsToTxn, [][]*kerr.Error{coordinator, transaction, {
			kerr.TransactionalIDAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed, kerr.OperationNotAttempted,
		}}},
		{kmsg.AddOffsetsToTxn, [][]*kerr.Error{coordinator, transaction, {
			kerr.TransactionalIDAuthorizationFailed, kerr.GroupAuthorizationFailed,
		}}},
	} {
		for _, errs := range row.errors {
			for _, err := range errs {
				t.Run(row.key.Name()+"/"+err.Message, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { oneError(t, row.key, err) })
				})
			}
		}
	}
}

// oneError runs two replicas under load and answers one request with an error,
// when the first has work in hand and again when the second has joined.
func oneError(t *testing.T, key kmsg.Key, err *kerr.Error) {
	var calls atomic.Int64
	var brokers []kfake.Opt
	if key == kmsg.AddPartitionsToTxn || key == kmsg.AddOffsetsToTxn {
		brokers = append(brokers, kfake.MaxVersions(kversion.V3_8_0()))
	}
	s := newShop(t, 2, takes(300*time.Millisecond, &calls), brokers...)
	first := s.start(s.config("r1"))
	s.spread("a", 20, 2)
	time.Sleep(200 * time.Millisecond)
	faults := []*kfake.FaultHandle{s.fault(key, err)}
	s.spread("b", 20, 2)
	time.Sleep(2 * time.Second)
	if isFenced(err) {
		time.Sleep(time.Minute) // twice within a minute would be another process
	}
	if faults[0].Hits() > 0 {
		faults = append(faults, s.fault(key, err))
	}
	second := s.start(s.config("r2"))
	s.spread("c", 20, 2)
	onceEach(t, 60, s.settled(60))
	for testutil.ToFloat64(second.metrics.partitions) == 0 {
		time.Sleep(time.Second)
	}
	hits := 0
	for _, f := range faults {
		hits += f.Hits()
	}
	require.Positive(t, hits, "the error was never answered")
	for _, r := range []*replica{first, second} {
		require.NoError(t, r.stopped())
	}
	require.Zero(t, s.lag("coupongrant"))
}

// fault answers one request with an error, where it has a place for it: at the
// top, or in the first entity.
func (s *shop) fault(key kmsg.Key, err *kerr.Error) *kfake.FaultHandle {
	topLevel := map[kmsg.Key]bool{
		kmsg.EndTxn: true, kmsg.InitProducerID: true, kmsg.Heartbeat: true, kmsg.JoinGroup: true, kmsg.SyncGroup: true, kmsg.AddOffsetsToTxn: true,
	}
	topic := map[kmsg.Key]string{ // those that the test itself does not ask about
		kmsg.Produce: s.topics.Granted, kmsg.AddPartitionsToTxn: s.topics.Granted, kmsg.ListOffsets: s.topics.Store, kmsg.Fetch: s.topics.Store,
	}
	return s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 1, TopLevel: topLevel[key], Topic: topic[key]})
}
