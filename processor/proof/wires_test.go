//go:build chaos || apart

package proof_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// maxFrame bounds one Kafka message.
const maxFrame = 128 << 20

// wires lie between the processes and the brokers: one proxy on loopback for
// each broker, at the address that the broker tells its clients. They can be
// cut, held up and slowed, and they see at which moment a process is. Messages
// of the test's own clients pass untouched.
type wires struct {
	crew   *crew // set before anyone connects
	trap   *trap
	topics map[[16]byte]string // by id; set before a replica starts
	lines  []*wire
	wg     sync.WaitGroup
}

// wire leads to one broker.
type wire struct {
	wires    *wires
	listener net.Listener
	target   string // set before anyone connects

	mu    sync.Mutex
	conns map[net.Conn]*member // clients' ends
	cut   bool                 // nobody gets through
	held  chan struct{}        // closed when messages may go on; nil: they may
	delay time.Duration        // of every message, each way
	met   int64                // connections and messages that a trouble struck
	heard time.Time            // the last message of a process, either way
}

// newWires listens for n brokers and forwards nothing yet.
func newWires(t testing.TB, n int) *wires {
	t.Helper()
	all := &wires{}
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		all.lines = append(all.lines, &wire{wires: all, listener: listener, conns: map[net.Conn]*member{}})
	}
	return all
}

func (w *wires) addresses() []string {
	var out []string
	for _, line := range w.lines {
		out = append(out, line.listener.Addr().String())
	}
	return out
}

// serve forwards until close.
func (w *wires) serve() {
	for _, line := range w.lines {
		w.wg.Go(line.accept)
	}
}

func (w *wires) close() {
	for _, line := range w.lines {
		_ = line.listener.Close()
		line.heal()
		line.hangUp(func(*member) bool { return true })
	}
	w.wg.Wait()
}

func (w *wire) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.wires.wg.Go(func() { w.carry(conn) })
	}
}

// carry connects one client with the broker until either end is gone.
func (w *wire) carry(client net.Conn) {
	owner := w.wires.crew.ownerOf(client)
	if !w.admit(client, owner) {
		reset(client)
		return
	}
	defer w.forget(client)
	broker, err := net.Dial("tcp", w.target)
	if err != nil {
		reset(client)
		return
	}
	p := &passage{wire: w, owner: owner, client: client, broker: broker, asked: map[int32]question{}}
	var back sync.WaitGroup
	back.Go(p.answers)
	p.questions()
	back.Wait()
}

func (w *wire) admit(client net.Conn, owner *member) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut && owner != nil {
		w.met++
		return false
	}
	w.conns[client] = owner
	return true
}

func (w *wire) forget(client net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, client)
}

// hangUp resets the connections of chosen owners; nil is the test itself.
func (w *wire) hangUp(whose func(*member) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn, owner := range w.conns {
		if whose(owner) {
			w.met++
			reset(conn)
		}
	}
}

// cutOff resets every process's connection and refuses new ones.
func (w *wire) cutOff() {
	w.mu.Lock()
	w.cut, w.met = true, 0
	w.mu.Unlock()
	w.hangUp(func(m *member) bool { return m != nil })
}

// holdUp lets connections stand and passes nothing on until heal: what was held
// then arrives late.
func (w *wire) holdUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.met = make(chan struct{}), 0
}

func (w *wire) slow(delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.met = delay, 0
}

// talkedTo chooses among the lines over which a process says something now. A broker
// that has just come back leads nothing and is asked for nothing, and what befalls it
// meets nobody.
func (w *wires) talkedTo(r *rand.Rand) (line *wire, err error) {
	order, began := r.Perm(len(w.lines)), time.Now()
	err = within(leaderMoveTime, "nobody talked to any broker", func() bool {
		for _, i := range order {
			if w.lines[i].heardSince(began) {
				line = w.lines[i]
				return true
			}
		}
		return false
	})
	return line, err
}

func (w *wire) heardSince(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard.After(at)
}

// wasMet says that a connection or a message met the trouble.
func (w *wire) wasMet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.met > 0
}

// heal ends every trouble.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		close(w.held)
	}
	w.cut, w.held, w.delay = false, nil, 0
}

// trouble waits out what stands in the way of a process's message.
func (w *wire) trouble() {
	w.mu.Lock()
	w.heard = time.Now()
	held, delay := w.held, w.delay
	if held != nil || delay > 0 {
		w.met++
	}
	w.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if held != nil {
		<-held
	}
}

// reset closes by RST, as a crash or a middlebox does.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

var errFrame = errors.New("a message is larger than any we know")

// readFrame reads one message with its size before it, into buf if it fits.
func readFrame(from io.Reader, buf []byte) ([]byte, error) {
	buf = append(buf[:0], 0, 0, 0, 0)
	if _, err := io.ReadFull(from, buf); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(buf)
	if size > maxFrame {
		return nil, errFrame
	}
	if need := int(size) + 4; cap(buf) < need {
		grown := make([]byte, need)
		copy(grown, buf)
		buf = grown
	}
	buf = buf[:size+4]
	_, err := io.ReadFull(from, buf[4:])
	return buf, err
}

// A broker that has just come back leads nothing: what befalls it would meet nobody.
func TestPlanStrikesWhoIsTalkedTo(t *testing.T) {
	all := newWires(t, 3)
	t.Cleanup(all.close)
	all.serve()
	said := time.NewTicker(lookEvery)
	defer said.Stop()
	over := make(chan struct{})
	var talk sync.WaitGroup
	talk.Go(func() {
		for {
			select {
			case <-said.C:
				all.lines[1].trouble()
			case <-over:
				return
			}
		}
	})
	defer talk.Wait()
	defer close(over)
	for seed := range uint64(8) {
		line, err := all.talkedTo(rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, err)
		require.Same(t, all.lines[1], line)
	}
}
