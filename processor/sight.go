package processor

import (
	"sync/atomic"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// sight is what session and scheduler let others see of them. Each publishes a
// view of what it owns, from its own goroutine, and never looks at the other's.
// Who reads gets what was published last and waits for nobody; so a goroutine
// that is wedged shows as an old view. A new session begins with none.
type sight struct {
	session    atomic.Pointer[sessionView]   // nil: no session runs
	scheduler  atomic.Pointer[schedulerView] // nil: likewise
	waiting    atomic.Pointer[scheduler]     // whom to ask for requests that wait; nil: likewise
	undecoded  atomic.Pointer[undecoded]     // what it has not heard of yet; nil: likewise
	member     atomic.Bool                   // of the group, and not joining anew: brokers have to answer us all the time
	committing atomic.Int64                  // Unix nanoseconds: since when a transaction is under way; 0: none
	answers    atomic.Int64                  // that brought a request further, and ends without any
	commits    atomic.Int64                  // transactions that have committed
}

// viewEvery is how long a view lasts at least: short for who looks, and so long
// that it costs nothing. With news at hand it is renewed after it, else with each
// pass, once a second.
const viewEvery = 250 * time.Millisecond

// sessionView is what the session knows.
type sessionView struct {
	at         time.Time
	partitions []partitionView
	joining    bool      // the group is being joined anew: nothing can be committed
	failures   int       // transactions in a row that did not commit
	notBefore  time.Time // of the next one, after that
}

// partitionView is a partition as its window stands.
type partitionView struct {
	assignment

	watermark, ceiling, next, logEnd int64
	live, bytes, results             int
	full, withheld                   bool
	newest                           time.Time // when records came last, or it was opened

	oldest    int64     // the offset of the oldest record without a committed end, where live is not 0
	ended     *taskView // it has its end, which waits for a transaction; nil: not yet
	endedAt   time.Time
	undecoded *taskView // the oldest record that is not decoded yet; nil: none
}

// schedulerView is what the scheduler knows.
type schedulerView struct {
	at          time.Time
	barrier     barrier
	until       time.Time // when the barrier is tried again
	rate        float64   // calls a second, ours
	trouble     [2]string
	nextProbe   time.Time
	bannedUntil time.Time
	budgetLeft  float64
	inFlight    int
	callable    int // requests that are called, or could be if nothing stood in the way
	blocked     int // requests that wait for a ceiling that was asked for
	supplies    map[partition]supplyView
}

// supplyView is what the scheduler knows of a partition.
type supplyView struct {
	epoch  uint64
	parked int // not due yet
	oldest *taskView
}

// taskView is a request that has no committed end.
type taskView struct {
	offset     int64
	id         string // empty: not decoded yet
	written    time.Time
	taken      time.Time
	attempts   int
	lastAnswer string

	state taskState
	since time.Time // of called: when the call began
	due   time.Time // of later and parked
	need  int       // of schema: which
	ahead *taskView // of behind: the first of its lane
}

// taskState says what a task waits for, most of all.
type taskState uint8

const (
	taskTurn     taskState = iota // its turn: what that needs is the barrier's to say
	taskCalled                    // nothing, it is being called
	taskLater                     // the time of its next attempt
	taskParked                    // the time it was parked until
	taskCeiling                   // a transaction that raises the ceiling
	taskSchema                    // its writer's schema
	taskBehind                    // the requests of its key before it
	taskReleased                  // its next owner
)

// barrier is what kept the next call from starting when that was last tried.
type barrier uint8

const (
	barrierNone barrier = iota
	barrierSlots
	barrierGate
	barrierQuota
	barrierBreaker
	barrierStopping
)

// begin and over mark the life of a session.
func (s *sight) begin(of *session) {
	s.waiting.Store(of.scheduler)
	s.undecoded.Store(of.undecoded)
}

func (s *sight) over() {
	s.waiting.Store(nil)
	s.undecoded.Store(nil)
	s.session.Store(nil)
	s.scheduler.Store(nil)
	s.member.Store(false)
	s.committing.Store(0)
}

// show publishes what the session knows, if the last time is long enough ago.
func (s *session) show() {
	now := time.Now()
	if s.unshown = now.Sub(s.shown) < viewEvery; s.unshown {
		return
	}
	s.showNow(now)
}

// showNow does so at once: before a transaction too, which may take
// its time, as what is known of it then is from before.
func (s *session) showNow(now time.Time) {
	s.shown, s.unshown = now, false
	s.sight.session.Store(s.view(now))
}

func (s *session) view(now time.Time) *sessionView {
	v := &sessionView{
		at: now, partitions: make([]partitionView, 0, len(s.windows.open)),
		joining: s.joining, failures: s.commits.failures, notBefore: s.commits.notBefore,
	}
	first := s.undecoded.first()
	for _, o := range s.windows.open {
		p := partitionView{
			assignment: o.assignment, watermark: o.watermark, ceiling: o.ceiling, next: o.next, logEnd: o.logEnd,
			live: o.live, bytes: o.bytes, results: o.results, full: o.Full(), withheld: o.withheld, newest: o.newest,
		}
		if e := o.Oldest(); e != nil {
			p.oldest = e.offset
			if e.end != nil {
				p.ended, p.endedAt = see(e.end.task), e.end.at
			}
		}
		if t := first[o.assignment]; t != nil {
			p.undecoded = see(t)
		}
		v.partitions = append(v.partitions, p)
	}
	return v
}

// show publishes what the scheduler knows, and returns how long to wait for the
// next time at most.
func (s *scheduler) show(now time.Time) time.Duration {
	if left := viewEvery - now.Sub(s.shownAt); left > 0 {
		return left
	}
	s.shownAt = now
	s.sight.scheduler.Store(s.view(now))
	return idle
}

func (s *scheduler) view(now time.Time) *schedulerView {
	v := &schedulerView{
		at: now, barrier: s.barrier, until: s.barrierUntil, rate: s.quota.share(),
		trouble: s.gate.troubles(), nextProbe: s.gate.nextProbe, bannedUntil: s.gate.bannedUntil,
		budgetLeft: s.quota.budget.saved, inFlight: s.turns.inFlight, callable: s.turns.inFlight,
		supplies: make(map[partition]supplyView, len(s.supplies)),
	}
	for _, topic := range s.turns.topics {
		v.callable += len(topic.queue)
	}
	parked := map[assignment]int{}
	for _, t := range s.timers.tasks {
		switch {
		case s.parked(t) && !t.called:
			parked[t.assignment]++
		case t.due.Sub(now) <= s.cfg.Retry.MaxBackoff: // else it waits by itself, for a time of its own
			v.callable++
		}
	}
	for a, sup := range s.supplies {
		if sup.wished > sup.ceiling {
			v.blocked += len(sup.blocked)
		}
		of := supplyView{epoch: a.epoch, parked: parked[a]}
		if t := sup.roll.first(); t != nil {
			of.oldest = s.see(t, now)
		}
		v.supplies[a.partition] = of
	}
	return v
}

// see is what anybody may know of a task, seen by its owner.
func see(t *task) *taskView {
	return &taskView{
		offset: t.offset, id: t.request.RequestID, written: t.record.Timestamp, taken: t.taken,
		attempts: t.attempts, lastAnswer: answerCode(t.lastAnswer), due: t.due, since: t.began, need: t.missing,
	}
}

func (s *scheduler) see(t *task, now time.Time) *taskView {
	v := see(t)
	sup := s.supplies[t.assignment]
	switch {
	case !t.began.IsZero():
		v.state = taskCalled
	case sup.released:
		v.state = taskReleased
	case t.lane != nil && t.lane.tasks[0] != t:
		v.state, v.ahead = taskBehind, s.see(t.lane.tasks[0], now)
	case t.missing != 0:
		v.state = taskSchema
	case t.due.After(now) && s.parked(t) && !t.called:
		v.state = taskParked
	case t.due.After(now):
		v.state = taskLater
	case t.offset >= sup.ceiling:
		v.state = taskCeiling
	default:
		v.state = taskTurn
	}
	return v
}

// answerCode is what an answer said, without the message.
func answerCode(e *topclient.Error) string {
	switch {
	case e == nil:
		return ""
	case e.SubCode != "":
		return e.Code + " (" + e.SubCode + ")"
	default:
		return e.Code
	}
}
