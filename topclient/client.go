package topclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Client makes calls. Credentials come with each, and of them it keeps only the signing
// state of the last secret. Safe for concurrent use.
type Client struct {
	timeout time.Duration
	forms   formWriter
	bodies  bodyReader
	request *http.Request // what all calls have in common; cloned, never sent

	transport    http.RoundTripper
	ownTransport bool // it is of newTransport
}

// New returns a client that calls by transport, which must not retry; nil: one of
// its own. The error is that of Validate.
func New(cfg Config, transport http.RoundTripper) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway client: %w", err)
	}
	cfg = cfg.withDefaults()
	target, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("gateway client: gateway.url is not a URL")
	}
	c := &Client{
		timeout:   cfg.Timeout,
		forms:     formWriter{signMethod: cfg.SignMethod},
		request:   newRequest(target, cfg.UserAgent),
		transport: transport,
	}
	if c.transport == nil {
		c.transport, c.ownTransport = newTransport(cfg), true
	}
	return c, nil
}

func newRequest(target *url.URL, userAgent string) *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: target, Host: target.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":          {"text/javascript,application/json,text/xml"},
			"Accept-Encoding": {"gzip"},
			"Content-Type":    {"application/x-www-form-urlencoded;charset=UTF-8"},
			"User-Agent":      {userAgent},
		},
	}
}

// CloseIdleConnections closes what no call uses, and with it the goroutines that
// keep it. For the end of a program or test; calls may go on.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Send makes exactly one attempt and returns within Config.Timeout. A Coupon
// means granted; every error is an *Error. It signs anew with the time of the
// call, so an attempt is repeated by calling Send again with the same Grant.
func (c *Client) Send(ctx context.Context, cred Credentials, g Grant) (Coupon, error) {
	coupon, err := c.send(ctx, cred, g)
	if err != nil { // a nil *Error in an error would not be nil
		return Coupon{}, err
	}
	return coupon, nil
}

func (c *Client) send(ctx context.Context, cred Credentials, g Grant) (Coupon, *Error) {
	if !cred.complete() {
		return Coupon{}, noCredentials()
	}
	form, refused := c.forms.newForm(cred, g, time.Now())
	if refused != nil {
		return Coupon{}, refused
	}
	rep, failed := c.exchange(ctx, form.body)
	s := newScrubber(cred, g, form.sign)
	if failed != nil {
		failed.Message = s.clean(failed.Message, maxMessage)
		return Coupon{}, failed
	}
	return rep.outcome(s)
}

// exchange sends the body and reads the reply, both within the deadline. It goes
// to the transport itself: an http.Client would follow redirects.
func (c *Client) exchange(ctx context.Context, body []byte) (reply, *Error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	req, left := c.prepare(ctx, body)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return reply{}, noAnswer(ctx.Err(), err, left.sent())
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which no deadline ends
		_ = resp.Body.Close()
		resp.Body = http.NoBody
	}
	rep, err := c.bodies.newReply(resp)
	if err != nil {
		return reply{}, noAnswer(ctx.Err(), err, true)
	}
	return rep, nil
}

// limit ends ctx with the timeout. A deadline that comes sooner needs no timer
// beside it.
func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= c.timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

func noCredentials() *Error {
	return &Error{About: AboutApp, Code: CodeNoCredentials, Message: "app key, app secret or session is empty"}
}

// noAnswer is the error of an attempt that no complete answer came to. What may
// have left may have granted. ended is the error of its context.
func noAnswer(ended, err error, sent bool) *Error {
	e := &Error{About: AboutGateway, Sent: sent, MayHaveGranted: sent}
	e.Code, e.Message, e.err = failureCode(ended, err, sent)
	if e.Code == CodeCanceled {
		e.About, e.Canceled = AboutUnknown, true
	}
	return e
}

// failureCode names a failure, in the order of what is surest. The cause given
// back is one that holds no bytes of an answer: net/http quotes malformed ones.
func failureCode(ended, err error, sent bool) (code, message string, cause error) {
	var (
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
		errno   syscall.Errno
		timeout net.Error
	)
	if errors.As(err, &errno) {
		cause = errno
	}
	switch {
	case errors.Is(ended, context.Canceled):
		return CodeCanceled, "the caller cancelled", context.Canceled
	case ended != nil, errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout, "no complete answer in time", context.DeadlineExceeded
	case sent:
		return CodeConnectionLost, "the connection broke before the answer was complete" + detail(cause), cause
	case errors.As(err, &dns):
		return CodeDNS, "the host's name was not resolved", dns
	case errors.As(err, &cert):
		return CodeTLS, cert.Error(), cert
	case errors.As(err, &alert), errors.As(err, &record):
		return CodeTLS, "the handshake failed: " + err.Error(), nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return CodeRefused, "nobody listens there", cause
	case errors.As(err, &timeout) && timeout.Timeout():
		return CodeConnectTimeout, "no connection in time", cause
	default:
		return CodeConnect, "no connection: " + err.Error(), cause
	}
}

func detail(cause error) string {
	if cause == nil {
		return ""
	}
	return ": " + cause.Error()
}
