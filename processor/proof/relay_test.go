//go:build integration

package proof_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// relay is the way to a service, which can be broken and mended. While it is
// broken, connections are reset at once.
type relay struct {
	net.Listener
	target string
	resets atomic.Int64 // connections: a test of an outage must read it

	mu     sync.Mutex
	broken bool
	conns  map[net.Conn]struct{}
}

// newRelay leads to host:port until t ends.
func newRelay(t testing.TB, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{Listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	go r.accept()
	t.Cleanup(func() { _ = listener.Close(); r.cut() })
	return r
}

func (r *relay) address() string { return r.Addr().String() }

func (r *relay) accept() {
	for {
		caller, err := r.Accept()
		if err != nil {
			return // closed
		}
		go r.connect(caller)
	}
}

func (r *relay) connect(caller net.Conn) {
	service, err := net.Dial("tcp", r.target)
	if err != nil || !r.add(caller, service) {
		abandon(caller)
		if err == nil {
			abandon(service)
		}
		return
	}
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // an error means that one of them is gone
		_ = to.Close()
		_ = from.Close()
	}
	go carry(service, caller)
	carry(caller, service)
	r.remove(caller, service)
}

// add refuses while the relay is broken.
func (r *relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		r.resets.Add(1)
		return false
	}
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return true
}

func (r *relay) remove(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// cut ends all connections and lets no new one through.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = true
	for c := range r.conns {
		abandon(c)
	}
}

func (r *relay) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = false
}

// abandon ends a connection as a crash does, by RST.
func abandon(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
