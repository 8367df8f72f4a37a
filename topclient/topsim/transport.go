package topsim

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Transport is the gateway without sockets, for tests in fake time: a call runs
// in the goroutine of its caller, and everything that waits is a timer. Faults
// of the connection are the errors that net/http would give. The body is not
// read when the connection is refused.
func (s *Simulator) Transport() http.RoundTripper { return road{s} }

type road struct{ sim *Simulator }

// remoteAddr is where in-process calls come from, for the check of addresses.
const remoteAddr = "127.0.0.1:0"

// RoundTrip makes one call.
func (t road) RoundTrip(r *http.Request) (*http.Response, error) {
	s, ctx := t.sim, r.Context()
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if how := s.atTheDoor(); how != cutNone {
		return nil, connectionError(how)
	}
	s.tally.arrive(s.now())
	defer s.tally.leave()
	body, err := readBody(r.Body, r.ContentLength)
	if err != nil {
		return nil, err
	}
	in := newInbound(r, body)
	in.remote = remoteAddr
	answer, err := s.handle(ctx, in)
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answer.cut == cutReset, answer.cut == cutClose:
		return nil, connectionError(answer.cut)
	default:
		return s.response(r, answer), nil
	}
}

// connectionError is what net/http says of such a connection.
func connectionError(how cut) error {
	switch how {
	case cutRefuse:
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case cutCertificate:
		return &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	case cutReset, cutBody:
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	case cutNone, cutClose, cutIdle:
		return io.EOF
	default:
		return io.EOF
	}
}

func (s *Simulator) response(r *http.Request, answer reply) *http.Response {
	b := &body{sim: s, ctx: r.Context(), piece: answer.piece, pause: answer.pause, end: io.EOF, closed: make(chan struct{})}
	if answer.cut == cutBody {
		answer, b.end = answer.halved(), connectionError(cutBody)
	}
	length := cmp.Or(answer.declared, len(answer.body))
	switch {
	case length < len(answer.body):
		answer.body = answer.body[:length]
	case length > len(answer.body) && answer.cut == cutNone:
		b.end = io.ErrUnexpectedEOF
	}
	b.rest = answer.body
	header := answer.header.Clone()
	header.Set("Content-Length", strconv.Itoa(length))
	return &http.Response{
		Status: strconv.Itoa(answer.status) + " " + http.StatusText(answer.status), StatusCode: answer.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: int64(length), Body: b, Request: r,
		Close: header.Get("Connection") == "close",
	}
}

// body is an answer's, as slow and as short as a fault makes it.
type body struct {
	sim     *Simulator
	ctx     context.Context // of the request, as in net/http: Read has none
	rest    []byte
	piece   int // bytes between pauses; 0: no pauses
	pause   time.Duration
	started bool
	end     error // after the last byte
	closing sync.Once
	closed  chan struct{}
}

// Read waits before every piece but the first.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		return 0, b.end
	}
	if b.piece == 0 {
		return b.take(p), nil
	}
	if b.started {
		if err := b.wait(); err != nil {
			return 0, err
		}
	}
	b.started = true
	return b.take(p[:min(b.piece, len(p))]), nil
}

func (b *body) take(p []byte) int {
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n
}

func (b *body) wait() error {
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	case <-b.sim.closed:
		return errClosed
	}
}

// Close also ends a Read that waits.
func (b *body) Close() error {
	b.closing.Do(func() { close(b.closed) })
	return nil
}
