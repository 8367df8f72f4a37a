package main

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// lookup reads the topics for one request id: what was committed when it began,
// all partitions in parallel. For one look at a time.
type lookup struct {
	*topicReader
	since time.Time // nothing that was written before; zero: all that is kept
}

func newLookup(cfg Config, kafka []kgo.Opt) (*lookup, error) {
	reader, err := newTopicReader(cfg, kafka)
	return &lookup{topicReader: reader}, err
}

// find tells what the topics hold of a request id. progress is told how many
// offsets of how many were read.
//
// Commits are asked for first, then where the ends end, then the requests: so
// what is committed as finished has its end in view, but for one of this very
// moment, and every end has its request.
func (l *lookup) find(ctx context.Context, id string, progress func(read, total int64)) (requestTrace, error) {
	filter, err := newIDFilter(id)
	if err != nil {
		return requestTrace{}, err
	}
	commits, err := l.Commits(ctx)
	if err != nil {
		return requestTrace{}, err
	}
	ends, err := l.ranges(ctx, l.since, l.topics.Retry, l.topics.Granted, l.topics.Failed, l.topics.DeadLetter)
	if err != nil {
		return requestTrace{}, err
	}
	requests, err := l.ranges(ctx, l.since, l.topics.Store, l.topics.Loyalty)
	if err != nil {
		return requestTrace{}, err
	}
	all := slices.Concat(ends, requests)
	s := &search{lookup: l, filter: filter, records: map[string]*traceRecord{}, lost: map[position]int64{}}
	s.trace.RequestID = id
	l.Progress = progress
	if err := l.Scan(ctx, all, func(r *kgo.Record) error { return s.take(ctx, r) }); err != nil {
		return requestTrace{}, err
	}
	if err := l.Scan(ctx, s.withLost(ends), s.takeLost); err != nil {
		return requestTrace{}, err
	}
	for _, r := range all {
		s.trace.Read += r.End - r.Start
		s.trimmed = s.trimmed || r.Start > 0
	}
	if !l.since.IsZero() {
		at := l.since.UTC()
		s.trace.Since = &at
	}
	return s.conclude(commits), nil
}

// search is a look under way.
type search struct {
	*lookup
	filter  idFilter
	trace   requestTrace
	records map[string]*traceRecord // by source
	extra   int                     // parkings and ends that are kept besides the newest of each record
	lost    map[position]int64      // by partition, its position 0: the first dead letter whose value fitted no topic
	trimmed bool                    // retention, or --since, keeps something out of view
}

// maxTraced bounds what is kept of an id that a producer uses again and again.
const maxTraced = 1000

func (s *search) take(ctx context.Context, r *kgo.Record) error {
	if r.Topic == s.topics.DeadLetter && len(r.Value) == 0 {
		partition := position{r.Topic, r.Partition, 0}
		if _, ok := s.lost[partition]; !ok && lostItsValue(r) {
			s.lost[partition] = r.Offset
		}
		return nil
	}
	if !s.filter.mayBeIn(r.Value) {
		return nil
	}
	if r.Topic == s.topics.Granted || r.Topic == s.topics.Failed {
		return s.outcomeRecord(ctx, r)
	}
	q, bad, err := s.request(ctx, r.Value)
	if err != nil || !s.filter.names(q, bad) {
		return err
	}
	switch r.Topic {
	case s.topics.Retry:
		s.with(header(r, headerSource), func(t *traceRecord) { t.addParking(parkingOf(r), &s.extra) })
	case s.topics.DeadLetter:
		v := viewOf(r)
		v.deadLetter(r)
		v.RequestID = q.RequestID
		s.with(v.Source, func(t *traceRecord) { t.addEnd(v, &s.extra) })
	default:
		if !s.with(positionOf(r).String(), func(t *traceRecord) { t.found(r, q, bad) }) {
			s.trace.More++
		}
	}
	return nil
}

// withLost is what is to be read again, once it is known which records are asked
// for: of a dead letter without its value only the source tells whose it is, and to
// keep all of those would take as much memory as anybody could write.
func (s *search) withLost(ends []proof.Range) (again []proof.Range) {
	for _, r := range ends {
		first, ok := s.lost[position{r.Topic, r.Partition, 0}]
		if ok && len(s.records) > 0 {
			r.Start = first
			again = append(again, r)
		}
	}
	return again
}

func (s *search) takeLost(r *kgo.Record) error {
	if t := s.records[header(r, headerSource)]; t != nil && lostItsValue(r) {
		v := letterOf(r).view
		v.RequestID = s.filter.id
		t.addEnd(v, &s.extra)
	}
	return nil
}

// lostItsValue says that there was one: what never had a value is of no request.
func lostItsValue(r *kgo.Record) bool {
	one := letterOf(r)
	return one.ValueLost && one.ValueBytes > 0
}

func (s *search) outcomeRecord(ctx context.Context, r *kgo.Record) error {
	v, err := s.view(ctx, r)
	if err != nil {
		return err
	}
	if v.RequestID == s.filter.id || v.Kind == kindUnreadable && len(s.filter.id) >= tellingID {
		s.with(v.Source, func(t *traceRecord) { t.addEnd(v, &s.extra) })
	}
	return nil
}

// with adds to what is known of a request record; false: it is one too many.
func (s *search) with(source string, add func(*traceRecord)) bool {
	t := s.records[source]
	if t == nil {
		if len(s.records) == maxTraced {
			return false
		}
		t = &traceRecord{Source: source, Parked: []traceParking{}, Ends: []view{}}
		s.records[source] = t
	}
	add(t)
	return true
}

// conclude says of each record, and of all together, what became of it.
func (s *search) conclude(commits proof.Commits) requestTrace {
	s.trace.Records = make([]traceRecord, 0, len(s.records))
	for _, t := range s.records {
		t.settle(commits)
		s.trace.Records = append(s.trace.Records, *t)
	}
	slices.SortFunc(s.trace.Records, compareRecords)
	s.trace.State, s.trace.Verdict = s.verdict()
	return s.trace
}
