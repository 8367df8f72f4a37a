package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What a refused produce means for the batch that it was in.

// form is how an end goes out the next time whose record was refused for what it is.
type form uint8

const (
	byItself form = iota + 1 // refused in a batch with others: which of them it was shows alone
	shrunk                   // refused alone as too large: goes without what is optional
)

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
		if err = tx.refusal(ends[i], err); failed == nil || errors.Is(failed, errAborted) && !errors.Is(err, errAborted) {
			failed = err
		}
	}
	return failed
}

// refusal says what one failed produce means. What is too large goes out smaller
// the next time; it never becomes another kind of event.
func (tx *transaction) refusal(e *end, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
		switch form := tx.forms[e]; {
		case form == 0:
			tx.forms[e] = byItself
		case form == shrunk, errors.Is(err, kerr.InvalidRecord):
			return &unwritableError{e, err}
		default:
			tx.forms[e] = shrunk
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

// isFenced says that another producer took over our transactional id, or that
// the brokers ended our transaction for us.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}
