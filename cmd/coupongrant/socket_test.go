package main

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// socket is a listener that can go away and come back at the same address, or
// take everything and say nothing.
type socket struct {
	t        *testing.T
	address  net.Addr
	accepted chan net.Conn
	closed   chan struct{}
	loops    sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	conns    map[*socketConn]struct{}
	silent   chan struct{} // closed when the silence ends; nil: there is none
}

func newSocket(t *testing.T) *socket {
	t.Helper()
	s := &socket{t: t, accepted: make(chan net.Conn), closed: make(chan struct{}), conns: map[*socketConn]struct{}{}}
	s.listen(freeAddress(t))
	s.address = s.listener.Addr()
	return s
}

func (s *socket) listen(address string) {
	s.t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(s.t, err)
	s.mu.Lock()
	s.listener = listener
	s.mu.Unlock()
	s.loops.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case s.accepted <- s.watched(conn):
			case <-s.closed:
				_ = conn.Close()
				return
			}
		}
	})
}

func (s *socket) watched(conn net.Conn) *socketConn {
	c := &socketConn{Conn: conn, of: s, gone: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return c
}

// refuse ends all connections and takes no more.
func (s *socket) refuse() {
	s.mu.Lock()
	conns := s.conns
	s.conns = map[*socketConn]struct{}{}
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	s.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// silence takes everything from now on and answers nothing.
func (s *socket) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = make(chan struct{})
}

// restore is as it was before.
func (s *socket) restore() {
	s.mu.Lock()
	if s.silent != nil {
		close(s.silent)
		s.silent = nil
	}
	away := s.listener == nil
	s.mu.Unlock()
	if away {
		s.listen(s.address.String())
	}
}

// Accept implements net.Listener.
func (s *socket) Accept() (net.Conn, error) {
	select {
	case conn := <-s.accepted:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *socket) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return nil
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	s.refuse()
	s.loops.Wait()
	return nil
}

// Addr implements net.Listener.
func (s *socket) Addr() net.Addr { return s.address }

// socketConn is a connection that hears nothing while its socket is silent.
type socketConn struct {
	net.Conn

	of   *socket
	once sync.Once
	gone chan struct{}
}

func (c *socketConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.mu.Lock()
	silent := c.of.silent
	c.of.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-c.gone:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (c *socketConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

func TestSocketRefusesAndIsSilentOnOrder(t *testing.T) {
	s := newSocket(t)
	defer func() { require.NoError(t, s.Close()) }()
	echo := make(chan struct{})
	go func() {
		defer close(echo)
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				b := make([]byte, 1)
				for {
					if _, err := conn.Read(b); err != nil {
						return
					}
					_, _ = conn.Write(b)
				}
			}()
		}
	}()
	ask := func(conn net.Conn, within time.Duration) error {
		require.NoError(t, conn.SetDeadline(time.Now().Add(within)))
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	conn, err := net.Dial("tcp", s.address.String())
	require.NoError(t, err)
	require.NoError(t, ask(conn, 5*time.Second))
	s.silence()
	require.ErrorContains(t, ask(conn, 100*time.Millisecond), "timeout")
	require.NoError(t, conn.Close()) // an answer may still be on its way there
	s.restore()
	conn, err = net.Dial("tcp", s.address.String())
	require.NoError(t, err)
	require.NoError(t, ask(conn, 5*time.Second))
	s.refuse()
	require.Error(t, ask(conn, 5*time.Second))
	_, err = net.Dial("tcp", s.address.String())
	require.Error(t, err)
	s.restore()
	conn, err = net.Dial("tcp", s.address.String())
	require.NoError(t, err)
	require.NoError(t, ask(conn, 5*time.Second))
	require.NoError(t, conn.Close())
	require.NoError(t, s.Close())
	<-echo
}
