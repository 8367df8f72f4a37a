package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What a refused produce means for the batch that it was in.

// form is how an end goes out the next time whose record was refused for what it is: 0 with
// all others; or with no more than so many in the same form, below 0 shrunk to what is not
// optional. A broker refuses a batch as a whole: which record it was shows by halves, since
// one at a time would take too long.
type form int

func (f form) shrunk() bool { return f < 0 }

// together is how many go out at once.
func (f form) together() int { return max(int(f), int(-f), 1) }

// refused is the form after this one, of so many ends that went out. last: there is none.
func (f form) refused(all int, tooLarge bool) (next form, last bool) {
	switch half := form(max(f.together()/2, 1)); {
	case f == 0:
		return form(max(all/2, 1)), false
	case f == 1 && tooLarge:
		return -form(max(all/2, 1)), false
	case f == 1, f == -1:
		return f, true
	case f < 0:
		return -half, false
	default:
		return half, false
	}
}

// whole goes out with all others in the same form.
func (f form) whole(all int) form {
	if f.shrunk() {
		return -form(all)
	}
	return 0
}

// unwritableError: the record of an end is refused for what it is, in each form that it has.
type unwritableError struct {
	end *end
	err error
}

func (e *unwritableError) Error() string {
	why := "is too large in its smallest form"
	if e.bySettings() {
		why = "is refused"
	}
	return fmt.Sprintf("the end of %s %s: %v", e.end.task.source, why, e.err)
}

func (e *unwritableError) Unwrap() error { return errAborted }

// bySettings says that it is no matter of size: the topic is compacted, and there is no
// key, or the brokers judge what is in it. Once that is changed the record is taken.
func (e *unwritableError) bySettings() bool { return errors.Is(e.err, kerr.InvalidRecord) }

// refusals says what failed produces mean for the batch: the worst of them.
func (tx *transaction) refusals(ends []*end, failures []error) error {
	var failed error
	for i, err := range failures {
		if err == nil {
			continue
		}
		if err = tx.refusal(ends[i], err, len(ends)); failed == nil || errors.Is(failed, errAborted) && !errors.Is(err, errAborted) {
			failed = err
		}
	}
	return failed
}

// refusal says what one failed produce means, of so many that went out. What is too large
// goes out smaller the next time; an outcome never becomes another kind of event.
func (tx *transaction) refusal(e *end, err error, all int) error {
	switch {
	case ofTheRecord(err):
		next, last := tx.forms[e].refused(all, !errors.Is(err, kerr.InvalidRecord))
		if tx.forms[e] = next; last {
			return &unwritableError{e, err}
		}
		return fmt.Errorf("%w: %w", errAborted, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.TopicAuthorizationFailed),
		errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidTopicException):
		return fmt.Errorf("%w: %w", errUnwritable, err)
	case isFenced(err), errors.Is(err, kerr.InvalidProducerIDMapping), errors.Is(err, kerr.UnknownTopicID):
		return err
	default:
		return fmt.Errorf("%w: %w", errAborted, err)
	}
}

// ofTheRecord says that a batch was refused for what stands in it.
func ofTheRecord(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// unwritable says that an end was refused in the last form that it has.
func (tx *transaction) unwritable(e *end, err error) bool {
	_, last := tx.forms[e].refused(1, !errors.Is(err, kerr.InvalidRecord))
	return last && ofTheRecord(err)
}

// isFenced says that another producer took over our transactional id, or that
// the brokers ended our transaction for us.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}
