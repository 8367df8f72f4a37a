package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
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
	topics          Topics
	protocol        GroupProtocol
	acceptForeign   bool
	acceptLostInput bool
	recollection    *recollection
	unopened        *unopened

	mu      sync.Mutex
	fetched map[partition]metadata // between OnOffsetsFetched and the adjusting that follows it
	foreign map[partition]error
	cuts    map[partition]cut   // that the session before has found; each is for once
	unended map[partition]*span // that sessions before had read, and not all had ended
}

// event is a change of what we own.
type event struct {
	joining bool               // a new generation of the group is being formed, or will be
	joined  bool               // the new generation is there, and we are in it
	lost    bool               // our membership, or a join failed: kgo tells of no other loss before End
	failed  error              // the group cannot be joined, or was left because of this
	member  string             // what the group calls us; with joined and opened
	blocked bool               // a rebalance waits for AllowRebalance
	synced  map[string][]int32 // what the new generation gives us; nil: not news of that
	dropped []partition
	opened  []opening
	inputs  float64 // that there are, by weight; 0: not looked
}

// opening is a partition that came to us.
type opening struct {
	partition
	metadata metadata
	withheld *Hold // it must not be worked on, and why
	note     string
	unseen   bool      // nothing is committed, and its log could not be looked at
	before   []earlier // what was asked for in it
	logEnd   int64
	topicID  kadm.TopicID
}

func newAssignments(events *mailbox[event], cfg Config, cuts map[partition]cut, unended map[partition]*span, recollection *recollection) *assignments {
	return &assignments{
		events: events, topics: cfg.Topics, protocol: cfg.GroupProtocol, acceptForeign: cfg.AcceptForeignOffsets, acceptLostInput: cfg.AcceptLostInput,
		fetched: map[partition]metadata{}, foreign: map[partition]error{}, cuts: cuts, unended: unended, recollection: recollection, unopened: new(unopened),
	}
}

// options are the group callbacks.
func (as *assignments) options() []kgo.Opt {
	// kgo calls it, with nothing lost, at the start of each join that it tells of.
	dropped := func(partitions map[string][]int32, lost bool) {
		e := event{joining: true, lost: lost}
		for topic, numbers := range partitions {
			for _, number := range numbers {
				e.dropped = append(e.dropped, partition{topic, number})
			}
		}
		as.events.put(e)
	}
	balancing := kgo.Balancers(sensingBalancer{kgo.CooperativeStickyBalancer(), func(plan map[string][]int32) {
		as.events.put(event{synced: plan})
	}})
	if as.protocol == Consumer {
		balancing = kgo.ServerSideBalancer()
	}
	var client *kgo.Client // AdjustFetchOffsetsFn is given none; OnOffsetsFetched runs right before it
	return []kgo.Opt{
		balancing,
		kgo.WithHooks(as, as.unopened),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) {
			as.events.put(event{blocked: true})
		}),
		kgo.OnPartitionsAssigned(func(ctx context.Context, cl *kgo.Client, added map[string][]int32) {
			e := event{joined: true}
			e.member, _ = cl.GroupMetadata()
			if len(added) == 0 { // else open counts them
				e.inputs, _ = as.inputs(ctx, cl)
			} else {
				as.unopened.given()
			}
			as.events.put(e)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) { dropped(revoked, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { dropped(lost, true) }),
		kgo.OnOffsetsFetched(func(_ context.Context, cl *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
			client = cl
			as.unopened.fetched()
			as.read(resp)
			return nil
		}),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			adjusted, err := as.open(ctx, client, offsets)
			as.unopened.looked(err == nil)
			return adjusted, err
		}),
	}
}

// OnGroupManageError implements kgo.HookGroupManageError. A poll tells the same, but
// maybe when we have joined already.
func (as *assignments) OnGroupManageError(err error) {
	if !onlyMissed(err) && !errors.Is(err, context.Canceled) {
		as.events.put(event{failed: err})
	}
}

// onlyMissed is what a member is told that has missed something of the group: no
// trouble, as kgo joins anew at once.
func onlyMissed(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress)
}

