package processor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

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
	tracing *tracing

	kafka     *kgo.GroupTransactSession
	tx        *transaction
	scheduler *scheduler
	resolver  *resolver
	unread    *unread
	windows   *windows

	bell     bell // any of the four mailboxes below
	events   *mailbox[event]
	reports  *mailbox[report]
	resolved *mailbox[int]
	logEnds  *mailbox[map[partition]int64]

	inflation *inflation
	undecoded *undecoded
	asked     *asked
	assigned  *assignments
	cuts      map[partition]cut // found while reading, for the next session
	pending   map[int][]*task   // by the id of the schema that is being fetched
	unproven  bool              // the session before ended in a transaction, and this one has made none with results
	restated  bool              // it has committed what it found
	probed    time.Time         // while unproven: when one request was called last
	joined    bool              // the group, once
	joining   bool              // between leaving one generation of the group and being given a part in the next

	blocked  bool               // a rebalance waits for us
	synced   map[string][]int32 // what the newest generation gives us, until it is acted on
	handOver *handOver          // under way; nil: none
	allowed  time.Time          // when rebalances were last let through

	banned  time.Time // the gateway bans the app until then
	busy    bool      // every call slot is taken, and more could be called
	commits commits
	passed  func() // tells the watchdog that the loop is alive

	sight   *sight
	recent  *recent
	shown   time.Time // when it last showed itself
	unshown bool      // that was too short a time ago when there was something to show
}

const (
	pollRecords   = 1000        // at a time: a window can be exceeded by as many
	pollsOfPass   = 8           // at most, so that a pass stays short
	decodeRecords = 1000        // of a pass, for the same reason
	pollWait      = time.Second // at most: holds and retries are looked at again

	complaintLasts = 15 * time.Second // a trouble with reading is believed in that no fetch renews
	complaintRest  = time.Second      // between a fetch that failed and the next: kgo makes none
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
	s.allow(ctx)
	return nil
}

// run owns the scheduler, the resolver and unread while the loop runs, and ends all
// four: in good order when ctx ends (nil), at once on an error.
func (s *session) run(ctx context.Context) error {
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	resolving, stopResolving := context.WithCancel(calls)
	scheduled := make(chan struct{})
	var asking sync.WaitGroup
	go func() { defer close(scheduled); s.scheduler.run(calls) }()
	asking.Go(func() { s.resolver.run(resolving) })
	asking.Go(func() { s.unread.run(resolving) })

	err := s.loop(ctx)
	stopResolving()
	if err == nil {
		timer := time.AfterFunc(s.cfg.StopTimeout, endCalls)
		err = s.drain(ctx, scheduled)
		timer.Stop()
	}
	endCalls()
	<-scheduled
	asking.Wait()
	s.tracing.moved(func(assignment) bool { return true })
	return err
}

// loop runs until ctx ends (nil) or the session has to be thrown away.
func (s *session) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		s.passed()
		if err := s.gather(ctx); err != nil {
			return err
		}
		if err := s.commitReady(ctx, false); err != nil {
			return err
		}
		if err := s.endOvertaken(); err != nil {
			return err
		}
		if err := s.allowRebalance(ctx); err != nil {
			return err
		}
		s.forgetComplaints()
		s.tellUnopened()
		s.pauseAndResume()
		s.show()
		if err := s.pollAll(ctx); err != nil {
			return err
		}
		s.decodeSome()
	}
	return nil
}

// drain ends a session in good order: no new calls, those in flight finish,
// what is finished is committed, and the ceilings come down, so that only a
// crash leaves doubt. scheduled is closed when the scheduler has ended.
func (s *session) drain(ctx context.Context, scheduled <-chan struct{}) error {
	s.scheduler.Drain()
	var limit <-chan time.Time // for the last transaction, which a rebalance may hold up
	last := false
	for {
		s.passed()
		if err := s.takeNews(ctx); err != nil {
			return err
		}
		if err := s.commitReady(ctx, last); err != nil || last && s.commits.settled {
			return err
		}
		if err := s.allowRebalance(ctx); err != nil {
			return err
		}
		s.show()
		select {
		case <-scheduled:
			scheduled, last, limit = nil, true, time.After(s.tx.deadline)
		case <-limit:
			s.log.Warn("stopping without a last transaction; the successor calls again for what is not committed")
			return nil
		case <-s.bell:
		case <-time.After(s.pollTimeout()):
		}
	}
}

// takeNews applies what came since the last pass. Assignments first: an end or
// a record must meet the window it belongs to.
func (s *session) takeNews(ctx context.Context) error {
	if err := s.applyEvents(ctx); err != nil {
		return err
	}
	for _, ends := range s.logEnds.take() {
		s.tellUnread(ends)
	}
	for _, id := range s.resolved.take() {
		s.schemaResolved(id)
	}
	for _, r := range s.reports.take() {
		s.applyReport(r)
	}
	return nil
}

