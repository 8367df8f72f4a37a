package proof

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// moved looks again where the logs start after a scan of ranges, since retention
// may have moved on while they were read. What was deleted counts as read.
func (l *look) moved(ctx context.Context, ranges []Range, spans map[topicPartition]*span) error {
	starts, err := l.listed(ctx, l.admin, (*kadm.Client).ListStartOffsets, topicsOf(ranges)...)
	if err != nil {
		return err
	}
	for tp, sp := range spans {
		if start, ok := starts.Lookup(tp.topic, tp.partition); ok {
			sp.next = max(sp.next, min(start.Offset, sp.end))
		}
	}
	kept := map[string]time.Time{} // asked for once a topic, and only if anything is gone
	for _, r := range ranges {
		tp := topicPartition{r.Topic, r.Partition}
		start, ok := starts.Lookup(r.Topic, r.Partition)
		if !ok || start.Offset <= l.checker.read[tp] {
			continue // what is gone was read before
		}
		if p := l.checker.inputs[tp]; p != nil {
			p.Start = max(p.Start, start.Offset)
			continue
		}
		if r.Topic == l.Topics.Retry {
			continue
		}
		if kept[r.Topic].IsZero() {
			kept[r.Topic] = l.keptSince(ctx, r.Topic)
		}
		l.checker.Trimmed(trimmedBefore(spans[tp], kept[r.Topic]))
	}
	return l.unread(ctx, spans)
}

func topicsOf(ranges []Range) (topics []string) {
	for _, r := range ranges {
		if !slices.Contains(topics, r.Topic) {
			topics = append(topics, r.Topic)
		}
	}
	return topics
}

// trimmedBefore: what retention took is older than what is left, and older than
// the topic's retention.
func trimmedBefore(sp *span, kept time.Time) time.Time {
	if sp == nil || sp.firstAt.IsZero() || kept.Before(sp.firstAt) {
		return kept
	}
	return sp.firstAt
}

// keptSince is the time from which on the topic keeps everything; now, if that
// cannot be known, since a limit by size can take any record.
func (l *look) keptSince(ctx context.Context, topic string) time.Time {
	now := time.Now()
	described, err := l.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(described) != 1 || described[0].Err != nil {
		return now
	}
	values := map[string]int64{"retention.ms": -1, "retention.bytes": 0}
	for _, c := range described[0].Configs {
		if n, err := strconv.ParseInt(c.MaybeValue(), 10, 64); err == nil {
			values[c.Key] = n
		}
	}
	if values["retention.ms"] < 0 || values["retention.bytes"] >= 0 {
		return now
	}
	return time.UnixMilli(now.UnixMilli() - values["retention.ms"])
}

// unread tells the checker of partitions that did not reach their end, and why.
func (l *look) unread(ctx context.Context, spans map[topicPartition]*span) error {
	for tp, sp := range spans {
		if sp.next >= sp.end {
			continue
		}
		stable, err := l.listed(ctx, l.admin, (*kadm.Client).ListCommittedOffsets, tp.topic)
		if err != nil {
			return err
		}
		why := "the brokers gave nothing more"
		if at, ok := stable.Lookup(tp.topic, tp.partition); ok && at.Offset < sp.end {
			why = fmt.Sprintf("a transaction is open since offset %d", at.Offset)
		}
		l.checker.Unread(Unread{Topic: tp.topic, Partition: tp.partition, From: sp.next, End: sp.end, Why: why})
	}
	return nil
}
