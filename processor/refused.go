package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What a refused produce means for the batch that it was in.

// form is how an end goes out the next time whose record was refused for what it is: 0 with
// all others, shrunk, or above 0 with no more than so many. A broker refuses a batch as a
// whole: which record it was shows by halves, since one at a time would take too long.
type form int

const (
	byItself form = 1
	shrunk   form = -1 // refused by itself as too large: goes by itself without what is optional
)

// together is how many go out at once.
func (f form) together() int { return max(int(f), 1) }

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
// goes out smaller the next time; it never becomes another kind of event.
func (tx *transaction) refusal(e *end, err error, all int) error {
	switch {
	case ofTheRecord(err):
		switch was := tx.forms[e]; {
		case tx.unwritable(e, err):
			return &unwritableError{e, err}
		case was == byItself:
			tx.forms[e] = shrunk
		case was == 0:
			tx.forms[e] = max(form(all)/2, byItself)
		default:
			tx.forms[e] = was / 2
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
	was := tx.forms[e]
	return ofTheRecord(err) && (was == shrunk || was == byItself && errors.Is(err, kerr.InvalidRecord))
}

// isFenced says that another producer took over our transactional id, or that
// the brokers ended our transaction for us.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}
