package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// session is one life of the Kafka client: from joining the group to leaving
// it, or to the first error after which only the committed state tells the
// truth. Its goroutine alone polls, begins, produces, flushes and ends (rule 1),
// and owns the windows.
type session struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	holds   *holds
	codec   *schemas.Codec

	kafka     *kgo.GroupTransactSession
	tx        *transaction
	scheduler *scheduler
	resolver  *resolver
	windows   *windows

	bell     bell // any of the three mailboxes below
	events   *mailbox[event]
	reports  *mailbox[report]
	resolved *mailbox[int]
	wanted   *mailbox[int]

	pending   map[int][]*task // by the id of the schema that is being fetched
	banned    time.Time
	banNews   bool
	budget    int       // bytes of commit metadata
	notBefore time.Time // of the next transaction, after one that failed
	failures  int       // transactions in a row that did not commit
	passed    func()    // tells the watchdog that the loop is alive
}

const (
	pollRecords    = 1000        // at most, so that a pass stays short
	pollWait       = time.Second // at most: holds and retries are looked at again
	metadataBudget = 4000        // the broker's default limit is 4,096
	metadataFloor  = 64          // what metadata without a finished set stays below
)

// begin fences whoever used our transactional id before, and ends what it left
// open, before anything is fetched that waits for it (rule 10).
func (s *session) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.tx.deadline)
	defer cancel()
	if _, _, err := s.kafka.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("initialising the transactional id: %w", err)
	}
	s.holds.ClearKind(holdKafka)
	return nil
}

// run owns the scheduler and the resolver while the loop runs, and ends all
// three: in good order when ctx ends (nil), at once on an error.
func (s *session) run(ctx context.Context) error {
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	resolving, stopResolving := context.WithCancel(calls)
	scheduled, resolved := make(chan struct{}), make(chan struct{})
	go func() { defer close(scheduled); s.scheduler.run(calls) }()
	go func() { defer close(resolved); s.resolver.run(resolving) }()

	err := s.loop(ctx)
	stopResolving()
	if err == nil {
		timer := time.AfterFunc(s.cfg.StopTimeout, endCalls)
		err = s.drain(ctx, scheduled)
		timer.Stop()
	}
	endCalls()
	<-scheduled
	<-resolved
	return err
}

// loop runs until ctx ends (nil) or the session has to be thrown away.
func (s *session) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		s.passed()
		s.takeNews(ctx)
		if err := s.commitReady(ctx, false); err != nil {
			return err
		}
		s.pauseAndResume()
		if err := s.poll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeNews applies what came since the last pass. Assignments first: an end or
// a record must meet the window it belongs to.
func (s *session) takeNews(ctx context.Context) {
	s.applyEvents(ctx)
	for _, id := range s.resolved.take() {
		s.schemaResolved(id)
	}
	for _, r := range s.reports.take() {
		s.applyReport(r)
	}
}

func (s *session) applyEvents(ctx context.Context) {
	for _, e := range s.events.take() {
		for _, p := range e.dropped {
			s.drop(p)
		}
		if len(e.dropped) > 0 {
			s.rearm(ctx)
		}
		for _, o := range e.opened {
			s.open(o)
		}
		s.share(e.all)
	}
}

// rearm lets kgo tell us of the next revocation: it swallows all but the first
// until End is called. With no transaction open this sends nothing.
func (s *session) rearm(ctx context.Context) {
	if _, err := s.kafka.End(context.WithoutCancel(ctx), kgo.TryAbort); err != nil {
		s.log.Warn("rearming the revocation callback", "error", err)
	}
}

func (s *session) open(o opening) {
	s.drop(o.partition) // kgo may have swallowed the revocation
	h := s.windows.Assign(o.partition, o.metadata.position)
	where := o.partition.String()
	s.holds.Clear(holdMetadata, where)
	s.holds.Clear(holdLostInput, where)
	if o.note != "" {
		s.log.Warn("assigned against the odds", "topic", o.topic, "partition", o.number, "note", o.note)
	}
	if o.bar != nil {
		s.bar(h, o.bar)
		return
	}
	s.scheduler.Assign(h.assignment, h.ceiling)
	if o.metadata.ban.After(time.Now()) {
		s.scheduler.Ban(o.metadata.ban)
	}
	s.log.Info("assigned", "topic", o.topic, "partition", o.number, "offset", h.watermark, "doubt_below", h.doubtBelow, "finished_above", len(h.ended))
}

