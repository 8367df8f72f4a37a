package processor

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// policy says what an answer means for a request. It decides and does nothing.
type policy struct {
	cfg    Config
	steady bool // waits without jitter: for the table that people read
}

// action is what to do with a request after an answer.
type action uint8

const (
	actGrant      action = iota // end it as granted
	actFail                     // end it as failed
	actRetry                    // call again after wait
	actBan                      // call again, and nobody calls before wait is over
	actPause                    // call again, and nobody calls until the app's trouble is mended
	actPark                     // hand it to the retry topic
	actDeadLetter               // end it as a dead letter
)

// verdict is the policy's decision.
type verdict struct {
	action  action
	wait    time.Duration
	failure schemas.FailureReason
	reason  schemas.DeadLetterReason // of actDeadLetter
	detail  string                   // and what it says
}

const (
	banWithoutNumber = time.Minute      // a throttle that does not say how long
	probeApp         = 30 * time.Second // between two tries while the app is in trouble
)

// read is an answer as the configuration says that it is to be understood, where
// the gateway's documentation leaves it open.
func (p policy) read(answer *topclient.Error) *topclient.Error {
	if answer == nil {
		return nil
	}
	read := *answer
	switch {
	case answer.Code == "10" && p.cfg.Retry.Code10 == Code10Request:
		read.About = topclient.AboutUnknown
	case (answer.Code == "42" || answer.Code == "43") && p.cfg.Retry.Code42 == FailRefusal:
		read.About, read.MayHaveGranted = topclient.AboutRequest, false
	default:
		return answer
	}
	return &read
}

// next judges the newest answer for t, whose counters already include it; nil
// is a grant. parked says that t came from the retry topic.
func (p policy) next(answer *topclient.Error, t *task, parked bool) verdict {
	switch {
	case answer == nil:
		return verdict{action: actGrant}
	case answer.Canceled:
		return verdict{action: actRetry}
	case answer.Throttled:
		return verdict{action: actBan, wait: p.banLength(answer)}
	case answer.About == topclient.AboutApp:
		return p.appTrouble(answer, t)
	case answer.About == topclient.AboutGateway:
		return verdict{action: actRetry, wait: p.backoff(t.attempts)}
	case answer.Business == topclient.BusinessException && t.business < p.cfg.Retry.BusinessAttempts:
		return verdict{action: actRetry, wait: p.backoff(t.business)}
	case answer.Business == topclient.BusinessException && t.inDoubt && p.cfg.Retry.RefusalInDoubt == ParkRefusal:
		return p.park(t, parked)
	case answer.MayHaveGranted, answer.About == topclient.AboutUnknown:
		return p.doubtful(t, parked)
	case t.inDoubt && p.cfg.Retry.RefusalInDoubt == ParkRefusal:
		return p.doubtful(t, parked)
	case answer.RefusesID: // the id may well have been granted: to another request
		return verdict{action: actDeadLetter, reason: schemas.ConflictingRequest, detail: "the gateway refuses its request_id (" + answer.Code + ", out_id): another request has used it before, or it takes no such id"}
	default:
		return verdict{action: actFail, failure: failureReason(answer)}
	}
}

// appTrouble stops all calls, unless t alone has such an answer (alone.go), except that
// a timestamp refused once is signed anew at once (top-protocol: 30 and 31 may be a
// matter of seconds).
func (p policy) appTrouble(answer *topclient.Error, t *task) verdict {
	if isTimestamp(answer) && !isTimestamp(t.lastAnswer) {
		return verdict{action: actRetry}
	}
	return verdict{action: actPause, wait: probeApp}
}

func isTimestamp(e *topclient.Error) bool {
	return e != nil && (e.Code == "30" || e.Code == "31")
}

// doubtful calls again a few times, then parks. A request that comes back in doubt
// had those attempts: one answer says whether what was wrong is over. More would
// be calls that others wait for, every retry.delay, for as long as it lasts.
func (p policy) doubtful(t *task, parked bool) verdict {
	if !t.backInDoubt && t.doubtful < p.cfg.Retry.DoubtfulAttempts {
		return verdict{action: actRetry, wait: p.backoff(t.doubtful)}
	}
	return p.park(t, parked)
}

