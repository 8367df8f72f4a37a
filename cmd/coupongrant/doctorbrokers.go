package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/processor"
)

func brokerChecks() []check {
	return []check{
		{"brokers", "every broker can be reached", lookBrokers},
		{"transaction-version", "a delayed message cannot end up in a later transaction", lookTransactionVersion},
		{"group-protocol", "the brokers know kafka.group_protocol", lookGroupProtocol},
		{"session-timeout", "the brokers take kafka.session_timeout", lookSessionTimeout},
		{"transaction-timeout", "the brokers take kafka.transaction_timeout", lookTransactionTimeout},
		{"commit-metadata", "the brokers keep what commits say besides the offset", lookCommitMetadata},
		{"offsets-retention", "the group's offsets outlast a long standstill", lookOffsetsRetention},
	}
}

// What the brokers' settings should be at least.
const (
	metadataWanted  = 4096 // bytes; the brokers' default
	metadataLeast   = 64   // without a finished set it stays below
	standstill      = 7 * day
	standstillLeast = day
)

func lookBrokers(d *doctor) []finding {
	if err := d.kafka.err; err != nil {
		return []finding{wrong(err.Error(), "check kafka.brokers, the cluster, and the way to it")}
	}
	var all []finding
	for _, b := range d.kafka.brokers {
		if b.err != nil {
			all = append(all, wrong(
				fmt.Sprintf("a broker says that it is at %s, and cannot be reached there: %v", b.address, b.err),
				"start it; or have its advertised.listeners say an address that this host can reach"))
		}
	}
	return all
}

func lookTransactionVersion(d *doctor) []finding {
	if d.kafka.versionsErr != nil {
		return []finding{unseen("the brokers did not say it", "")}
	}
	if d.kafka.txVersion >= 2 {
		return nil
	}
	says := fmt.Sprintf("the brokers run transaction version %d: on rare occasions a delayed message may end up in a later transaction", d.kafka.txVersion)
	const mend = "upgrade them to Kafka 4.0 or later, and set the feature: kafka-features.sh --bootstrap-server BROKER upgrade --feature transaction.version=2"
	if d.cfg.Processor.RequireTV2 {
		return []finding{wrong(says+", and kafka.require_tv2 is true", mend)}
	}
	return []finding{warning(says, mend)}
}

func lookGroupProtocol(d *doctor) []finding {
	if d.kafka.versionsErr != nil {
		return []finding{unseen("the brokers did not say it", "")}
	}
	if d.cfg.Processor.GroupProtocol == processor.Consumer && !d.kafka.groups848 {
		return []finding{wrong("kafka.group_protocol is consumer, which these brokers do not know", "set it to classic, or upgrade them to Kafka 4.3 or later")}
	}
	return nil
}

func lookSessionTimeout(d *doctor) []finding {
	if all := d.needSettings(); all != nil {
		return all
	}
	if d.cfg.Processor.GroupProtocol == processor.Consumer {
		return nil // the brokers' own setting counts
	}
	timeout := d.cfg.Processor.SessionTimeout
	if least, ok := number(d.kafka.settings, "group.min.session.timeout.ms"); ok && timeout < milliseconds(least) {
		return []finding{wrong(fmt.Sprintf("kafka.session_timeout is %v, and the brokers take no less than %v", timeout, milliseconds(least)), "set it to that at least, or lower group.min.session.timeout.ms of the brokers")}
	}
	if most, ok := number(d.kafka.settings, "group.max.session.timeout.ms"); ok && timeout > milliseconds(most) {
		return []finding{wrong(fmt.Sprintf("kafka.session_timeout is %v, and the brokers take no more than %v", timeout, milliseconds(most)), "set it to that at most; 10s is usual")}
	}
	return nil
}

func lookTransactionTimeout(d *doctor) []finding {
	if all := d.needSettings(); all != nil {
		return all
	}
	most, ok := number(d.kafka.settings, "transaction.max.timeout.ms")
	if timeout := d.cfg.Processor.TransactionTimeout; ok && timeout > milliseconds(most) {
		return []finding{wrong(fmt.Sprintf("kafka.transaction_timeout is %v, and the brokers take no more than %v", timeout, milliseconds(most)), "set it to that at most; 15s is usual")}
	}
	return nil
}

func lookCommitMetadata(d *doctor) []finding {
	if all := d.needSettings(); all != nil {
		return all
	}
	most, ok := number(d.kafka.settings, "offset.metadata.max.bytes")
	says := fmt.Sprintf("offset.metadata.max.bytes of the brokers is %d", most)
	mend := fmt.Sprintf("set it to %d, the brokers' own default", metadataWanted)
	switch {
	case !ok || most >= metadataWanted:
		return nil
	case most < metadataLeast:
		return []finding{wrong(fmt.Sprintf("%s: no commit fits into less than %d, so nothing can be finished", says, metadataLeast), mend)}
	default:
		return []finding{warning(says+": while a slow request is waited for, fewer of those behind it can be finished", mend)}
	}
}

func lookOffsetsRetention(d *doctor) []finding {
	if all := d.needSettings(); all != nil {
		return all
	}
	minutes, ok := number(d.kafka.settings, "offsets.retention.minutes")
	kept := times(minutes, time.Minute)
	says := fmt.Sprintf("offsets.retention.minutes of the brokers is %d: when all replicas stand still for %v, the group's offsets are deleted and every request is ended again", minutes, kept)
	mend := "set it to " + strconv.Itoa(int(standstill/time.Minute)) + " or more"
	switch {
	case !ok || kept >= standstill:
		return nil
	case kept < standstillLeast:
		return []finding{wrong(says, mend)}
	default:
		return []finding{warning(says, mend)}
	}
}

// needSettings is what a check of the brokers' settings says that cannot look.
func (d *doctor) needSettings() []finding {
	if d.kafka.settingsErr == nil {
		return nil
	}
	return []finding{unseen(fmt.Sprintf("the brokers do not tell their settings: %v", d.kafka.settingsErr), grantMend(kmsg.ACLResourceTypeCluster, "", kadm.OpDescribeConfigs)+", or have somebody look who may")}
}