// bar keeps a partition from being worked on until a person has decided.
func (s *session) bar(h *held, why *Hold) {
	h.barred = true
	s.scheduler.Drop(h.assignment)
	s.kafka.Client().PauseFetchPartitions(map[string][]int32{h.topic: {h.number}})
	s.holds.Set(why.Kind, why.Where, why.Reason)
}

func (s *session) drop(p partition) {
	h := s.windows.Drop(p)
	if h == nil {
		return
	}
	s.scheduler.Drop(h.assignment)
	if h.paused || h.barred {
		s.kafka.Client().ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
	s.log.Info("dropped", "topic", p.topic, "partition", p.number, "watermark", h.watermark)
}

func (s *session) share(all int) {
	if all > 0 {
		s.windows.all = all
	}
	s.scheduler.Share(len(s.windows.open), s.windows.all)
	s.metrics.partitions.Set(float64(len(s.windows.open)))
	s.holds.Clear(holdStarting, "")
	s.holds.Clear(holdKafka, "group")
}

// reconcile drops the windows that kgo holds no offsets for: their revocation
// was swallowed.
func (s *session) reconcile(ctx context.Context) {
	owned := s.kafka.Client().CommittedOffsets()
	for p := range s.windows.open {
		if _, ok := owned[p.topic][p.number]; !ok {
			s.drop(p)
		}
	}
	s.rearm(ctx)
}

func (s *session) applyReport(r report) {
	if !r.banned.IsZero() {
		s.banNews = s.banNews || r.banned.After(s.banned)
		s.banned = r.banned
	}
	h, ok := s.windows.Get(r.assignment)
	if !ok {
		if r.end != nil {
			s.metrics.staleResults.Inc()
		}
		return
	}
	if r.end != nil {
		h.Finish(r.end.task.offset, r.end)
	}
	h.wish = max(h.wish, r.wish)
}

func (s *session) schemaResolved(id int) {
	waiting := s.pending[id]
	delete(s.pending, id)
	for _, t := range waiting {
		if _, ok := s.windows.Get(t.assignment); !ok {
			continue
		}
		request, bad, missing := decode(s.codec, t)
		if missing != 0 { // fallen out of the bounded cache again
			s.await(t, missing)
			continue
		}
		s.scheduler.Decoded(t, request, bad)
	}
}

func (s *session) await(t *task, schema int) {
	s.pending[schema] = append(s.pending[schema], t)
	s.wanted.put(schema)
}

// poll takes in what Kafka has for us; with nothing there it waits for records
// or news. Between a poll and AllowRebalance no partition can change hands, so
// each record meets the window it was fetched for.
func (s *session) poll(ctx context.Context) error {
	client := s.kafka.Client()
	defer client.AllowRebalance()
	fetches := s.kafka.PollRecords(nil, pollRecords) //nolint:staticcheck,contextcheck // nil is documented: what is there, at once
	if fetches.Empty() && len(fetches.Errors()) == 0 {
		client.AllowRebalance()
		waiting, cancel := context.WithTimeout(ctx, s.pollTimeout())
		waiting, stop := s.bell.awaited(waiting)
		fetches = s.kafka.PollRecords(waiting, pollRecords)
		stop()
		cancel()
	}
	s.applyEvents(ctx) // partitions that were opened right before these records
	if err := s.fetchErrors(fetches); err != nil {
		return err
	}
	s.admit(fetches)
	return nil
}

func (s *session) pollTimeout() time.Duration {
	if wait := time.Until(s.notBefore); wait > 0 {
		return min(wait, pollWait)
	}
	return pollWait
}

// admit takes polled records into their windows and hands the tasks over, in
// offset order.
func (s *session) admit(fetches kgo.Fetches) {
	var tasks []*task
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		if len(ftp.Records) == 0 {
			return
		}
		h, ok := s.windows.open[partition{ftp.Topic, ftp.Partition}]
		if !ok || h.barred {
			return
		}
		s.holds.Clear(holdTopic, h.partition.String())
		s.metrics.polled.WithLabelValues(ftp.Topic).Add(float64(len(ftp.Records)))
		for _, r := range ftp.Records {
			if t := s.admitRecord(h, r); t != nil {
				tasks = append(tasks, t)
			}
		}
	})
	if len(tasks) > 0 {
		s.scheduler.Add(tasks)
	}
}

