package schemas

import (
	"crypto/tls"
	"io"
	"net/http"
	"time"
)

const (
	// exchangeTimeout bounds one exchange with the registry, body included.
	exchangeTimeout = 5 * time.Second

	// maxAnswerBytes bounds an answer, which clients read whole. Registries keep
	// schemas in Kafka records, 1 MB at most by default.
	maxAnswerBytes = 1 << 20
)

const (
	errLongAnswer    badAnswer = "the answer is longer than 1 MiB"
	errOtherProtocol badAnswer = "the answer is HTTP 101: what answers speaks another protocol"
)

// BoundedTransport ends an answer that is too long, or no answer, with an error that
// Unanswered tells.
type BoundedTransport struct{ http.RoundTripper }

func (t BoundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which no deadline ends
		_ = answer.Body.Close()
		return nil, errOtherProtocol
	}
	answer.Body = &boundedBody{ReadCloser: answer.Body, left: maxAnswerBytes}
	return answer, nil
}

// CloseIdleConnections is found by http.Client, which embedding alone hides.
func (t BoundedTransport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if b.left < 0 {
		return 0, errLongAnswer
	}
	return n, err
}

// newHTTPClient follows no redirects, since they would carry the credentials
// elsewhere, and uses no proxy from the environment.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConns:           2,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{
		Transport:     BoundedTransport{transport},
		Timeout:       exchangeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
