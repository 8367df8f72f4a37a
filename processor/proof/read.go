package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// defaultPatience outlasts the broker's scan for transactions that timed out.
const defaultPatience = 30 * time.Second

const leaderChange = 250 * time.Millisecond // is about what one takes

// Source says where a system's topics are and how to read them.
type Source struct {
	Options  []kgo.Opt // brokers, TLS, SASL; nothing of consuming
	Topics   Topics
	Group    string
	Codec    *schemas.Codec
	Registry *schemas.Registry // fetches the schemas that the Codec does not know yet

	// Patience is how long reading waits while nothing moves, as before an open
	// transaction, until it calls the rest Unread, and how long it asks a
	// registry that gives no answer. 0: 30 s.
	Patience time.Duration
	// Progress is told how many offsets of how many were read. nil: nobody.
	Progress func(read, total int64)

	// State is a folder in which Checker.Save keeps what is known, so that the
	// next Read reads only what is new. Empty: none.
	State string

	round int64 // ends read at a time; 0: defaultRound
}

// Read takes one look at a system, which may be running, and returns a Checker
// that knows everything but the ledger. A breach or an open transaction is no
// error; not reaching brokers or registry is one, and so is a missing topic.
//
// The order of looking makes it sound: watermarks before ends, so that what a
// watermark covers is in view; ends before requests, so that no end is without
// its request. Commit and ends of one transaction become visible apart from
// each other on real brokers; reading to the high watermark under read_committed
// waits for the late ones.
func Read(ctx context.Context, s *Source) (*Checker, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	l := &look{Reader: NewReader(s), admin: kadm.NewClient(client)}
	if l.checker, err = l.open(ctx); err != nil {
		return nil, err
	}
	l.checker.now = time.Now()
	if err := l.run(ctx); err != nil {
		return nil, errors.Join(err, l.checker.Close())
	}
	return l.checker, nil
}

func (l *look) open(ctx context.Context) (*Checker, error) {
	if l.State == "" {
		return NewChecker(l.Topics), nil
	}
	ids := map[string]string{}
	topics, err := l.admin.ListTopics(ctx, l.Topics.all()...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", orHidden(ctx, l.admin, l.Topics.all(), err))
	}
	for name, topic := range topics {
		ids[name] = topic.ID.String()
	}
	return openState(l.Topics, state{dir: l.State, group: l.Group, topicIDs: ids})
}

func (l *look) run(ctx context.Context) error {
	committed, err := l.committed(ctx)
	if err != nil {
		return err
	}
	ends, err := l.ranges(ctx, committed, l.Topics.Retry, l.Topics.Granted, l.Topics.Failed, l.Topics.DeadLetter)
	if err != nil {
		return err
	}
	requests, err := l.ranges(ctx, committed, l.Topics.Inputs...)
	if err != nil {
		return err
	}
	return l.read(ctx, requests, ends)
}

// look is one Read under way.
type look struct {
	*Reader
	admin       *kadm.Client
	checker     *Checker
	seen, total int64 // offsets
	since, step int64 // milliseconds: up to when ends were read, and how far the next round goes
}

func (t *Topics) all() []string {
	return append(slices.Clone(t.Inputs), t.Retry, t.Granted, t.Failed, t.DeadLetter)
}

func (s *Source) client(opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(slices.Concat(s.Options, opts)...)
	if err != nil {
		return nil, fmt.Errorf("setting up the Kafka client: %w", err)
	}
	return client, nil
}

func (s *Source) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return defaultPatience
}

// committed reads the watermarks without waiting for pending transactions: an
// older watermark only makes the verdict milder.
func (l *look) committed(ctx context.Context) (kadm.OffsetResponses, error) {
	offsets, err := l.admin.FetchOffsets(ctx, l.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil // it has not committed yet
	}
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		may := Right{kadm.OpDescribe, kmsg.ACLResourceTypeGroup, l.Group}
		return nil, fmt.Errorf("reading the offsets of group %s: %w", l.Group, may.OrLacks(err))
	}
	return offsets, nil
}

func (l *look) ranges(ctx context.Context, committed kadm.OffsetResponses, topics ...string) ([]Range, error) {
	ends, err := l.listed(ctx, l.admin, (*kadm.Client).ListEndOffsets, topics...)
	if err != nil {
		return nil, orHidden(ctx, l.admin, topics, err)
	}
	starts, err := l.listed(ctx, l.admin, (*kadm.Client).ListStartOffsets, topics...)
	if err != nil {
		return nil, err
	}
	var all []Range
	ends.Each(func(end kadm.ListedOffset) {
		r := Range{Topic: end.Topic, Partition: end.Partition, End: end.Offset, Committed: -1}
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok {
			r.Start = start.Offset
		}
		if at, ok := committed.Lookup(end.Topic, end.Partition); ok {
			r.Committed, r.Finished = at.At, finishedSet(at.At, at.Metadata)
		}
		if read := l.checker.read[topicPartition{r.Topic, r.Partition}]; read > r.End {
			err = fmt.Errorf("%s/%d ends at %d, and was read up to %d before: it was truncated or made again; use an empty folder for the state", r.Topic, r.Partition, r.End, read)
		}
		l.checker.AddRange(r)
		l.total += left(l.from(r))
		all = append(all, r)
	})
	return all, err
}

// listing asks of topics where each partition is.
type listing = func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)

// after asks where the first record of a time or a later one stands, or else the end is.
func after(ms int64) listing {
	return func(admin *kadm.Client, ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return admin.ListOffsetsAfterMilli(ctx, ms, topics...)
	}
}

// listed asks until every partition tells, within our patience. While its leader changes
// none does, and kgo asks only one of several brokers again that were asked for a topic
// (maybeDeleteCachedMeta, 1.22). A topic that is not there is not waited for.
func (s *Source) listed(ctx context.Context, admin *kadm.Client, list listing, topics ...string) (kadm.ListedOffsets, error) {
	for deadline := time.Now().Add(s.patience()); ; {
		offsets, err := list(admin, ctx, topics...)
		if err != nil {
			return nil, fmt.Errorf("listing offsets: %w", err)
		}
		for topic, partitions := range offsets {
			for _, p := range partitions {
				if p.Err != nil {
					err = fmt.Errorf("listing offsets of %s: %w", topic, p.Err)
				}
			}
		}
		switch {
		case err == nil:
			return offsets, nil
		case !kerr.IsRetriable(err) || errors.Is(err, kerr.UnknownTopicOrPartition) || time.Now().After(deadline):
			return nil, err
		}
		select {
		case <-time.After(leaderChange):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *look) progress(offsets int64) {
	l.seen += offsets
	if l.Progress != nil {
		l.Progress(l.seen, l.total)
	}
}

func (l *look) request(ctx context.Context, r *kgo.Record) error {
	req, bad, err := l.Request(ctx, r.Value)
	if err == nil {
		l.checker.AddRequest(r, req, bad)
	}
	return err
}

func (l *look) waiting(ctx context.Context, r *kgo.Record) error {
	req, bad, err := l.Request(ctx, r.Value)
	if err == nil {
		l.checker.AddWaiting(r, req, bad)
	}
	return err
}

func (l *look) end(ctx context.Context, r *kgo.Record) error {
	switch r.Topic {
	case l.Topics.Retry:
		l.checker.AddParked(r)
	case l.Topics.DeadLetter:
		l.checker.AddDeadLetter(r)
	default:
		outcome, bad, err := l.Outcome(ctx, r.Value)
		if err != nil {
			return err
		}
		l.checker.AddOutcome(r, outcome, bad)
	}
	return nil
}
