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
	var gone []Range // of the topics of ends, where something was not read before
	for _, r := range ranges {
		tp := topicPartition{r.Topic, r.Partition}
		start, ok := starts.Lookup(r.Topic, r.Partition)
		if !ok || start.Offset <= l.checker.read[tp] {
			continue // what is gone was read before
		}
		if p := l.checker.inputs[tp]; p != nil {
			p.Start = max(p.Start, start.Offset)
		} else if r.Topic != l.Topics.Retry {
			gone = append(gone, r)
		}
	}
	if err := l.trimmed(ctx, gone); err != nil {
		return err
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

// trimmed tells the checker how new the ends may be that are gone of partitions. It
// has to know how long they are kept: else any request without an end might have had
// one, and none would be seen to be lost.
func (l *look) trimmed(ctx context.Context, gone []Range) error {
	if len(gone) == 0 {
		return nil
	}
	oldest, err := l.listed(ctx, l.admin, after(0), topicsOf(gone)...)
	if err != nil {
		return err
	}
	kept := map[string]retention{}
	for _, topic := range topicsOf(gone) {
		if kept[topic], err = l.retention(ctx, topic); err != nil {
			return fmt.Errorf("reading how long %s keeps its records, of which some are gone: %w", topic, OnTopic(kadm.OpDescribeConfigs, topic).OrLacks(err))
		}
	}
	now := time.Now()
	for _, r := range gone {
		var left time.Time
		if at, ok := oldest.Lookup(r.Topic, r.Partition); ok && at.Timestamp > 0 {
			left = time.UnixMilli(at.Timestamp)
		}
		l.checker.Trimmed(kept[r.Topic].tookBefore(left, now))
	}
	return nil
}

// retention of a topic; -1: it keeps records however old or however many they are.
type retention struct {
	ms    int64
	bytes int64 // of a partition
}

// retention is such that it may take any record where brokers do not tell.
func (l *look) retention(ctx context.Context, topic string) (retention, error) {
	described, err := l.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return retention{}, err
	}
	values := map[string]int64{"retention.ms": -1, "retention.bytes": 0}
	one, err := described.On(topic, func(r *kadm.ResourceConfig) error { return r.Err })
	for _, c := range one.Configs {
		if n, err := strconv.ParseInt(c.MaybeValue(), 10, 64); err == nil {
			values[c.Key] = n
		}
	}
	return retention{values["retention.ms"], values["retention.bytes"]}, err
}

// tookBefore is a moment before which all was written that retention took of a
// partition. Records go in the order in which they came, so it is older than what is
// left. What goes by age is older than that lets it be. By size may go what is newer,
// but never all, unless nothing may stay: where nothing is left the last went by age.
func (k retention) tookBefore(left, now time.Time) time.Time {
	before := now
	if k.ms >= 0 && (k.bytes < 0 || k.bytes > 0 && left.IsZero()) {
		before = time.UnixMilli(now.UnixMilli() - k.ms)
	}
	if !left.IsZero() && left.Before(before) {
		before = left
	}
	return before
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
