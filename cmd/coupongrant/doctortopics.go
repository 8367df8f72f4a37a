package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicChecks() []check {
	return []check{
		{"topics", "the six topics exist, and every partition has a leader", lookTopics},
		{"topic-settings", "the settings of the topics can be seen", lookTopicSettings},
		{"partitions", "granted and failed can be joined partition by partition", lookPartitions},
		{"replication", "no single broker can lose records or stop writing", lookReplication},
		{"cleanup", "no request is deleted because a later one has its key", lookCleanup},
		{"retention", "requests are kept until they are ended", lookRetention},
		{"sizes", "what is parked or dead fits as it is", lookSizes},
		{"elections", "a broker that lags behind is never made leader", lookElections},
	}
}

const keyUncleanElection = "unclean.leader.election.enable"

// eachTopic looks at the topics that are there, and says which cannot be seen. What is
// missing is told by the check of the topics alone.
func (d *doctor) eachTopic(look func(topic string, t topicFacts) []finding) []finding {
	topics := d.cfg.Processor.Topics.All()
	present, hidden := d.kafka.present(topics), d.kafka.hidden(topics)
	if len(present)+len(hidden) == 0 {
		return []finding{unseen("there is none of the topics", "")}
	}
	var all []finding
	for _, topic := range present {
		all = append(all, look(topic, d.kafka.topics[topic])...)
	}
	if len(hidden) > 0 {
		all = append(all, unseen(strings.Join(hidden, ", ")+" cannot be seen", ""))
	}
	return all
}

// untoldSettings is what a check says that would look at settings of these topics and
// cannot. Why, and what mends it, lookTopicSettings says once for all checks.
func (d *doctor) untoldSettings(topics ...string) []finding {
	untold := slices.DeleteFunc(d.kafka.present(topics), func(topic string) bool { return d.kafka.topics[topic].settingsErr == nil })
	if len(untold) == 0 {
		return nil
	}
	return []finding{unseen("the settings of "+strings.Join(untold, ", ")+" are not told", "")}
}

func lookTopics(d *doctor) []finding {
	keys := topicKeys(d.cfg)
	var all []finding
	for _, topic := range d.cfg.Processor.Topics.All() {
		t := d.kafka.topics[topic]
		switch {
		case errors.Is(t.Err, kerr.TopicAuthorizationFailed):
			all = append(all, wrong(fmt.Sprintf("this user may not see the topic %s (%s)", topic, keys[topic]), grantMend(kmsg.ACLResourceTypeTopic, topic, d.cfg.Processor.Topics.Needs(topic)...)))
			continue
		case t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			all = append(all, unseen(fmt.Sprintf("the topic %s (%s) cannot be looked at: %v", topic, keys[topic], t.Err), "try again; if it lasts, look at the brokers"))
			continue
		case t.Err != nil || t.Topic != topic:
			missing := missingTopic(d.cfg, topic)
			all = append(all, wrong(missing.says, missing.mend))
			continue
		}
		var leaderless []string
		for _, p := range t.Partitions.Sorted() {
			if p.Leader < 0 {
				leaderless = append(leaderless, fmt.Sprint(p.Partition))
			}
		}
		if len(leaderless) > 0 {
			all = append(all, wrong(fmt.Sprintf("partition %s of %s has no leader: it can be neither read nor written", strings.Join(leaderless, ", "), topic), "start the brokers that have its replicas"))
		}
	}
	return all
}

func lookTopicSettings(d *doctor) []finding {
	return d.eachTopic(func(topic string, t topicFacts) []finding {
		if t.settingsErr == nil {
			return nil
		}
		return []finding{unseen(fmt.Sprintf("the settings of %s are not told: %v", topic, t.settingsErr), grantMend(kmsg.ACLResourceTypeTopic, topic, kadm.OpDescribeConfigs)+", or have somebody look who may")}
	})
}

func lookPartitions(d *doctor) []finding {
	topics := d.cfg.Processor.Topics
	granted, failed := len(d.kafka.topics[topics.Granted].Partitions), len(d.kafka.topics[topics.Failed].Partitions)
	switch {
	case granted == 0 || failed == 0:
		return []finding{unseen("they are not both there", "")}
	case granted == failed:
		return nil
	}
	return []finding{warning(
		fmt.Sprintf("%s has %d partitions and %s has %d: readers that join both by key find the outcomes of one key in partitions of different numbers", topics.Granted, granted, topics.Failed, failed),
		"give both as many, before anyone relies on them")}
}