// admitRecord returns the task to schedule, nil if there is none.
func (s *session) admitRecord(h *held, r *kgo.Record) *task {
	admission := h.Admit(r.Offset, recordSize(r), r.LeaderEpoch)
	if admission == alreadyHere {
		s.metrics.redelivered.Inc()
	}
	if admission == alreadyHere || admission == alreadyEnded {
		return nil
	}
	t := newTask(h.assignment, r, s.cfg.Topics.Retry, 2*s.cfg.Retry.Delay)
	t.inDoubt = t.inDoubt || admission == admittedInDoubt
	request, bad, missing := decode(s.codec, t)
	if bad != nil {
		h.Finish(r.Offset, bad)
		return nil
	}
	t.request = request
	if missing != 0 {
		t.pending = true
		s.await(t, missing)
	}
	return t
}

// recordSize is what a record costs in memory, roughly.
func recordSize(r *kgo.Record) int {
	const overhead = 512
	size := overhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}

func (s *session) pauseAndResume() {
	pause, resume := map[string][]int32{}, map[string][]int32{}
	for _, h := range s.windows.open {
		switch {
		case h.barred:
		case h.Full() && !h.paused:
			h.paused = true
			pause[h.topic] = append(pause[h.topic], h.number)
		case !h.Full() && h.paused:
			h.paused = false
			resume[h.topic] = append(resume[h.topic], h.number)
		}
	}
	s.kafka.Client().PauseFetchPartitions(pause)
	s.kafka.Client().ResumeFetchPartitions(resume)
	records, bytes := s.windows.Load()
	s.metrics.unfinished.Set(float64(records))
	s.metrics.windowBytes.Set(float64(bytes))
}

// commitReady makes one transaction of what is ready, if anything is. last is
// the one before leaving: it lowers the ceilings.
func (s *session) commitReady(ctx context.Context, last bool) error {
	if time.Now().Before(s.notBefore) {
		return nil
	}
	b := s.nextBatch(last)
	if b.empty() {
		return nil
	}
	err := s.tx.commit(ctx, b)
	if err == nil {
		s.committed(b)
		return nil
	}
	return s.notCommitted(ctx, err)
}

// nextBatch is what can be committed now.
func (s *session) nextBatch(last bool) *batch {
	b := &batch{positions: map[assignment]position{}}
	if s.banned.After(time.Now()) {
		b.ban = s.banned
	}
	for _, h := range s.windows.open {
		if h.barred {
			continue
		}
		pos, ends, fits := h.Ready(s.fits(b.ban))
		if !fits {
			s.holds.Set(holdMetadata, h.partition.String(), "the list of finished records does not fit into the commit metadata; raise offset.metadata.max.bytes at the brokers, or wait for the oldest request")
			continue
		}
		pos.ceiling = s.ceiling(h, pos, len(ends), last)
		if len(ends) == 0 && pos.watermark == h.watermark && pos.ceiling == h.ceiling && !s.banNews {
			continue
		}
		b.positions[h.assignment] = pos
		b.ends = append(b.ends, ends...)
	}
	return b
}

// ceiling is the one to commit with pos: what the scheduler wished for; and
// where all of the input is below it already, a little beyond, so that the next
// record need not wait for a transaction of its own.
func (s *session) ceiling(h *held, pos position, ends int, last bool) int64 {
	if last {
		return h.LowestCeiling(pos, s.scheduler.calledUnfinished(h.assignment))
	}
	ceiling := max(pos.ceiling, h.wish)
	if ends > 0 && ceiling >= h.next {
		ceiling = max(ceiling, h.next+int64(min(2*ends, s.cfg.MaxInFlight)))
	}
	return ceiling
}

