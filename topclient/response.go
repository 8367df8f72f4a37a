package topclient

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// badBody says why an answer that came is no envelope, in our words: a body is
// never quoted, as it may echo what we sent.
type badBody string

func (b badBody) Error() string { return string(b) }

// bodyReader reads answers. It keeps what reading takes, as unpacking alone takes
// 40 KB of tables, more than all the rest of a call. Safe for concurrent use.
type bodyReader struct{ pool sync.Pool } // of *workspace

// workspace is what reading one answer takes.
type workspace struct {
	raw, unpacked buffer
	gunzip        gzip.Reader
	tree          treeRoom
}

type buffer struct{ bytes []byte }

const usualAnswer = 1 << 10 // bytes

func (r *bodyReader) workspace() *workspace {
	if w, ok := r.pool.Get().(*workspace); ok {
		return w
	}
	return &workspace{raw: buffer{make([]byte, 0, usualAnswer)}, tree: newTreeRoom()}
}

// release must come after the tree was taken apart, which stands in w.
func (r *bodyReader) release(w *workspace) {
	w.tree.empty()
	r.pool.Put(w)
}

// read gives the tree of an answer. Any error that is no badBody is the
// connection's.
func (w *workspace) read(resp *http.Response) (node, error) {
	if err := w.raw.readCapped(resp.Body); err != nil {
		return node{}, err
	}
	body := w.raw.bytes
	switch encoding := resp.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		if err := w.unpack(); err != nil {
			return node{}, err
		}
		body = w.unpacked.bytes
	default:
		return node{}, badBody("packed in a way we did not ask for")
	}
	root, err := decodeTree(body, &w.tree)
	if err != nil {
		return node{}, badBody(err.Error())
	}
	return root, nil
}

// readCapped reads to the end, but at most one byte above the cap: the rest of a
// larger body is never taken off the connection.
func (b *buffer) readCapped(from io.Reader) error {
	b.bytes = b.bytes[:0]
	for {
		if len(b.bytes) == cap(b.bytes) {
			b.bytes = slices.Grow(b.bytes, len(b.bytes)+1)
		}
		n, err := from.Read(b.bytes[len(b.bytes):min(cap(b.bytes), maxAnswerBytes+1)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case len(b.bytes) > maxAnswerBytes:
			return badBody(fmt.Sprintf("larger than %d bytes", maxAnswerBytes))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// unpack unpacks one member of gzip with its checksum, and nothing after it.
func (w *workspace) unpack() error {
	src := bytes.NewReader(w.raw.bytes)
	if err := w.gunzip.Reset(src); err != nil {
		return badBody("declared gzip and is not")
	}
	w.gunzip.Multistream(false)
	err := w.unpacked.readCapped(&w.gunzip)
	var bad badBody
	switch {
	case errors.As(err, &bad):
		return bad
	case err != nil:
		return badBody("damaged gzip")
	case src.Len() > 0:
		return badBody("more after the end of gzip")
	}
	return nil
}

// reply is what came back, read as far as it can be: either an answer or why
// there is none.
type reply struct {
	status int
	host   string // raw
	answer answer
	bad    badBody // not empty: no envelope
}

// newReply reads an HTTP answer at any status, as it is not documented which one
// errors come with. An error is the connection's.
func (r *bodyReader) newReply(resp *http.Response) (reply, error) {
	rep := reply{status: resp.StatusCode, host: resp.Header.Get("Location-Host")}
	if rep.host == "" {
		rep.host = resp.Header.Get("Application-Host")
	}
	w := r.workspace()
	defer r.release(w)
	root, err := w.read(resp)
	if err != nil {
		var bad badBody
		if !errors.As(err, &bad) {
			return rep, err
		}
		rep.bad = bad
		return rep, nil
	}
	var ok bool
	if rep.answer, ok = takeApart(root, rep.status); !ok {
		rep.bad = "well-formed, but not the gateway's envelope"
	}
	return rep, nil
}

// outcome judges a reply.
func (rep reply) outcome(s scrubber) (Coupon, *Error) {
	if rep.bad != "" {
		return Coupon{}, rep.noEnvelope()
	}
	a := rep.answer
	requestID, host := s.clean(a.requestID, maxWord), s.clean(rep.host, maxWord)
	if a.coupon.InstanceID > 0 && !a.ambiguous {
		c := a.coupon
		c.RequestID, c.Host = requestID, host
		if c.Name != nil {
			name := strings.Clone(visible(s.ofNames().hide(*c.Name))) // not the whole answer
			c.Name = &name
		}
		return c, nil
	}
	code, v := a.judge()
	e := &Error{ // none of its texts is a part of the answer, which would be kept with it
		About: v.about, MayHaveGranted: v.mayHaveGranted, Throttled: v.throttled, RefusesID: v.refusesID,
		Code: s.clean(code, maxWord), SubCode: s.clean(a.subCode, maxWord), Message: s.clean(a.message(), maxMessage),
		Business: strings.Clone(v.business), RequestID: requestID, Host: host, Sent: true,
	}
	if e.LimitOfPlatform() { // a number in what the service says means something else
		e.RetryAfter = banIn(a.subMsg)
	}
	return Coupon{}, e
}

// noEnvelope is trouble of the gateway or on the way to it; what the service
// did is not known.
func (rep reply) noEnvelope() *Error {
	e := &Error{
		About: AboutGateway, MayHaveGranted: true, Sent: true,
		Code: CodeBadBody, Message: "the answer is no envelope: " + string(rep.bad),
	}
	if rep.status != http.StatusOK {
		e.Code = fmt.Sprintf("http-%d", rep.status)
	}
	return e
}

// judge gives the code to show and its verdict, of an answer without a coupon.
func (a answer) judge() (string, verdict) {
	switch {
	case a.ambiguous:
		return CodeAmbiguous, unlisted
	case a.refusal && a.code == "":
		return CodeNoCode, unlisted
	case a.refusal:
		return a.code, judge(a.code, a.subCode, a.msg)
	case a.code == "":
		return CodeNoCoupon, unlisted
	}
	if v, ok := judgeBusiness(a.code); ok {
		return a.code, v
	}
	return a.code, unlisted
}

func (a answer) message() string {
	if a.msg == "" || a.subMsg == "" {
		return a.msg + a.subMsg
	}
	return a.msg + ": " + a.subMsg
}
