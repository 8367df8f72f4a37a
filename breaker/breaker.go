// Package breaker decides when the gateway may be called and when to wait. It
// knows nothing of HTTP, of requests or of retries, never sleeps, and has no
// goroutine of its own but a timer for each call that may be slow: the scheduler
// asks for leave, and waits itself when told to.
//
// It opens when too many calls fail, and, where Config.SlowCall is set, when too
// many are slow. A call is slow from the moment on at which it has lasted that
// long, which is before it ends: a gateway that hangs is noticed, and probed
// again, without waiting for any deadline. What the call comes to is the
// caller's business all the same.
//
// It stands on github.com/sony/gobreaker and keeps its traps away:
//
//   - Results of calls that outlive the window are dropped, so that a short one
//     never opens. Validate refuses it: TestBreakerSlowFailingCallsOpenWhatValidateAccepts.
//   - A window without end goes numb. It must be above 0, and failures in a row
//     open whatever the ratio: TestBreakerForgetsWhatTheWindowHasLeft,
//     TestBreakerFailuresInARowOpenAfterALongGoodSpell.
//   - Half-open has no timer, a hung probe blocks everyone. The caller's deadline
//     ends it, Config.SlowCall sooner: TestBreakerHungProbesBlockNoLongerThanTheirDeadline,
//     TestBreakerHungProbesBlockNoLongerThanSlowCall.
//   - No more than the probes run, as many successes close, one failure opens:
//     TestBreakerHalfOpenLetsNoMoreThanItsProbesRun, TestBreakerFailedProbeOpensAgain.
//   - An excluded probe must give its slot back: TestBreakerExcludedProbeGivesItsSlotBack.
//   - A result reported twice, or never: TestBreakerMisusePanics.
//   - Results from before an opening are dropped in silence:
//     TestBreakerResultsOfCallsFromBeforeTheOpeningAreDropped.
//   - The open time is the same for all, a fleet would probe as one:
//     TestBreakerOpenTimeIsSpreadOverAFleet.
//   - Open becomes half-open only when somebody asks: Allow says when to ask,
//     TestBreakerWaitEndsExactlyWhenAProbeMayRun.
//   - Callbacks run under the lock. Ours do not: TestBreakerTellsEachChangeOnceAndInOrder,
//     TestBreakerSlowListenerHoldsUpNobodyElse.
//   - A refusal is no attempt and no failure: TestBreakerOpenRefusesAndCountsNothing;
//     that none becomes an outcome shows in package processor.
package breaker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// State of a breaker.
type State uint8

// The states.
const (
	Closed   State = iota // calls run
	HalfOpen              // a few probes run, everyone else waits
	Open                  // everyone waits
)

func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	default:
		return fmt.Sprintf("state %d", uint8(s))
	}
}

// Result of one call, as the breaker counts it.
type Result uint8

// What a call tells of the gateway's health.
const (
	Success  Result = iota // the gateway works: a grant, or an answer about the request
	Failure                // gateway trouble
	Excluded               // tells nothing: throttled, app trouble, unlisted code, our own cancellation
)

// What gobreaker is told of a call that was no success.
var (
	errFailure  = errors.New("gateway trouble")
	errExcluded = errors.New("says nothing of the gateway")
)

const (
	// buckets the window moves by. Counting by buckets keeps the results of
	// calls that run across a window's edge, which a fixed window drops.
	buckets = 10

	// openSpread is the share of Config.OpenFor by which the open time of a
	// breaker is lengthened at most.
	openSpread = 0.2

	// recheck is the wait while every probe is out. Probes end by their own
	// deadline, so this is only how late their success is noticed.
	recheck = 100 * time.Millisecond

	// minWait keeps a caller from spinning at the very end of the open time,
	// which gobreaker leaves strictly after its expiry.
	minWait = time.Millisecond
)

// Breaker: never blocks, safe for concurrent use.
type Breaker struct {
	gb       *gobreaker.TwoStepCircuitBreaker[struct{}]
	openFor  time.Duration // drawn once: Config.OpenFor plus the spread
	slowCall time.Duration
	onChange func(from, to State)

	// Lock order: gobreaker's mutex, then mu; gobreaker is never called with
	// mu held.
	mu        sync.Mutex
	openUntil time.Time // of the last opening
	changes   []change  // not yet told, oldest first
	telling   bool      // a goroutine is calling onChange and will take what is added
}

