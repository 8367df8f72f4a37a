package topclient

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	keepAlive      = 15 * time.Second
	idleTimeout    = 30 * time.Second // below what servers and load balancers keep, so that we close first
	maxHeaderBytes = 64 << 10
)

// newTransport is made for many calls at once to one host. HTTP/1.1 only: a lost
// connection then concerns one call, and no stream is replayed on another
// connection. Config has passed Validate.
func newTransport(cfg Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: keepAlive}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    cfg.ConnectTimeout,
		MaxIdleConns:           cfg.IdleConns,
		MaxIdleConnsPerHost:    cfg.IdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
		DisableCompression:     true, // response.go unpacks: pooled, capped and checked to the end
	}
	if proxy, err := url.Parse(cfg.Proxy); err == nil && cfg.Proxy != "" {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t
}
