package processor

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// assignments receives what the group callbacks tell and leaves it for the
// session goroutine, in order. kgo calls these methods from its own goroutines.
//
// A partition is opened where its committed offset and metadata are read, not
// in OnPartitionsAssigned, which runs before. kgo may swallow a revocation
// (its wrapper returns early until End is called), so the commit looks at the
// ownership once more (rule 5).
type assignments struct {
	events          *mailbox[event]
	inputs          []string
	acceptForeign   bool
	acceptLostInput bool

	mu      sync.Mutex
	fetched map[partition]metadata // between OnOffsetsFetched and the adjusting that follows it
	foreign map[partition]error
}

// event is a change of what we hold.
type event struct {
	dropped []partition
	opened  []opening
	all     int // input partitions there are; 0: not looked
}

// opening is a partition that came to us.
type opening struct {
	partition
	metadata metadata
	bar      *Hold // it must not be worked on
	note     string
}

func newAssignments(events *mailbox[event], cfg Config) *assignments {
	return &assignments{
		events: events, inputs: cfg.Topics.Inputs(), acceptForeign: cfg.AcceptForeignOffsets, acceptLostInput: cfg.AcceptLostInput,
		fetched: map[partition]metadata{}, foreign: map[partition]error{},
	}
}

// options are the group callbacks.
func (as *assignments) options() []kgo.Opt {
	dropped := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		var e event
		for topic, numbers := range lost {
			for _, number := range numbers {
				e.dropped = append(e.dropped, partition{topic, number})
			}
		}
		if len(e.dropped) > 0 {
			as.events.put(e)
		}
	}
	var client *kgo.Client // AdjustFetchOffsetsFn is given none; OnOffsetsFetched runs right before it
	return []kgo.Opt{
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			as.events.put(event{}) // to have joined is news, though we may get nothing
		}),
		kgo.OnPartitionsRevoked(dropped),
		kgo.OnPartitionsLost(dropped),
		kgo.OnOffsetsFetched(func(_ context.Context, cl *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
			client = cl
			as.read(resp)
			return nil
		}),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return as.open(ctx, client, offsets)
		}),
	}
}

// read keeps the metadata of an OffsetFetch answer. It is by topic name: kgo
// resolves topic ids before it calls.
func (as *assignments) read(resp *kmsg.OffsetFetchResponse) {
	as.mu.Lock()
	defer as.mu.Unlock()
	clear(as.fetched)
	clear(as.foreign)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				as.readPartition(partition{t.Topic, p.Partition}, p)
			}
		}
	}
}

func (as *assignments) readPartition(at partition, p kmsg.OffsetFetchResponseGroupTopicPartition) {
	if p.ErrorCode != 0 || p.Offset < 0 {
		return
	}
	text := ""
	if p.Metadata != nil {
		text = *p.Metadata
	}
	m, err := decodeMetadata(p.Offset, p.LeaderEpoch, text)
	as.fetched[at] = m
	if err != nil {
		as.foreign[at] = err
	}
}

// open gives every new partition an explicit position, so that no abort can
// rewind it to an offset that is gone (rule 10), and compares it with the log:
// what vanished before it was read is a hold, never a silent skip (P1).
func (as *assignments) open(ctx context.Context, cl *kgo.Client, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	logs, err := readLogs(ctx, cl, as.inputs)
	if err != nil {
		return nil, err
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	e := event{all: logs.partitions}
	for topic, numbers := range offsets {
		for number := range numbers {
			o := as.opening(partition{topic, number}, logs)
			e.opened = append(e.opened, o)
			numbers[number] = kgo.NewOffset().At(o.metadata.position.watermark).WithEpoch(o.metadata.position.leaderEpoch)
		}
	}
	as.events.put(e)
	return offsets, nil
}

// logs are the bounds of the input partitions' logs.
type logs struct {
	start, end kadm.ListedOffsets
	partitions int
}

func readLogs(ctx context.Context, cl *kgo.Client, topics []string) (logs, error) {
	adm := kadm.NewClient(cl)
	start, err := adm.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = start.Error()
	}
	if err != nil {
		return logs{}, fmt.Errorf("listing where the input begins: %w", err)
	}
	end, err := adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = end.Error()
	}
	if err != nil {
		return logs{}, fmt.Errorf("listing where the input ends: %w", err)
	}
	l := logs{start: start, end: end}
	start.Each(func(kadm.ListedOffset) { l.partitions++ })
	return l, nil
}

func (as *assignments) opening(p partition, l logs) opening {
	start, _ := l.start.Lookup(p.topic, p.number)
	end, _ := l.end.Lookup(p.topic, p.number)
	m, committed := as.fetched[p]
	if !committed {
		return opening{partition: p, metadata: freshAt(start.Offset)}
	}
	o := opening{partition: p, metadata: m}
	at := m.position.watermark
	if err := as.foreign[p]; err != nil {
		if !as.acceptForeign {
			o.bar = bar(holdMetadata, p, fmt.Sprintf("%v; if nothing else commits for this group, start with --accept-foreign-offsets to go on at offset %d without it", err, at))
			return o
		}
		o.note = "went on over commit metadata that cannot be read"
		o.metadata = freshAt(at)
	}
	switch {
	case at < start.Offset && as.acceptLostInput:
		o.note = fmt.Sprintf("input lost: offsets %d to %d were deleted before they were read", at, start.Offset-1)
		o.metadata = freshAt(start.Offset)
	case at < start.Offset:
		o.bar = bar(holdLostInput, p, fmt.Sprintf("offsets %d to %d were deleted before they were read; to go on without them start with --accept-lost-input", at, start.Offset-1))
	case at > end.Offset && as.acceptLostInput:
		o.note = fmt.Sprintf("input lost: the log ends at %d, committed was %d", end.Offset, at)
		o.metadata = freshAt(end.Offset)
	case at > end.Offset:
		o.bar = bar(holdLostInput, p, fmt.Sprintf("the log ends at offset %d but %d is committed: it was truncated or the topic recreated; to go on at its end start with --accept-lost-input", end.Offset, at))
	}
	return o
}

func freshAt(offset int64) metadata {
	return metadata{position: position{watermark: offset, ceiling: offset, leaderEpoch: -1}}
}

func bar(kind string, p partition, reason string) *Hold {
	return &Hold{Kind: kind, Where: p.String(), Reason: reason}
}
