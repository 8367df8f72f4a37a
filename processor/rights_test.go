package processor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestLackingRightsAreNamedByTopic(t *testing.T) {
	topics := DefaultConfig().Topics
	all := []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribe}
	for name, tt := range map[string]struct {
		topic   string
		allowed []kadm.ACLOperation
		want    []string
	}{
		"all":                         {topics.Retry, all, nil},
		"brokers that tell nothing":   {topics.Retry, nil, nil},
		"an input is only read":       {topics.Store, []kadm.ACLOperation{kadm.OpRead}, nil},
		"a result is only written":    {topics.Granted, []kadm.ACLOperation{kadm.OpWrite}, nil},
		"an input that is seen only":  {topics.Loyalty, []kadm.ACLOperation{kadm.OpDescribe}, []string{"READ on topic " + topics.Loyalty}},
		"a result that is seen only":  {topics.DeadLetter, []kadm.ACLOperation{kadm.OpDescribe}, []string{"WRITE on topic " + topics.DeadLetter}},
		"the retry topic needs both":  {topics.Retry, []kadm.ACLOperation{kadm.OpDescribe}, []string{"READ and WRITE on topic " + topics.Retry}},
		"and says which one it lacks": {topics.Retry, []kadm.ACLOperation{kadm.OpRead}, []string{"WRITE on topic " + topics.Retry}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := kadm.TopicDetails{tt.topic: {Topic: tt.topic, AuthorizedOperations: tt.allowed}}
			require.Equal(t, tt.want, topics.lackingRights(seen, nil))
		})
	}
	require.Equal(t, []string{"READ on topic " + topics.Store}, topics.lackingRights(nil, []string{topics.Store}), "a topic that cannot be seen")
}

func TestUnreachableBrokersAreToldApart(t *testing.T) {
	for name, tt := range map[string]struct {
		give error
		want string
	}{
		"password":    {kerr.SaslAuthenticationFailed, "check kafka.sasl.user and its password or token"},
		"mechanism":   {kerr.UnsupportedSaslMechanism, "the brokers do not take kafka.sasl.mechanism"},
		"authority":   {&tls.CertificateVerificationError{Err: errors.New("unknown")}, "check kafka.tls.ca_file"},
		"certificate": {&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, "check kafka.tls.cert_file"},
		"no TLS":      {tls.RecordHeaderError{Msg: "first record"}, "does not speak TLS"},
		"closed":      {io.EOF, "what its listener wants"},
		"nobody":      {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "no broker answers"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Unreachable(fmt.Errorf("dialing: %w", tt.give))
			require.ErrorContains(t, err, tt.want)
			require.ErrorIs(t, err, tt.give)
		})
	}
}
