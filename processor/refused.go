package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What a refused produce means for the batch that it was in.

// tooLarge is what is known of an end whose record was refused, mostly as too large.
type tooLarge uint8

const (
	suspect tooLarge = iota + 1 // refused in a batch with others: goes alone the next time
	shrunk                      // refused alone: goes without what is optional
)

// oversizeError: the smallest form of an end is larger than its topic takes.
type oversizeError struct {
	end *end
	err error
}

func (e *oversizeError) Error() string {
	return fmt.Sprintf("the end of %s is too large in its smallest form: %v", e.end.task.source, e.err)
}

func (e *oversizeError) Unwrap() error { return errAborted }

// refusedError: a topic's settings refuse the record of an end, alone as well.
type refusedError struct {
	end *end
	err error
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the end of %s is refused: %v", e.end.task.source, e.err)
}

func (e *refusedError) Unwrap() error { return errAborted }

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
// the next time; it never becomes another kind of event. INVALID_RECORD is no matter of
// size: the topic is compacted, and there is no key, or the brokers judge what is in it.
func (tx *transaction) refusal(e *end, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		if tx.oversize[e] == shrunk {
			return &oversizeError{e, err}
		}
		if tx.oversize[e] == suspect {
			tx.oversize[e] = shrunk
		} else {
			tx.oversize[e] = suspect
		}
		return fmt.Errorf("%w: %w", errAborted, err)
	case errors.Is(err, kerr.InvalidRecord):
		if tx.oversize[e] != 0 {
			return &refusedError{e, err}
		}
		tx.oversize[e] = suspect
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
