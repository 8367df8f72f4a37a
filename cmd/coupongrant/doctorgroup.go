package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/processor"
)

func groupChecks() []check {
	return []check{
		{"rights", "this user may read, write and commit, as far as can be seen", lookRights},
		{"group-members", "every member of the group is this program", lookMembers},
		{"other-groups", "no other fleet ends the same requests, as far as can be seen", lookOtherGroups},
		{"commits", "the group's commits can be gone on from", lookCommits},
		{"transactional-id", "nobody else uses the transactional id, as far as can be seen", lookTransactionalID},
	}
}

func isNoGroup(err error) bool       { return errors.Is(err, kerr.GroupIDNotFound) }
func isNoTransaction(err error) bool { return errors.Is(err, kerr.TransactionalIDNotFound) }

func lookRights(d *doctor) []finding {
	group := d.cfg.Processor.Group
	all := d.eachTopic(func(topic string, t topicFacts) []finding {
		var missing []kadm.ACLOperation
		var names []string
		for _, op := range d.cfg.Processor.Topics.Needs(topic) {
			if t.forbids(op) {
				missing, names = append(missing, op), append(names, strings.ToLower(operationNames[op]))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return []finding{wrong(fmt.Sprintf("this user may not %s the topic %s", strings.Join(names, " and "), topic), grantMend(kmsg.ACLResourceTypeTopic, topic, missing...))}
	})
	if errors.Is(d.kafka.group.err, kerr.GroupAuthorizationFailed) || forbids(d.kafka.group.rights, kadm.OpRead) {
		all = append(all, wrong("this user may not join the group "+group, grantMend(kmsg.ACLResourceTypeGroup, group, kadm.OpRead)))
	}
	if errors.Is(d.kafka.txErr, kerr.TransactionalIDAuthorizationFailed) {
		all = append(all, wrong("this user may not use the transactional id "+d.cfg.Processor.TransactionalID,
			transactionalMend(d.cfg.Processor.TransactionalID, group)))
	}
	return all
}

// transactionalMend is of the names that begin with the group's: those of replicas
// by default, and that of `dead-letters replay`.
func transactionalMend(id, group string) string {
	mend := grantMend(kmsg.ACLResourceTypeTransactionalId, group, kadm.OpWrite) + " --resource-pattern-type prefixed, which `dead-letters replay` needs too"
	if !strings.HasPrefix(id, group) {
		mend = grantMend(kmsg.ACLResourceTypeTransactionalId, id, kadm.OpWrite) + "; and " + mend
	}
	return mend
}

func lookMembers(d *doctor) []finding {
	switch {
	case errors.Is(d.kafka.group.err, kerr.GroupAuthorizationFailed):
		return []finding{unseen("this user may not see the group", "")}
	case d.kafka.group.err != nil:
		return []finding{wrong(fmt.Sprintf("the group %s cannot be looked at: %v", d.cfg.Processor.Group, d.kafka.group.err), "see to it that the coordinator of the group answers; topic __consumer_offsets must have its brokers")}
	}
	inputs := slices.Sorted(slices.Values(d.cfg.Processor.Topics.Inputs()))
	var all []finding
	for _, m := range d.kafka.group.members {
		topics := slices.Sorted(slices.Values(m.topics))
		switch {
		case m.client != clientID:
			all = append(all, wrong(
				fmt.Sprintf("the group %s has a member that is not this program: client id %s at %s", d.cfg.Processor.Group, m.client, m.host),
				"give that client a group of its own, or set kafka.group to another name for all replicas"))
		case !slices.Equal(topics, inputs):
			all = append(all, wrong(
				fmt.Sprintf("a replica at %s reads other topics in the group %s: %s", m.host, d.cfg.Processor.Group, strings.Join(topics, ", ")),
				"give all replicas of a group the same settings topics.*"))
		}
	}
	return all
}

// lookOtherGroups finds this program in another group. What else reads the inputs is
// nobody's harm.
func lookOtherGroups(d *doctor) []finding {
	inputs := d.cfg.Processor.Topics.Inputs()
	var all []finding
	if err := d.kafka.othersErr; err != nil {
		all = append(all, unseen(fmt.Sprintf("the other groups are not told, or not all of them: %v", err), "try again; if it lasts, see whether this user may describe them, and look at the brokers"))
	}
	for _, group := range sortedKeys(d.kafka.others) {
		members := d.kafka.others[group]
		at := slices.IndexFunc(members, func(m memberFacts) bool {
			return m.client == clientID && slices.ContainsFunc(m.topics, func(topic string) bool { return slices.Contains(inputs, topic) })
		})
		if at >= 0 {
			all = append(all, wrong(
				fmt.Sprintf("a replica at %s reads the same topics in another group, %s: every request is called twice, and ends twice", members[at].host, group),
				"stop the fleet that does not belong there, or give it topics of its own; then `coupongrant audit`"))
		}
	}
	return all
}

func lookCommits(d *doctor) []finding {
	switch {
	case isNoGroup(d.kafka.commitsErr):
		return nil // nothing was committed so far
	case d.kafka.commitsErr != nil:
		return []finding{unseen(fmt.Sprintf("the group's offsets are not told: %v", d.kafka.commitsErr), "")}
	}
	var all []finding
	var untold []string // partitions
	var reason error    // of the first of them
	for _, o := range d.kafka.commits.Sorted() {
		if !slices.Contains(d.cfg.Processor.Topics.Inputs(), o.Topic) {
			continue
		}
		where := fmt.Sprintf("%s/%d", o.Topic, o.Partition)
		start, hasStart := d.kafka.starts.Lookup(o.Topic, o.Partition)
		end, hasEnd := d.kafka.ends.Lookup(o.Topic, o.Partition)
		reached, err := processor.Reached(o.At, o.Metadata)
		_, later := errors.AsType[*processor.LaterMetadataError](err)
		switch {
		case o.Err != nil:
			untold, reason = append(untold, where), cmp.Or(reason, o.Err)
		case later:
			all = append(all, wrong(fmt.Sprintf("the commit of %s at offset %d: %v", where, o.At, err), "run the version that made the commit, or a newer one"))
		case err != nil:
			all = append(all, wrong(
				fmt.Sprintf("the commit of %s at offset %d is not this program's: %v", where, o.At, err),
				"find out who else commits for the group; if it is known that nothing above the offset was ended, `coupongrant run --accept-foreign-offsets` goes on from it"))
		case hasStart && start.Err == nil && o.At < start.Offset:
			all = append(all, wrong(
				fmt.Sprintf("%s is committed up to offset %d, and begins at %d: what is between vanished before all of it had ended", where, o.At, start.Offset),
				"see whether its producer can send it again; then `coupongrant run --accept-lost-input` goes on without it"))
		case hasEnd && end.Err == nil && reached > end.Offset:
			all = append(all, wrong(
				fmt.Sprintf("%s is committed up to offset %d, and ends at %d: the topic was made again, or truncated", where, reached, end.Offset),
				fmt.Sprintf("stop all replicas; if nothing of what is in it was ended before (it was made again), kafka-consumer-groups.sh --bootstrap-server BROKER --group %s --topic %s:%d --reset-offsets --to-earliest --execute; if all of it was (it was cut short, or restored), `coupongrant run --accept-lost-input` goes on at its end",
					shellWord(d.cfg.Processor.Group), shellWord(o.Topic), o.Partition)))
		case !hasStart || !hasEnd || start.Err != nil || end.Err != nil:
			untold, reason = append(untold, where), cmp.Or[error](reason, start.Err, end.Err, d.kafka.offsetsErr, kerr.UnknownTopicOrPartition)
		}
	}
	if len(untold) > 0 {
		all = append(all, unseen(
			fmt.Sprintf("what is committed of %s cannot be compared with what the topics hold: %v", strings.Join(untold, ", "), reason),
			"try again; if it lasts, look at the brokers"))
	}
	return all
}

func lookReplicaName(d *doctor) []finding {
	if d.cfg.Origins[keyTransactionalID] != "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil || host == "localhost" || strings.HasPrefix(host, "localhost.") {
		return []finding{warning(
			fmt.Sprintf("kafka.transactional_id is %s by default, and this host has no name of its own: replicas on other such hosts would have the same, and fence each other for ever", d.cfg.Processor.TransactionalID),
			"set kafka.transactional_id for each replica, such as by COUPONGRANT_KAFKA_TRANSACTIONAL_ID from the pod's name")}
	}
	return nil
}

// lookTransactionalID finds signs of somebody else: who has it open, and how it
// was set up. Nobody can see who uses it right now.
func lookTransactionalID(d *doctor) []finding {
	t, id := d.kafka.transaction, d.cfg.Processor.TransactionalID
	switch err := d.kafka.txErr; {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return []finding{unseen("this user may not see the transactional id", "")}
	case err != nil:
		return []finding{unseen(fmt.Sprintf("the transactional id %s cannot be looked at: %v", id, err), "try again; if it lasts, look at the brokers: those before Kafka 3.0 cannot tell")}
	case t == nil:
		return nil // it was never used
	}
	const mend = "give every replica of every group a kafka.transactional_id of its own"
	for topic := range t.Topics {
		if !slices.Contains(d.cfg.Processor.Topics.All(), topic) && topic != "__consumer_offsets" {
			return []finding{wrong(fmt.Sprintf("the transactional id %s has a transaction open that writes to %s: somebody else uses it, and both fence each other", id, topic), mend)}
		}
	}
	used := time.Duration(t.TimeoutMillis) * time.Millisecond
	if used > 0 && used != d.cfg.Processor.TransactionTimeout {
		return []finding{warning(fmt.Sprintf("the transactional id %s was last used with a transaction timeout of %v, not %v (kafka.transaction_timeout): by an earlier setting, or by somebody else", id, used, d.cfg.Processor.TransactionTimeout), mend)}
	}
	return nil
}
