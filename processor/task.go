package processor

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// partition names a partition of an input topic.
type partition struct {
	topic  string
	number int32
}

// sourceOf names a record, as results do.
func sourceOf(p partition, offset int64) string {
	return p.String() + "/" + strconv.FormatInt(offset, 10)
}

func (p partition) String() string { return p.topic + "/" + strconv.Itoa(int(p.number)) }

// assignment is a partition in one epoch. A partition that comes
// back comes back under another epoch, so late results of the time before
// cannot meet the new window.
type assignment struct {
	partition
	epoch uint64
}

// task is one admitted record on its way to its end. From the moment the
// session hands it over until its end comes back it belongs to the scheduler.
type task struct {
	assignment
	offset int64
	record *kgo.Record // raw: retry and dead letter carry it unchanged
	source string      // of the original record: <topic>/<partition>/<offset>

	request schemas.Request
	missing int // the writer's schema, if it is not fetched yet: it waits at its place in the lane

	inDoubt     bool      // a grant may have happened that we do not know of
	backInDoubt bool      // it was parked after attempts that left doubt
	called      bool      // at least one attempt was started by this replica
	attempts    int       // those we know of
	doubtful    int       // of them, answers that left doubt since it was last parked
	business    int       // of them, answers that said -11
	firstCall   time.Time // of the first attempt anyone told us of; zero: none
	granted     time.Time // when another record with its request may have been granted; zero: none that we know of
	log         []schemas.Attempt
	lastAnswer  *topclient.Error

	// On the clock that runs only while the gateway answers others.
	calledAt  time.Duration // the first attempt of this replica
	waited    time.Duration // since the first attempt that anyone told us of, until countedTo
	countedTo time.Duration

	failedAmongOthers int // attempts of this replica without an end, that ended while the gateway answered others

	hadWord   bool  // about all
	wordsThen words // when it got the newest

	span trace.Span // nil: no traces

	lane    *lane     // nil: a lane by itself
	due     time.Time // not to be called before; zero: at once
	counted bool      // among what its supply has available
	place   int       // in the roll of its supply
	taken   time.Time // into its window
	began   time.Time // the call that is under way; zero: none is
}

// expiry is when the request is of no use any more; zero: never.
func (t *task) expiry(maxAge time.Duration) time.Time {
	if !t.request.ExpiresAt.IsZero() {
		return t.request.ExpiresAt
	}
	if maxAge > 0 {
		return t.request.OccurredAt.Add(maxAge)
	}
	return time.Time{}
}

// askedAt is when the request was written, as far as its record tells: one that
// was parked is older than the record in the retry topic.
func (t *task) askedAt() time.Time {
	if at := t.record.Timestamp; t.firstCall.IsZero() || at.Before(t.firstCall) {
		return at
	}
	return t.firstCall
}

// foundInDoubt notes that a predecessor may have called: at the earliest when the
// record was written, if nothing tells the time, and before it was taken in here,
// whatever its producer's clock says.
func (t *task) foundInDoubt() {
	t.inDoubt = true
	if t.firstCall.IsZero() {
		t.firstCall = t.record.Timestamp
	}
	if t.taken.Before(t.firstCall) {
		t.firstCall = t.taken
	}
}

// origin is the record that a task is or, if a person has put it back, is put back for:
// its headers say whether that may have been granted.
func (t *task) origin() string {
	if of := namedIn(t.record, headerReplayOf); of != "" {
		return of
	}
	return t.source
}

// firstAttempt is when its request was called first, as far as anyone told us, for this
// record or another; zero: it was not.
func (t *task) firstAttempt() time.Time {
	if t.granted.IsZero() || !t.firstCall.IsZero() && t.firstCall.Before(t.granted) {
		return t.firstCall
	}
	return t.granted
}

// remember adds an attempt to the log that outcomes carry.
func (t *task) remember(a schemas.Attempt) {
	t.attempts++
	if t.firstCall.IsZero() {
		t.firstCall = a.At
	}
	if len(t.log) == schemas.AttemptLogSize {
		copy(t.log, t.log[1:])
		t.log = t.log[:schemas.AttemptLogSize-1]
	}
	t.log = append(t.log, a)
}

// endKind says what a record ended in.
type endKind uint8

const (
	endGranted endKind = iota
	endFailed
	endDeadLetter
	endParked
)

func (k endKind) String() string {
	return [...]string{endGranted: "granted", endFailed: "failed", endDeadLetter: "dead-letter", endParked: "parked"}[k]
}

// end is what a task came to: exactly one is published for each record.
type end struct {
	task    *task
	kind    endKind
	at      time.Time
	coupon  topclient.Coupon         // of endGranted
	failure schemas.FailureReason    // of endFailed
	reason  schemas.DeadLetterReason // of endDeadLetter
	detail  string                   // of endDeadLetter: one line, no payload
	next    time.Time                // of endParked: when to call again
	sending trace.Span               // of the record that is being sent; nil: no traces
}