func (s *session) applyReport(r report) {
	if r.slots != slotsAsBefore {
		s.busy = r.slots == slotsFull
		return
	}
	s.learnBan(r.banned)
	o, ok := s.windows.Get(r.assignment)
	if !ok {
		if r.end != nil {
			s.metrics.staleResults.Inc()
			s.recent.dropped(r.assignment) // it ended before the scheduler heard that its partition has left us
		}
		return
	}
	if r.end != nil {
		o.Finish(r.end.task.offset, r.end)
	}
	if r.drained != nil && s.handOver != nil {
		s.handOver.leaving[r.assignment] = r.drained
		o.dirty = true // its ceiling can come down
	}
	if r.wish > o.wish {
		o.wish, o.dirty = r.wish, true
	}
}

// learnBan keeps the latest ban we know of: it goes into the commits, so that
// the next owner obeys it too.
func (s *session) learnBan(until time.Time) {
	if until.After(s.banned) {
		s.banned = until
		s.windows.touch()
	}
}

func (s *session) schemaResolved(id int) {
	waiting := s.pending[id]
	delete(s.pending, id)
	for _, t := range waiting {
		if _, ok := s.windows.Get(t.assignment); !ok {
			continue
		}
		request, bad, missing := s.requestOf(t)
		if missing != 0 { // fallen out of the bounded cache again
			s.await(t, missing)
			continue
		}
		s.scheduler.Decoded(t, request, bad)
	}
}

func (s *session) await(t *task, schema int) {
	if len(s.pending[schema]) == 0 {
		s.resolver.wanted.put(schema)
	}
	s.pending[schema] = append(s.pending[schema], t)
}

// pollAll takes in what has been fetched: kgo does not fetch from a broker again
// before all that it fetched from there is polled, or belongs to partitions that
// are paused. With nothing to do it waits for records or news.
func (s *session) pollAll(ctx context.Context) error {
	for range pollsOfPass {
		polled, err := s.poll(ctx, s.undecoded.empty())
		if err != nil {
			return err
		}
		s.pauseAndResume()
		if polled < pollRecords {
			break
		}
	}
	if s.cfg.GroupProtocol == Consumer {
		s.allow(ctx)
	}
	return nil
}

// poll takes in some records and returns how many. Between a poll and
// AllowRebalance no partition can change hands, so each record meets the window it
// was fetched for.
func (s *session) poll(ctx context.Context, wait bool) (polled int, err error) {
	fetches := s.kafka.PollRecords(nil, pollRecords) //nolint:staticcheck,contextcheck // nil is documented: what is there, at once
	if wait && fetches.Empty() && len(fetches.Errors()) == 0 {
		waiting, cancel := context.WithTimeout(ctx, s.pollTimeout())
		waiting, stop := s.bell.awaited(waiting)
		fetches = s.kafka.PollRecords(waiting, pollRecords)
		stop()
		cancel()
	}
	polled = fetches.NumRecords()
	s.inflation.polled(polled < pollRecords)
	if err := s.applyEvents(ctx); err != nil { // partitions that were opened right before these records
		return 0, err
	}
	if err := s.fetchErrors(fetches); err != nil {
		return 0, err
	}
	return polled, s.admit(fetches)
}

// pollTimeout is how long a pass may wait for news.
func (s *session) pollTimeout() time.Duration {
	if s.commits.full {
		return 0
	}
	wait := pollWait
	for _, retry := range []time.Time{s.commits.notBefore, s.commits.bareAfter} {
		if left := time.Until(retry); left > 0 {
			wait = min(wait, left)
		}
	}
	if s.unshown {
		wait = min(wait, max(viewEvery-time.Since(s.shown), 0))
	}
	if s.handOver != nil {
		wait = min(wait, max(time.Until(s.handOver.deadline), 0))
	}
	return wait
}

func (s *session) pauseAndResume() {
	s.windows.divide() // what one has let go of, another may have
	pause, resume := map[string][]int32{}, map[string][]int32{}
	stepsOver := s.cfg.AcceptLostInput && s.windows.overtaken()
	for _, o := range s.windows.open {
		halt := o.Full() || o.overtaken != nil || stepsOver || time.Since(o.complained) < complaintRest
		switch {
		case o.withheld:
		case halt && !o.paused:
			o.paused = true
			pause[o.topic] = append(pause[o.topic], o.number)
		case !halt && o.paused:
			o.paused = false
			resume[o.topic] = append(resume[o.topic], o.number)
		}
	}
	if len(pause) > 0 {
		s.kafka.Client().PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		s.kafka.Client().ResumeFetchPartitions(resume)
	}
	records, bytes := s.windows.Load()
	s.metrics.unfinished.Set(float64(records))
	s.metrics.windowBytes.Set(float64(bytes))
}
