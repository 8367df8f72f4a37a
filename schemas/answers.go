package schemas

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/twmb/franz-go/pkg/sr"
)

// isAbsent says whether the registry itself denies a schema, version or subject.
// A bare 404 is a wrong path or a proxy, and denies nothing.
func isAbsent(err error) bool {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
		return false
	}
	switch answer.ErrorCode {
	case sr.ErrSubjectNotFound.Code, sr.ErrVersionNotFound.Code, sr.ErrSchemaNotFound.Code:
		return true
	}
	return false
}

// status returns the HTTP status of an answer, 0 if there was none.
func status(err error) int {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// untrusted makes any failure ErrRegistryDown. It tells of an answer by its
// numbers only, since its text comes from outside.
func untrusted(err error) error {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		return fmt.Errorf("%w: HTTP %d, error code %d", ErrRegistryDown, answer.StatusCode, answer.ErrorCode)
	}
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err
	}
	return fmt.Errorf("%w: %w", ErrRegistryDown, err)
}

// refusedOrUntrusted is untrusted but for the registry's refusal of one of our
// own schemas: asking again does not help.
func refusedOrUntrusted(err error) error {
	switch status(err) {
	case http.StatusConflict:
		return errors.New("the registry finds the schema incompatible with an earlier version (HTTP 409)")
	case http.StatusUnprocessableEntity:
		return errors.New("the registry refuses the schema (HTTP 422)")
	}
	return untrusted(err)
}
