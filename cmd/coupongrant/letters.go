package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// letter is a dead letter as people see it, and its JSON.
type letter struct {
	view
	ValueBytes int  `json:"value_bytes"`
	ValueLost  bool `json:"value_lost,omitempty"` // it fitted no topic: only its size and SHA-256 are kept
}

func letterOf(r *kgo.Record) letter {
	one := letter{view: viewOf(r), ValueBytes: len(r.Value)}
	one.deadLetter(r)
	if size, err := strconv.Atoi(header(r, headerValueSize)); err == nil && len(r.Value) == 0 {
		one.ValueBytes, one.ValueLost = size, true
	}
	return one
}

func compareLetters(a, b letter) int {
	return cmp.Or(a.Written.Compare(b.Written), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// text is the letter in three lines.
func (l *letter) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s", clock(l.Written), l.position(), printable(l.Reason))
	if l.RequestID != "" {
		fmt.Fprintf(&b, "  request %s", printable(l.RequestID))
	}
	fmt.Fprintf(&b, "\n    of %s, %s%s\n", printable(l.Source), attempts(l.Attempts), doubt(l.InDoubt, l.FirstAttemptAt))
	fmt.Fprintf(&b, "    %s\n", printable(l.Error))
	return b.String()
}

// letters reads the dead-letter topic.
type letters struct {
	*topicReader
	filter     letterFilter
	told       io.Writer
	noRegistry bool // it was asked in vain: request ids are not shown
}

func (c *cli) openLetters(ctx context.Context, cfg Config, filter letterFilter, line *statusLine) (*letters, error) {
	if err := reachable(ctx, cfg); err != nil {
		return nil, err
	}
	reader, err := newTopicReader(cfg, kafkaOptions(cfg, quiet()))
	if err != nil {
		return nil, err
	}
	reader.Progress = readProgress(line)
	return &letters{topicReader: reader, filter: filter, told: line}, nil
}

// all hands over every dead letter that is chosen.
func (l *letters) all(ctx context.Context, each func(letter)) error {
	ranges, err := l.ranges(ctx, l.filter.since, l.topics.DeadLetter)
	if err != nil {
		return err
	}
	return l.Scan(ctx, l.within(ranges), func(r *kgo.Record) error {
		if !l.filter.takes(r) {
			return nil
		}
		one := letterOf(r)
		chosen, err := l.name(ctx, r, &one)
		if err == nil && chosen {
			each(one)
		}
		return err
	})
}

// within leaves out what the choice of partition and offsets does.
func (l *letters) within(ranges []proof.Range) (some []proof.Range) {
	for _, r := range ranges {
		if l.filter.partition >= 0 && r.Partition != l.filter.partition {
			continue
		}
		r.Start = max(r.Start, l.filter.first)
		if l.filter.last < r.End {
			r.End = l.filter.last + 1
		}
		if r.Start < r.End {
			some = append(some, r)
		}
	}
	return some
}

// name finds the request id, which is all that is shown of a value, and says
// whether it is the one that was asked for.
func (l *letters) name(ctx context.Context, r *kgo.Record, one *letter) (chosen bool, err error) {
	if len(r.Value) == 0 || l.noRegistry {
		return l.filter.id == nil, nil
	}
	q, bad, err := l.request(ctx, r.Value)
	switch {
	case err != nil && l.filter.id == nil && ctx.Err() == nil:
		fmt.Fprintf(l.told, "coupongrant: request ids are not shown: %v\n", err)
		l.noRegistry = true
		return true, nil
	case err != nil:
		return false, err
	}
	one.RequestID = q.RequestID
	return l.filter.id == nil || l.filter.id.names(q, bad), nil
}
