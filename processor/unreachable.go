package processor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Unreachable says why the brokers cannot be talked to, and what mends it.
func Unreachable(err error) error {
	var untrusted *tls.CertificateVerificationError
	var remote *net.OpError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("the brokers refuse this user (%w): check kafka.sasl.user and its password or token, and that the brokers know them", err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("the brokers do not take kafka.sasl.mechanism (%w): set it to one of theirs", err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("a broker's certificate cannot be trusted (%w): check kafka.tls.ca_file, kafka.tls.server_name and the addresses in kafka.brokers", err)
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert, whose type crypto/tls keeps to itself
		return fmt.Errorf("a broker does not take this client's TLS (%w): check kafka.tls.cert_file and kafka.tls.key_file", err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("what answers at kafka.brokers does not speak TLS (%w): use the port that does, or set kafka.tls.enabled to false", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("a broker closes the connection while it is made (%w): check that the broker is well, and kafka.tls.enabled and kafka.sasl against what its listener wants", err)
	default:
		return fmt.Errorf("no broker answers (%w): check kafka.brokers and the cluster", err)
	}
}
