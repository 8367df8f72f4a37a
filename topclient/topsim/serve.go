package topsim

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// ServeHTTP is the gateway over sockets. Faults of the connection need HTTP/1.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.atTheDoor() != cutNone {
		hangUp(w, true) // the handshake is over, so this is as near as it gets
		return
	}
	s.tally.arrive(s.now())
	defer s.tally.leave()
	body, err := readBody(r.Body, r.ContentLength)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller left in the middle of its request
	}
	answer, err := s.handle(r.Context(), newInbound(r, body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.send(r.Context(), w, answer)
}

func newInbound(r *http.Request, body string) inbound {
	return inbound{
		method:   r.Method,
		path:     r.URL.Path,
		query:    r.URL.RawQuery,
		formBody: isForm(r.Header.Get("Content-Type")),
		body:     body,
		remote:   r.RemoteAddr,
		gzip:     strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"),
	}
}

// isForm takes any spelling, and whatever parameters.
func isForm(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// readBody reads one byte more than allowed, so that too much can be told.
func readBody(body io.Reader, length int64) (string, error) {
	if body == nil {
		return "", nil
	}
	if length < 0 || length > maxBody {
		text, err := io.ReadAll(io.LimitReader(body, maxBody+1))
		return string(text), err
	}
	text := make([]byte, length)
	_, err := io.ReadFull(body, text)
	return string(text), err
}

// send writes a reply, or what a fault leaves of it.
func (s *Simulator) send(ctx context.Context, w http.ResponseWriter, r reply) {
	switch r.cut {
	case cutReset, cutRefuse, cutCertificate:
		hangUp(w, true)
	case cutClose:
		hangUp(w, false)
	case cutBody:
		s.write(ctx, w, r.halved())
		_ = http.NewResponseController(w).Flush()
		hangUp(w, true)
	case cutIdle:
		s.write(ctx, w, r)
		_ = http.NewResponseController(w).Flush()
		hangUp(w, false)
	case cutNone:
		s.write(ctx, w, r)
	}
}

// halved promises the whole body and holds half of it.
func (r reply) halved() reply {
	r.declared = len(r.body)
	r.body = r.body[:len(r.body)/2]
	return r
}

func (s *Simulator) write(ctx context.Context, w http.ResponseWriter, r reply) {
	header := w.Header()
	for name, values := range r.header {
		header[name] = values
	}
	declared := cmp.Or(r.declared, len(r.body))
	header.Set("Content-Length", strconv.Itoa(declared))
	r.body = r.body[:min(declared, len(r.body))] // net/http refuses to write more
	w.WriteHeader(r.status)
	if r.piece == 0 {
		_, _ = w.Write(r.body) // an error means that the caller left
		return
	}
	out := http.NewResponseController(w)
	for rest := r.body; len(rest) > 0; {
		piece := rest[:min(r.piece, len(rest))]
		rest = rest[len(piece):]
		if _, err := w.Write(piece); err != nil {
			return
		}
		if out.Flush() != nil || s.wait(ctx, r.pause) != nil {
			return
		}
	}
}

// hangUp ends the connection under w at once: by RST, as a crash or a middlebox
// does, or by FIN. Headers and body that were written leave before.
func hangUp(w http.ResponseWriter, reset bool) {
	out := http.NewResponseController(w)
	conn, _, err := out.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // Close then sends RST
	}
	_ = conn.Close()
}
