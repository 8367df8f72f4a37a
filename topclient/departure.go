package topclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// departure knows whether a request can have left: from the first byte on, a
// coupon may have been granted.
type departure interface {
	// sent is asked once, after the transport has failed. Once it says false,
	// nothing of the request ever leaves.
	sent() bool
}

// prepare makes the request of one attempt. It sets no GetBody, so that no
// transport can send it twice.
func (c *Client) prepare(ctx context.Context, body []byte) (*http.Request, departure) {
	req := c.request.WithContext(ctx)
	req.ContentLength = int64(len(body))
	if c.ownTransport {
		text := bytes.NewReader(body)
		req.Body = io.NopCloser(text)
		return req, inMemory{text}
	}
	o := newOutgoing(body)
	req.Header = req.Header.Clone() // who knows what a foreign transport does with it
	req.Body = o
	return req, o
}

// inMemory is for our own transport, of which we know: headers and a body that
// net/http sees to be in memory go into one buffer, so that nothing has left
// before it has read of the body; and RoundTrip does not fail before the
// goroutine that writes has ended, so that nobody reads beside sent. A body of a
// type of ours would be flushed apart from the headers, at the price of a second
// system call.
type inMemory struct{ *bytes.Reader }

func (m inMemory) sent() bool { return int64(m.Len()) < m.Size() }

// States of an outgoing body.
const (
	untouched int32 = iota
	taken           // the transport has read from it: bytes may have left
	withdrawn       // nobody can read it any more: nothing ever left
)

var errWithdrawn = errors.New("the call was given up before it was sent")

// outgoing is for a transport that was handed in, of which nothing is known: a
// request whose body nobody read grants nothing.
//
// The story it prevents: a call is cancelled while its connection is just
// ready. RoundTrip returns, we say "not sent", and then a goroutine of the
// transport takes the body and sends it. So whoever is first, reader or
// withdrawal, decides, and the other one finds out.
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

func (o *outgoing) sent() bool { return !o.state.CompareAndSwap(untouched, withdrawn) }
