//go:build chaos || apart

package proof_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// callLog is every call of the gateway, in the order in which they left their
// processes. It stands in the way as a relay of bytes, so that what the
// simulator does to connections arrives as it is.
type callLog struct {
	trap   *trap
	flying atomic.Int64

	mu    sync.Mutex
	calls []*call
	wg    sync.WaitGroup
}

// call is one attempt.
type call struct {
	caller *member
	outID  string
	began  time.Time
	over   time.Time // zero until the answer, or the end of the connection
}

// callLine is the way of one process to the gateway.
type callLine struct {
	log      *callLog
	caller   *member
	listener net.Listener
	target   string
}

func (l *callLog) listen(caller *member, target string) (*callLine, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	line := &callLine{log: l, caller: caller, listener: listener, target: target}
	l.wg.Go(line.accept)
	return line, nil
}

func (l *callLine) address() string { return l.listener.Addr().String() }

// close takes no new connections; those that stand end with the process.
func (l *callLine) close() { _ = l.listener.Close() }

func (l *callLine) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.log.wg.Go(func() { l.carry(conn) })
	}
}

func (l *callLine) carry(client net.Conn) {
	gateway, err := net.Dial("tcp", l.target)
	if err != nil {
		gateway = nil // the call is made all the same, and nobody answers
	}
	p := &exchange{line: l, client: client, gateway: gateway}
	var back sync.WaitGroup
	if gateway != nil {
		back.Go(p.answers)
	}
	p.questions()
	back.Wait()
	p.over()
}

// exchange is one connection: calls one after the other.
type exchange struct {
	line            *callLine
	client, gateway net.Conn

	mu   sync.Mutex
	call *call // the one under way
}

// questions relays whole requests until the process hangs up.
func (p *exchange) questions() {
	defer reset(p.client)
	if p.gateway != nil {
		defer func() { _ = p.gateway.Close() }()
	}
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(p.client, &raw))
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		p.begin(outIDOf(body))
		if p.gateway == nil {
			return
		}
		// Nobody sends a second request before the first answer, so this is one.
		if _, err := p.gateway.Write(raw.Bytes()); err != nil {
			return
		}
		raw.Reset()
	}
}

// answers relays bytes until the gateway hangs up, and that too.
func (p *exchange) answers() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.gateway.Read(buf)
		if n > 0 {
			if _, err := p.answer(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			p.over() // before the process can know, and begin the next
			if errors.Is(err, syscall.ECONNRESET) {
				reset(p.client)
			}
			break
		}
	}
	_ = p.client.Close()
}

func (p *exchange) begin(outID string) {
	c := &call{caller: p.line.caller, outID: outID, began: time.Now()}
	p.mu.Lock()
	p.call = c
	p.mu.Unlock()
	log := p.line.log
	log.flying.Add(1)
	log.mu.Lock()
	defer log.mu.Unlock()
	log.calls = append(log.calls, c)
}

// answer passes bytes on. With the first of an answer the call is over, and the
// process may be killed.
func (p *exchange) answer(bytes []byte) (int, error) {
	first := p.over() // before the process has it, and can begin the next
	n, err := p.client.Write(bytes)
	if first && p.line.log.trap.springs(gatewayAnswered, p.line.caller) {
		p.line.caller.strike("killed at " + string(gatewayAnswered))
	}
	return n, err
}

// over ends the call under way, if there is one.
func (p *exchange) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.call == nil {
		return false
	}
	log := p.line.log
	log.mu.Lock()
	p.call.over = time.Now()
	log.mu.Unlock()
	log.flying.Add(-1)
	p.call = nil
	return true
}

// inFlight is how many calls have left and have no answer.
func (l *callLog) inFlight() int64 { return l.flying.Load() }

// all are the calls so far; read it when nobody calls any more.
func (l *callLog) all() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *callLog) made() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

func outIDOf(body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	var dto struct {
		OutID string `json:"out_id"`
	}
	_ = json.Unmarshal([]byte(form.Get("nrt_coupon_send_dto")), &dto) // then it is empty
	return dto.OutID
}