// inputs asks how many input partitions there are, by weight, and for the ids of their
// topics; 0: nobody says. A rebalance may come from partitions that were added, and bring
// us none of them.
func (as *assignments) inputs(ctx context.Context, cl *kgo.Client) (weight float64, ids map[string]kadm.TopicID) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	topics, err := kadm.NewClient(cl).ListTopics(ctx, as.topics.Inputs()...)
	if err != nil {
		return 0, nil
	}
	ids = map[string]kadm.TopicID{}
	for name, details := range topics {
		ids[name] = details.ID
	}
	if topics.Error() == nil {
		topics.EachPartition(func(p kadm.PartitionDetail) { weight += as.topics.weight(p.Topic) })
	}
	return weight, ids
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
	logs, err := readLogs(ctx, cl, as.topics.Inputs())
	if err != nil {
		return nil, err
	}
	inputs, ids := as.inputs(ctx, cl)
	e, err := as.openAll(logs, ids, offsets)
	if err != nil {
		return nil, err
	}
	e.inputs = max(inputs, e.inputs)
	e.member, _ = cl.GroupMetadata()
	as.recollect(ctx, logs, e.opened)
	if err := ctx.Err(); err != nil {
		return nil, err // a rebalance: kgo comes back for these
	}
	as.events.put(e)
	return offsets, nil
}

// openAll sets where the new partitions are read from.
func (as *assignments) openAll(logs map[partition]bound, ids map[string]kadm.TopicID, offsets map[string]map[int32]kgo.Offset) (e event, err error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for p := range logs {
		e.inputs += as.topics.weight(p.topic) // without those of a broker that does not answer
	}
	for topic, numbers := range offsets {
		for number := range numbers {
			p := partition{topic, number}
			log, err := as.boundsOf(p, logs)
			if err != nil {
				return event{}, err
			}
			log.topicID = ids[topic]
			o := as.opening(p, log)
			o.unseen, o.logEnd, o.topicID = log.unseen, log.end, log.topicID
			e.opened = append(e.opened, o)
			numbers[number] = kgo.NewOffset().At(o.metadata.position.watermark).WithEpoch(o.metadata.position.leaderEpoch)
		}
	}
	return e, nil
}

// recollect reads back what was asked for in partitions that are worked on, of those whose
// logs could be looked at: others have no leader who could be asked.
func (as *assignments) recollect(ctx context.Context, logs map[partition]bound, opened []opening) {
	reaches := map[partition]reach{}
	for _, o := range opened {
		if log, listed := logs[o.partition]; listed && log.err == nil && o.withheld == nil {
			reaches[o.partition] = reachOf(o.metadata.position, log.start, len(opened))
		}
	}
	found := as.recollection.of(ctx, reaches)
	for i := range opened {
		opened[i].before = found[opened[i].partition]
	}
}

// boundsOf is where the log of a partition begins and ends. Of one that cannot be
// looked at the commit is believed; a gap then shows when it is read. Where nothing is
// committed and only a leader is missing it is taken to begin at 0, and looked at again
// should it not (fetchErrors). But a commit that cannot be read is no commit to believe:
// what it is gone on over is all in doubt, to the end of the log.
func (as *assignments) boundsOf(p partition, logs map[partition]bound) (bound, error) {
	log, listed := logs[p]
	if !listed {
		log.err = errNotListed
	}
	if log.err == nil {
		return log, nil
	}
	m, committed := as.fetched[p]
	switch leaderless := errors.Is(log.err, errNotListed) || kerr.IsRetriable(log.err); {
	case committed && (as.foreign[p] == nil || !as.acceptForeign):
		return bound{end: m.position.reached()}, nil
	case !committed && leaderless:
		return bound{unseen: true}, nil
	default:
		return log, fmt.Errorf("listing where %s begins and ends: %w", p, log.err)
	}
}

// stillUnended is what was read of each partition and has not all ended, at the end of a
// session that leaves these windows.
func (as *assignments) stillUnended(left *windows, member bool) map[partition]*span {
	as.mu.Lock()
	defer as.mu.Unlock()
	left.noteUnended(as.unended, member)
	return maps.Clone(as.unended) // kgo may call once more
}

