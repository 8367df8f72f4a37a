package topclient

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
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

// States of an outgoing body.
const (
	untouched int32 = iota
	taken           // the transport has read from it: bytes may have left
	withdrawn       // nobody can read it any more: nothing ever left
)

var errWithdrawn = errors.New("the call was given up before it was sent")

// outgoing is the body of one request. It knows whether the request can have
// left, for any transport: a request whose body nobody read grants nothing, and
// net/http writes headers and the start of the body in one piece.
//
// The story it prevents: a call is cancelled while its connection is just
// ready. RoundTrip returns, we say "not sent", and then the connection's own
// goroutine takes the body and sends it. So whoever is first, reader or
// withdrawal, decides, and the other one finds out.
//
// It is no GetBody, so that no transport can send it twice.
type outgoing struct {
	text  bytes.Reader
	state atomic.Int32
}

func newOutgoing(body []byte) *outgoing {
	o := new(outgoing)
	o.text.Reset(body)
	return o
}

// Read is called by one goroutine of the transport.
func (o *outgoing) Read(p []byte) (int, error) {
	if !o.state.CompareAndSwap(untouched, taken) && o.state.Load() == withdrawn {
		return 0, errWithdrawn
	}
	return o.text.Read(p)
}

// Close has nothing to release.
func (o *outgoing) Close() error { return nil }

// withdraw ends the body's use after a failed call and reports whether bytes of
// the request may have left. Once false, none ever will.
func (o *outgoing) withdraw() (sent bool) {
	return !o.state.CompareAndSwap(untouched, withdrawn)
}
