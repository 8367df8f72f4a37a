//go:build chaos || apart

package proof_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// moveCoordinators makes other brokers the coordinators of a group and of a
// transactional id, as when their partitions' leaders change.
func (b *realBrokers) moveCoordinators(ctx context.Context, group, transactionalID string) error {
	groupBefore, txnBefore, err := b.coordinatorsOf(ctx, group, transactionalID)
	if err != nil {
		return err
	}
	if err := b.moveLeader(ctx, "__consumer_offsets", coordinatorPartition(group)); err != nil {
		return err
	}
	if err := b.moveLeader(ctx, "__transaction_state", coordinatorPartition(transactionalID)); err != nil {
		return err
	}
	var nowGroup, nowTxn int32
	moved := within(leaderMoveTime, "a coordinator has not moved", func() bool {
		nowGroup, nowTxn, err = b.coordinatorsOf(ctx, group, transactionalID)
		return err == nil && nowGroup != groupBefore && nowTxn != txnBefore
	})
	if moved != nil {
		return fmt.Errorf("%w: the group's was %d and is %d, the transactional id's was %d and is %d",
			errors.Join(moved, err), groupBefore, nowGroup, txnBefore, nowTxn)
	}
	return nil
}

func (b *realBrokers) coordinatorsOf(ctx context.Context, group, transactionalID string) (ofGroup, ofTxn int32, err error) {
	g := b.admin.FindGroupCoordinators(ctx, group)[group]
	x := b.admin.FindTxnCoordinators(ctx, transactionalID)[transactionalID]
	return g.NodeID, x.NodeID, errors.Join(g.Err, x.Err)
}

// moveLeaders gives the first partition of each topic another leader.
func (b *realBrokers) moveLeaders(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		if err := b.moveLeader(ctx, topic, 0); err != nil {
			return err
		}
	}
	return nil
}

// moveLeader reorders a partition's replicas and has the first one elected.
func (b *realBrokers) moveLeader(ctx context.Context, topic string, partition int32) error {
	before, replicas, err := b.leaderOf(ctx, topic, partition)
	if err != nil {
		return err
	}
	order := []int32{}
	for _, r := range replicas {
		if r != before {
			order = append(order, r)
		}
	}
	order = append(order, before)
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, partition, order)
	altered, err := b.admin.AlterPartitionAssignments(ctx, req)
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return fmt.Errorf("reordering the replicas of %s/%d: %w", topic, partition, err)
	}
	only := kadm.TopicsSet{}
	only.Add(topic, partition)
	return within(leaderMoveTime, fmt.Sprintf("the leader of %s/%d has not moved", topic, partition), func() bool {
		_, _ = b.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, only) // asked again until it is so
		now, _, err := b.leaderOf(ctx, topic, partition)
		return err == nil && now != before
	})
}

func (b *realBrokers) leaderOf(ctx context.Context, topic string, partition int32) (leader int32, replicas []int32, err error) {
	req, wanted := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	wanted.Topic = &topic
	req.Topics = append(req.Topics, wanted)
	found, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return 0, nil, err
	}
	for _, t := range found.Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.ErrorCode == 0 {
				return p.Leader, p.Replicas, nil
			}
		}
	}
	return 0, nil, fmt.Errorf("the brokers do not tell of %s/%d", topic, partition)
}

// coordinatorPartition is where brokers keep a group or a transactional id:
// Java's hash of its name.
func coordinatorPartition(name string) int32 {
	var hash int32
	for _, c := range []byte(name) { // these names are ASCII
		hash = 31*hash + int32(c)
	}
	return int32(max(int64(hash), -int64(hash)) % coordinators) // the least hash of all would be partition 0: -2^31 is a multiple of 8
}
