package schemas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

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
	return fmt.Errorf("%w: %w", ErrRegistryDown, Unanswered(err))
}

// badAnswer says what is wrong with an answer, in our words.
type badAnswer string

func (b badAnswer) Error() string { return string(b) }

// Unanswered says why an exchange over HTTP brought no answer, by nothing of what
// came: net/http quotes what is no HTTP, encoding/json what does not fit, and either
// may be the password that we sent.
func Unanswered(err error) error {
	var (
		bad     badAnswer
		network *net.OpError // the system's words, and the alerts of TLS
		cert    *tls.CertificateVerificationError
		noTLS   tls.RecordHeaderError
		late    net.Error
		noJSON  *json.SyntaxError
		misfit  *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &bad):
		return bad
	case errors.As(err, &network):
		return network
	case errors.As(err, &cert):
		return distrusted(cert)
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("what answers does not speak TLS")
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return fmt.Errorf("no complete answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer was complete")
	case errors.As(err, &noJSON), errors.As(err, &misfit):
		return errors.New("the answer is not the JSON that was asked for")
	default:
		return errors.New("no usable answer came: what answers may be no HTTP")
	}
}

// distrusted names nothing of a certificate, whose names come from outside too.
func distrusted(err *tls.CertificateVerificationError) error {
	var (
		host      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		rootless  x509.SystemRootsError
	)
	switch {
	case errors.As(err, &host):
		return errors.New("the certificate is of another host")
	case errors.As(err, &authority):
		return errors.New("the certificate is signed by an unknown authority")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("the certificate has expired, or is not valid yet")
	case errors.As(err, &rootless):
		return errors.New("this machine has no certificate authorities")
	default:
		return errors.New("the certificate is not valid")
	}
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