func (s *session) fits(ban time.Time) func(position) bool {
	return func(pos position) bool {
		return len(pos.finished) == 0 || len(metadata{nonce: s.tx.nonce, position: pos, ban: ban}.encode()) <= s.budget
	}
}

func (s *session) committed(b *batch) {
	for a, pos := range b.positions {
		h, ok := s.windows.Get(a)
		if !ok {
			continue
		}
		raised := pos.ceiling > h.ceiling
		h.Committed(pos)
		if raised {
			s.scheduler.Raise(a, pos.ceiling)
		}
	}
	if s.failures > 0 {
		s.holds.ClearKind(holdTransaction)
		s.holds.Clear(holdTopic, "results")
		s.holds.ClearKind(holdMetadata)
	}
	s.banNews, s.failures, s.notBefore = false, 0, time.Time{}
}

// notCommitted decides what a failed transaction means: try again later with
// everything as it was (rule 6), or throw the session away (rule 8).
func (s *session) notCommitted(ctx context.Context, err error) error {
	s.failures++
	s.notBefore = time.Now().Add(min(50*time.Millisecond<<min(s.failures, 6), 2*time.Second))
	switch {
	case errors.Is(err, errNotOwned):
		s.log.Info("transaction given up, a partition has moved", "error", err)
		s.notBefore = time.Time{}
		s.reconcile(ctx)
	case errors.Is(err, errMetadataLarge):
		s.budget /= 2
		s.log.Warn("halving the commit metadata", "budget", s.budget, "error", err)
		if s.budget < metadataFloor {
			s.holds.Set(holdMetadata, "", "the brokers take less than 64 bytes of commit metadata: raise offset.metadata.max.bytes")
		}
	case errors.Is(err, errUnwritable):
		s.holds.Set(holdTopic, "results", fmt.Sprintf("%v: outcomes wait; create the topic (`coupongrant topics create`) or grant this user the right to write", err))
	case errors.Is(err, errAborted):
		s.log.Info("transaction aborted, the results go out again", "error", err)
		if s.failures >= 5 {
			s.holds.Set(holdTransaction, "", fmt.Sprintf("%d transactions in a row did not commit: %v", s.failures, err))
		}
	default:
		return err
	}
	return nil
}

// drain ends a session in good order: no new calls, those in flight finish,
// what is finished is committed, and the ceilings come down, so that only a
// crash leaves doubt. done is closed when the scheduler has ended.
func (s *session) drain(ctx context.Context, done <-chan struct{}) error {
	s.scheduler.Drain()
	for {
		s.passed()
		s.takeNews(ctx)
		if err := s.commitReady(ctx, false); err != nil {
			return err
		}
		select {
		case <-done:
			s.takeNews(ctx)
			s.notBefore = time.Time{}
			return s.commitReady(ctx, true)
		case <-s.bell:
		case <-time.After(s.pollTimeout()):
		}
	}
}

// fetchErrors sorts what a poll complained of: nothing is skipped, what needs a
// person becomes a hold.
func (s *session) fetchErrors(fetches kgo.Fetches) error {
	for _, fe := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		p := partition{fe.Topic, fe.Partition}
		switch {
		case errors.Is(fe.Err, context.Canceled), errors.Is(fe.Err, context.DeadlineExceeded):
		case errors.Is(fe.Err, kgo.ErrClientClosed):
			return fe.Err
		case errors.As(fe.Err, &loss), errors.Is(fe.Err, kerr.OffsetOutOfRange):
			h := s.windows.open[p]
			if h == nil || h.barred {
				continue
			}
			s.bar(h, bar(holdLostInput, p, fmt.Sprintf("%v at offset %d: input vanished before it was read; to go on without it start with --accept-lost-input", fe.Err, h.next)))
		case fe.Topic == "":
			s.holds.Set(holdKafka, "group", fmt.Sprintf("the group cannot be joined: %v; check the cluster and the rights of this user", fe.Err))
		default:
			s.holds.Set(holdTopic, p.String(), fmt.Sprintf("reading: %v; check the topic and the rights of this user", fe.Err))
		}
	}
	return nil
}