func lookReplication(d *doctor) []finding {
	var single []string
	found := d.eachTopic(func(topic string, t topicFacts) []finding {
		var all []finding
		copies := int64(t.Partitions.NumReplicas())
		least, told := number(t.settings, keyMinInSync)
		switch {
		case told && least > copies:
			return []finding{wrong(fmt.Sprintf("%s of %s is %d, and there are %d copies: nothing can be written", keyMinInSync, topic, least, copies), "lower it, or add replicas")}
		case copies < 2:
			single = append(single, topic)
			return nil
		case told && least < 2:
			all = append(all, warning(fmt.Sprintf("%s of %s is %d: what one broker alone has acknowledged is lost with it", keyMinInSync, topic, least), "set it to 2"))
		case told && least == copies:
			all = append(all, warning(fmt.Sprintf("%s of %s is %d, as many as there are copies: nothing can be written while one broker is down", keyMinInSync, topic, least), "add a replica, or set it to one less"))
		}
		for _, p := range t.Partitions.Sorted() {
			if p.Leader >= 0 && len(p.ISR) < len(p.Replicas) {
				return append(all, warning(fmt.Sprintf("partition %d of %s has %d of %d copies in sync", p.Partition, topic, len(p.ISR), len(p.Replicas)), "start the brokers that have the others, and give them time"))
			}
		}
		return all
	})
	if len(single) > 0 {
		found = append(found, warning(
			fmt.Sprintf("there is one copy of %s: with its broker the records are gone, or out of reach", strings.Join(single, ", ")),
			"give them 3 replicas (kafka-reassign-partitions.sh), and "+keyMinInSync+" 2"))
	}
	return append(found, d.untoldSettings(d.cfg.Processor.Topics.All()...)...)
}

// alterTopic is the command that changes a setting of a topic.
func alterTopic(topic, key string, to any) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server BROKER --alter --topic %s --add-config %s=%v", shellWord(topic), key, to)
}

func lookCleanup(d *doctor) []finding {
	found := d.eachTopic(func(topic string, t topicFacts) []finding {
		if !strings.Contains(t.settings[keyCleanup], "compact") {
			return nil
		}
		return []finding{wrong(
			fmt.Sprintf("%s of %s is %s: of records with one key only the last stays, and the others are lost", keyCleanup, topic, t.settings[keyCleanup]),
			alterTopic(topic, keyCleanup, "delete"))}
	})
	return append(found, d.untoldSettings(d.cfg.Processor.Topics.All()...)...)
}

func lookRetention(d *doctor) []finding {
	topics := d.cfg.Processor.Topics
	giveUp := d.cfg.Processor.Retry.GiveUpAfter
	found := d.eachTopic(func(topic string, t topicFacts) []finding {
		if topic == topics.Granted || topic == topics.Failed || topic == topics.DeadLetter {
			return nil // how long those are kept is the readers' business
		}
		var all []finding
		if n, ok := number(t.settings, keyRetention); ok && n >= 0 {
			kept := milliseconds(n)
			alter := func(to time.Duration) string { return alterTopic(topic, keyRetention, to.Milliseconds()) }
			switch {
			case topic == topics.Retry && kept <= 2*giveUp:
				all = append(all, wrong(
					fmt.Sprintf("%s of %s is %v, and parked requests may wait there for twice retry.give_up_after (%v) and longer: they are deleted without an end", keyRetention, topic, kept, giveUp),
					alter(max(resultRetention, 2*giveUp+day))))
			case topic != topics.Retry && kept < day:
				all = append(all, warning(fmt.Sprintf("%s of %s is %v: an outage of that length loses requests", keyRetention, topic, kept), alter(resultRetention)))
			}
		}
		if n, ok := number(t.settings, "retention.bytes"); ok && n >= 0 {
			all = append(all, warning(fmt.Sprintf("retention.bytes of %s is %d: when much comes in an outage, requests are deleted before they are read", topic, n),
				alterTopic(topic, "retention.bytes", -1)))
		}
		return all
	})
	return append(found, d.untoldSettings(topics.Inputs()...)...)
}

func lookSizes(d *doctor) []finding {
	topics := d.cfg.Processor.Topics
	largest := int64(0)
	for _, topic := range []string{topics.Store, topics.Loyalty} {
		if n, ok := number(d.kafka.topics[topic].settings, keyMaxMessage); ok {
			largest = max(largest, n)
		}
	}
	wanted := withHeaders(largest)
	found := d.eachTopic(func(topic string, t topicFacts) []finding {
		n, ok := number(t.settings, keyMaxMessage)
		if topic != topics.Retry && topic != topics.DeadLetter || !ok || largest == 0 || n >= wanted {
			return nil
		}
		return []finding{warning(
			fmt.Sprintf("%s of %s is %d, and the inputs take %d: a large request that should go there becomes a dead letter without its value", keyMaxMessage, topic, n, largest),
			alterTopic(topic, keyMaxMessage, wanted))}
	})
	return append(found, d.untoldSettings(append(topics.Inputs(), topics.DeadLetter)...)...)
}

func lookElections(d *doctor) []finding {
	found := d.eachTopic(func(topic string, t topicFacts) []finding {
		if t.settings[keyUncleanElection] != "true" {
			return nil
		}
		return []finding{warning(
			fmt.Sprintf("%s of %s is true: after a fault, records that were acknowledged can vanish", keyUncleanElection, topic),
			alterTopic(topic, keyUncleanElection, false))}
	})
	return append(found, d.untoldSettings(d.cfg.Processor.Topics.All()...)...)
}
