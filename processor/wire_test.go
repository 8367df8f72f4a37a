//go:build synctests || integration

package processor

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// line is one replica's way to the brokers. It can be cut, which is how a
// replica dies in these tests: nothing it does afterwards reaches anybody. It
// reads the Kafka protocol's frames, so that an answer can be changed or lost
// after the broker has acted, which the fake broker's own faults cannot do for
// EndTxn.
type line struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	dead   bool
	frozen chan struct{} // closed when it thaws; nil: it is not frozen
	conns  map[net.Conn]struct{}

	// answer sees each answer and may change it in place; false loses it and
	// breaks the connection. Set before the line is used.
	answer func(key kmsg.Key, frame []byte) bool
	hits   atomic.Int64 // answers that were changed or lost
	silent atomic.Bool  // answers are lost, and nothing breaks

	hooks []kgo.Hook // of the replica's client
}

var errCut = errors.New("the line is cut")

func newLine(dial func(ctx context.Context, network, address string) (net.Conn, error)) *line {
	return &line{dial: dial, conns: map[net.Conn]struct{}{}}
}

func (l *line) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		_ = conn.Close()
		return nil, errCut
	}
	l.conns[conn] = struct{}{}
	return &tappedConn{Conn: conn, line: l, keys: map[int32]kmsg.Key{}}, nil
}

// cut ends all connections and lets no new one through.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// mend lets connections through again.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = false
}

// freeze lets nothing through in either direction, and breaks nothing: to the
// brokers the replica is as good as stopped. thaw lets all of it through, late.
func (l *line) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = make(chan struct{})
}

func (l *line) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.frozen)
	l.frozen = nil
}

func (l *line) passes() {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

type tappedConn struct {
	net.Conn
	line *line

	mu   sync.Mutex
	keys map[int32]kmsg.Key // of requests in flight, by correlation id

	unread []byte // of the frame that was read last
}

// Write notes what was asked: kgo writes a whole request at a time.
func (c *tappedConn) Write(b []byte) (int, error) {
	if len(b) >= 12 {
		c.mu.Lock()
		c.keys[int32(binary.BigEndian.Uint32(b[8:]))] = kmsg.Key(binary.BigEndian.Uint16(b[4:]))
		c.mu.Unlock()
	}
	c.line.passes()
	return c.Conn.Write(b)
}

func (c *tappedConn) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		if err := c.readFrame(); err != nil {
			return 0, err
		}
		c.line.passes()
	}
	n := copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *tappedConn) readFrame() error {
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(frame, size[:])
	if _, err := io.ReadFull(c.Conn, frame[4:]); err != nil {
		return err
	}
	if c.line.silent.Load() {
		return c.readFrame()
	}
	c.mu.Lock()
	id := int32(binary.BigEndian.Uint32(frame[4:]))
	key, ok := c.keys[id]
	delete(c.keys, id)
	c.mu.Unlock()
	if ok && c.line.answer != nil && !c.line.answer(key, frame[8:]) {
		_ = c.Close()
		return errCut
	}
	c.unread = frame
	return nil
}

// slowly has brokers take some time for each answer of a kind, or no time would pass
// between two.
func slowly(key kmsg.Key, takes time.Duration) func(*line) {
	return func(l *line) {
		l.answer = func(asked kmsg.Key, _ []byte) bool {
			if asked == key {
				time.Sleep(takes)
			}
			return true
		}
	}
}