// bound is where a partition's log begins and ends. A partition without a leader
// has an error in their place, and holds up nobody else.
type bound struct {
	start, end int64
	err        error
	topicID    kadm.TopicID
	unseen     bool // nobody could say, and nothing depends on it
}

var errNotListed = errors.New("the brokers did not list it")

func readLogs(ctx context.Context, cl *kgo.Client, topics []string) (map[partition]bound, error) {
	adm := kadm.NewClient(cl)
	start, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil && len(start) == 0 {
		return nil, fmt.Errorf("listing where the input begins: %w", err)
	}
	end, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil && len(end) == 0 {
		return nil, fmt.Errorf("listing where the input ends: %w", err)
	}
	logs := map[partition]bound{}
	start.Each(func(o kadm.ListedOffset) {
		if o.Partition < 0 {
			return // the topic as a whole could not be listed
		}
		b := bound{start: o.Offset, err: o.Err}
		if e, ok := end.Lookup(o.Topic, o.Partition); !ok {
			b.err = errNotListed
		} else if b.err == nil {
			b.end, b.err = e.Offset, e.Err
		}
		logs[partition{o.Topic, o.Partition}] = b
	})
	return logs, nil
}

func (as *assignments) opening(p partition, log bound) opening {
	m, committed := as.fetched[p]
	if !committed {
		return as.anew(p, log)
	}
	o := opening{partition: p, metadata: m}
	at := m.position.watermark
	if c, found := as.cuts[p]; found && c.committed == at {
		log.end = min(log.end, c.at)
	}
	delete(as.cuts, p)
	if err := as.foreign[p]; err != nil {
		if !as.acceptForeign {
			reason := fmt.Sprintf("%v; if nothing else commits for this group, start with --accept-foreign-offsets to go on at offset %d without it", err, at)
			if _, later := errors.AsType[*LaterMetadataError](err); later {
				reason = err.Error()
			}
			o.withheld = withheld(holdMetadata, p, reason)
			return o
		}
		o.note = "went on over commit metadata that cannot be read"
		o.metadata = freshAt(at)
		o.metadata.position.ceiling = max(at, log.end) // whoever committed that may have called for all of it
	}
	switch reached := o.metadata.position.reached(); {
	case at < log.start && as.acceptLostInput:
		o.note = fmt.Sprintf("input lost: offsets %d to %d were deleted before all in them had ended", at, log.start-1)
		o.metadata.position = o.metadata.position.movedTo(log.start)
	case at < log.start:
		o.withheld = withheld(holdLostInput, p, fmt.Sprintf("offsets %d to %d were deleted before all in them had ended; to go on without them start with --accept-lost-input", at, log.start-1))
	case reached > log.end && as.acceptLostInput:
		o.note = fmt.Sprintf("input lost: the log ends at %d, committed was %d", log.end, reached)
		o.metadata.position = o.metadata.position.cutAt(log.end)
	case reached > log.end:
		o.withheld = withheld(holdLostInput, p, fmt.Sprintf("the log ends at offset %d but %d is committed: it was truncated or the topic recreated; to go on at its end start with --accept-lost-input", log.end, reached))
	}
	if o.withheld == nil {
		delete(as.unended, p) // who committed has gone on, or a person knows
	}
	return o
}

// anew opens a partition of which nothing is committed where its log begins. If its topic
// was made anew, and what we had read of the one before had not all ended, a person is
// told: brokers have forgotten what was committed, and nobody can read it again.
func (as *assignments) anew(p partition, log bound) opening {
	o := opening{partition: p, metadata: freshAt(log.start)}
	lost, noted := as.unended[p]
	switch {
	case !noted || lost.isOf(log.topicID):
	case as.acceptLostInput:
		o.note = fmt.Sprintf("input lost: of the topic before not all at offsets %d to %d had ended when it was made anew", lost.from, lost.to-1)
		delete(as.unended, p)
	default:
		o.withheld = withheld(holdLostInput, p, fmt.Sprintf("the topic was made anew before all at offsets %d to %d of the one before had ended: what is missing of it has no end, though some may have been granted; to read the new one start with --accept-lost-input", lost.from, lost.to-1))
	}
	return o
}

func withheld(kind string, p partition, reason string) *Hold {
	return &Hold{Kind: kind, Where: p.String(), Reason: reason}
}