// park hands over to the retry topic; what comes from there goes back until it
// is given up.
func (p policy) park(t *task, parked bool) verdict {
	if parked && t.inDoubt && t.waited >= p.cfg.Retry.GiveUpAfter {
		return verdict{action: actDeadLetter, reason: schemas.GrantUnknown, detail: fmt.Sprintf("in doubt for longer than retry.give_up_after (%v) while the gateway answered others", p.cfg.Retry.GiveUpAfter)}
	}
	return verdict{action: actPark}
}

// beforeCall ends a request that must not be called any more; ok is false when
// it may be called.
func (p policy) beforeCall(t *task, now time.Time) (v verdict, ended bool) {
	if t.inDoubt {
		if since := firstKnown(t); now.Sub(since) > p.cfg.IdempotencyWindow {
			return verdict{action: actDeadLetter, reason: schemas.GrantUnknown, detail: fmt.Sprintf(
				"in doubt since %s, longer than gateway.idempotency_window (%v): a repeat might grant again",
				since.UTC().Format(time.RFC3339), p.cfg.IdempotencyWindow)}, true
		}
		return verdict{}, false // never EXPIRED in doubt
	}
	if at := t.expiry(p.cfg.MaxAge); !at.IsZero() && !now.Before(at) {
		return verdict{action: actFail, failure: schemas.ReasonExpired}, true
	}
	return verdict{}, false
}

// waitedTooLong parks a request that was called and has no end after
// retry.park_after, so that it does not hold up its lane. elapsed is of the clock
// that runs only while the gateway answers others: nobody is parked in an outage,
// or for one when it ends.
func (p policy) waitedTooLong(t *task, parked bool, elapsed time.Duration) (v verdict, over bool) {
	if !t.called || elapsed-t.calledAt < p.cfg.Retry.ParkAfter {
		return verdict{}, false
	}
	return p.park(t, parked), true
}

// firstKnown is the earliest time at which a doubtful attempt can have been made:
// its first call, as far as anybody knows of one, else the record's own Kafka
// timestamp, the only time that survives everything.
func firstKnown(t *task) time.Time {
	if first := t.firstAttempt(); !first.IsZero() {
		return first
	}
	return t.record.Timestamp
}

// backoff doubles with each attempt and is jittered downwards by up to half, so
// that what failed together does not come back together.
func (p policy) backoff(attempts int) time.Duration {
	d := p.cfg.Retry.MaxBackoff
	if shift := max(attempts-1, 0); shift < 32 && p.cfg.Retry.MinBackoff <= d>>shift {
		d = p.cfg.Retry.MinBackoff << shift
	}
	return p.jittered(d, d/2)
}

func (p policy) banLength(answer *topclient.Error) time.Duration {
	if answer.RetryAfter > 0 {
		return answer.RetryAfter
	}
	return p.jittered(banWithoutNumber, banWithoutNumber/4)
}

// jittered is a wait less a random part of at most by.
func (p policy) jittered(d, by time.Duration) time.Duration {
	if p.steady {
		return d
	}
	return d - rand.N(by+1)
}

func failureReason(answer *topclient.Error) schemas.FailureReason {
	switch answer.Business {
	case topclient.BusinessLimitReached:
		return schemas.ReasonLimitReached
	case topclient.BusinessOutOfStock:
		return schemas.ReasonOutOfStock
	case topclient.BusinessCouponInvalid:
		return schemas.ReasonCouponInvalid
	case topclient.BusinessException:
		return schemas.ReasonBusinessException
	default:
		return schemas.ReasonRejected
	}
}

// health is what an answer tells the breaker of the gateway. Answers about the
// request are successes, -11 and -9999 too: the gateway works.
func health(answer *topclient.Error) breaker.Result {
	switch {
	case answer == nil:
		return breaker.Success
	case answer.Canceled, answer.Throttled, unsent(answer):
		return breaker.Excluded
	case answer.About == topclient.AboutGateway:
		return breaker.Failure
	case answer.About == topclient.AboutRequest:
		return breaker.Success
	default:
		return breaker.Excluded
	}
}
