package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// newTask is an admitted record before it is decoded, with what its headers say
// of earlier attempts.
func newTask(a assignment, r *kgo.Record, retryTopic string, longestDelay time.Duration) *task {
	t := &task{assignment: a, offset: r.Offset, record: r}
	t.source = sourceOf(a.partition, r.Offset)
	// A replay of a dead letter in doubt says so on an input topic too; to
	// believe it of any producer costs caution, not truth.
	t.inDoubt = headerText(r, headerInDoubt) == "true"
	t.firstCall, _ = headerTime(r, headerFirstAttempt)
	if t.firstCall.After(r.Timestamp) || t.inDoubt && t.firstCall.IsZero() {
		t.firstCall = r.Timestamp // whoever called before wrote it afterwards
	}
	if t.topic != retryTopic {
		return t
	}
	if source := namedIn(r, headerSource); source != "" {
		t.source = source
	}
	if n, err := strconv.Atoi(headerText(r, headerAttempts)); err == nil && n > 0 {
		t.attempts, t.backInDoubt = n, t.inDoubt
	}
	if waited, err := time.ParseDuration(headerText(r, headerWaited)); err == nil && !t.firstCall.IsZero() {
		t.waited = max(min(waited, time.Since(t.firstCall)), 0) // no longer than there was time for
	}
	if due, ok := headerTime(r, headerNextAt); ok {
		// A clock elsewhere, or a header not ours, must not hold it for ever, nor our own clock that is set back.
		now := time.Now()
		t.due = now.Add(min(due.Sub(now), longestDelay))
	}
	return t
}

// maxSourceBytes is what the name of a record takes at most: a topic has 249 characters.
// What is longer is not ours, and would have to fit into the result.
const maxSourceBytes = 300

// namedIn is the record that a header names; empty: none.
func namedIn(r *kgo.Record, key string) string {
	text := headerText(r, key)
	if len(text) > maxSourceBytes || !isASCII([]byte(text)) {
		return ""
	}
	return text
}

// headerText is the first value of a header, as the commands and the audit take it;
// empty: there is none.
func headerText(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// headerTime is that as a time; false: there is none.
func headerTime(r *kgo.Record, key string) (at time.Time, ok bool) {
	text := headerText(r, key)
	if text == "" {
		return at, false // which Parse would make an error of, for nearly every record
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}

// maxKeyBytes is far more than any key needs, and leaves every result, which has
// the key of its request, room in its topic.
const maxKeyBytes = 64 << 10

// decode reads the request of a task. bad is the dead letter that the record
// ends as, and then of the request only the id is given, if it has one; missing is
// the id of a schema to fetch first.
func decode(codec *schemas.Codec, t *task) (request schemas.Request, bad *end, missing int) {
	if size := len(t.record.Key); size > maxKeyBytes {
		return request, deadLetter(t, schemas.TooLarge, fmt.Sprintf("the key takes %d bytes, %d are allowed", size, maxKeyBytes)), 0
	}
	request, err := codec.Decode(t.record.Value)
	var unfetched *schemas.NotFetchedError
	var broken *schemas.DecodeError
	switch {
	case err == nil:
		return request, nil, 0
	case errors.As(err, &unfetched):
		return request, nil, unfetched.ID
	case errors.As(err, &broken):
		return onlyID(request), deadLetter(t, broken.Reason, broken.Err.Error()), 0
	default:
		return request, deadLetter(t, schemas.Undecodable, fmt.Sprintf("decoding: %T", err)), 0
	}
}

// onlyID is what is kept of a request that is none: its id, by which people ask for it,
// if it is no longer than one can be.
func onlyID(q schemas.Request) schemas.Request {
	if utf8.RuneCountInString(q.RequestID) > schemas.MaxRequestID {
		return schemas.Request{}
	}
	return schemas.Request{RequestID: q.RequestID}
}

func deadLetter(t *task, reason schemas.DeadLetterReason, detail string) *end {
	return &end{task: t, kind: endDeadLetter, at: time.Now().UTC(), reason: reason, detail: detail}
}

// resolver fetches the writers' schemas that records name, until the registry
// has answered for each. What waits for a schema waits in its lane meanwhile.
type resolver struct {
	registry *schemas.Registry
	holds    *holds
	wanted   *mailbox[int]
	resolved *mailbox[int]
}

const (
	// The registry has to deny an id some times in a row, and remembers that of fewer ids
	// than garbage can name: so no more than these are being denied at once.
	resolvedAtOnce = 500
	resolvedFor    = 15 * time.Second // as long goes one round on, if the registry is slow
)

// run ends with ctx. In a round it asks for some: who was denied is asked for again in the
// next, before the others, and who got no answer after them.
func (r *resolver) run(ctx context.Context) {
	var open []int // in the order in which they are asked for
	wanted := map[int]bool{}
	for {
		for _, id := range r.wanted.take() {
			if !wanted[id] {
				wanted[id] = true
				open = append(open, id)
			}
		}
		var denied, late []int
		began := time.Now()
		for len(open) > 0 && len(denied)+len(late) < resolvedAtOnce && time.Since(began) < resolvedFor {
			id := open[0]
			open = open[1:]
			err := r.registry.Fetch(ctx, id)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				delete(wanted, id)
				r.resolved.put(id)
				continue
			case errors.Is(err, schemas.ErrDenied):
				denied = append(denied, id)
			default:
				late = append(late, id)
			}
			r.holds.Set(holdRegistry, whereSchemas, fmt.Sprintf("%v: records written with it wait, others go on; check registry.url and the registry", err))
		}
		failed := len(denied)+len(late) > 0
		open = slices.Concat(denied, open, late)
		if !failed && len(open) > 0 {
			continue
		}
		if !r.wait(ctx, failed) {
			return
		}
	}
}

// wait waits for the next id, or after a failure for a second, whoever is wanted
// meanwhile; false: ctx ended.
func (r *resolver) wait(ctx context.Context, failed bool) bool {
	wanted := r.wanted.notify
	var again <-chan time.Time
	if failed {
		wanted, again = nil, time.After(time.Second)
	} else {
		r.holds.Clear(holdRegistry, whereSchemas)
	}
	select {
	case <-wanted:
		return true
	case <-again:
		return true
	case <-ctx.Done():
		return false
	}
}