type change struct{ from, to State }

// New returns a closed breaker. onChange (nil: nobody listens) is told of each
// change once and in order, outside any lock, in the goroutine whose Allow,
// done or State brought the change about, or in one of its own for a slow call;
// while it runs, no other caller waits for it. It may call the Breaker. New panics
// on a Config that Validate refuses whatever the call timeout.
func New(cfg Config, onChange func(from, to State)) *Breaker {
	if err := cfg.Validate(0); err != nil {
		panic(fmt.Sprintf("breaker: New without Validate: %v", err))
	}
	b := &Breaker{
		slowCall: cfg.SlowCall,
		openFor:  cfg.OpenFor + time.Duration(rand.Float64()*openSpread*float64(cfg.OpenFor)),
		onChange: onChange,
	}
	b.gb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   cfg.Probes,
		Interval:      cfg.Interval,
		BucketPeriod:  cfg.Interval / buckets,
		Timeout:       b.openFor,
		ReadyToTrip:   cfg.trips,
		OnStateChange: b.changed,
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
	})
	return b
}

// Allow asks for leave to call. ok: call, then done(result) exactly once,
// whatever becomes of the call, and within its deadline: without Config.SlowCall
// a probe that never ends keeps everyone waiting, since nothing else ends the
// half-open state. A second done panics. Not ok: nothing was counted and no attempt
// was made; ask again after wait, which is above zero.
func (b *Breaker) Allow() (done func(Result), wait time.Duration, ok bool) {
	defer b.tell()
	report, err := b.gb.Allow()
	switch {
	case err == nil:
		return b.once(report), 0, true
	case errors.Is(err, gobreaker.ErrOpenState):
		return nil, b.untilHalfOpen(), false
	default: // half-open, and every probe is out
		return nil, recheck, false
	}
}

// State now. An open breaker whose time is over is half-open.
func (b *Breaker) State() State {
	defer b.tell()
	return stateOf(b.gb.State())
}

// once turns gobreaker's report into a done that guards itself: a second report
// of one call would count it twice and hand out a half-open slot too many. A call
// that is slow has been reported when done comes, which then changes nothing.
func (b *Breaker) once(report func(error)) func(Result) {
	var called, reported atomic.Bool
	first := func(err error) {
		if !reported.Swap(true) {
			report(err)
			b.tell()
		}
	}
	var slow *time.Timer
	if b.slowCall > 0 {
		slow = time.AfterFunc(b.slowCall, func() { first(errFailure) })
	}
	return func(r Result) {
		err := r.err()
		if called.Swap(true) {
			panic("breaker: done called twice")
		}
		if slow != nil {
			slow.Stop()
		}
		first(err)
	}
}

func (r Result) err() error {
	switch r {
	case Success:
		return nil
	case Failure:
		return errFailure
	case Excluded:
		return errExcluded
	default:
		panic(fmt.Sprintf("breaker: no such result: %d", uint8(r)))
	}
}

func (b *Breaker) untilHalfOpen() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(time.Until(b.openUntil), 0) + minWait
}

// changed runs under gobreaker's mutex, so it only notes.
func (b *Breaker) changed(_ string, from, to gobreaker.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to == gobreaker.StateOpen {
		b.openUntil = time.Now().Add(b.openFor)
	}
	if b.onChange != nil {
		b.changes = append(b.changes, change{stateOf(from), stateOf(to)})
	}
}

// tell calls onChange for what was noted, unless another goroutine is at it:
// that one takes the rest, which keeps the order without a lock held.
func (b *Breaker) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling {
		return
	}
	b.telling = true
	defer func() { b.telling = false }()
	for len(b.changes) > 0 {
		c := b.changes[0]
		b.changes = b.changes[1:]
		b.unlocked(func() { b.onChange(c.from, c.to) })
	}
}

// unlocked runs f without mu and holds mu again afterwards, after a panic of f
// as well.
func (b *Breaker) unlocked(f func()) {
	b.mu.Unlock()
	defer b.mu.Lock()
	f()
}

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}
