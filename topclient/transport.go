package topclient

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	connectTimeout = 3 * time.Second // of dialling, and again of the TLS handshake
	keepAlive      = 15 * time.Second
	idleTimeout    = 30 * time.Second // below what servers and load balancers keep, so that we close first
	maxHeaderBytes = 64 << 10
)

// newTransport is made for many calls at once to one host. HTTP/1.1 only: a lost
// connection then concerns one call, and no stream is replayed on another
// connection. No proxy, whatever the environment says. Config has passed Validate.
func newTransport(cfg Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConns:           cfg.IdleConns,
		MaxIdleConnsPerHost:    cfg.IdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
		DisableCompression:     true, // response.go unpacks: pooled, capped and checked to the end
	}
}
