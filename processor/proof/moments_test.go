//go:build chaos || apart

package proof_test

import (
	"errors"
	"sync"
	"time"
)

// moment is a point on the way of a transaction at which a process can be
// killed from outside.
type moment string

// The moments. At "sent" the request has left for the broker and its answer
// never comes; at "answered" and the like the answer has just been passed on.
const (
	gatewayAnswered moment = "gateway answered"
	produceSent     moment = "produce sent"
	produced        moment = "produced"
	offsetsSent     moment = "offsets sent"
	offsetsAnswered moment = "offsets answered"
	endSent         moment = "EndTxn sent"
	ended           moment = "ended"
	inRecovery      moment = "in recovery"
)

func moments() []moment {
	return []moment{gatewayAnswered, produceSent, produced, offsetsSent, offsetsAnswered, endSent, ended, inRecovery}
}

var errNoMoment = errors.New("nobody came to that moment")

// trap waits for the next process to come to a moment. The proxies ask it at
// every message; at most one process is caught for each setting.
type trap struct {
	fit   func() bool        // whether a fault would count now; not asked of a slot, which was chosen when it did
	spare func(*member) bool // who must not be caught now

	mu     sync.Mutex
	set    moment // empty: nothing is set
	slot   string // only there; empty: anywhere
	caught chan *member
}

// next catches the next process that comes to a moment, anywhere or in a slot,
// and returns it: it has been sent kill -9.
func (t *trap) next(at moment, slot string, within time.Duration, begin func() error) (*member, error) {
	caught := make(chan *member, 1)
	t.arm(at, slot, caught)
	defer t.arm("", "", nil)
	if err := begin(); err != nil {
		return nil, err
	}
	select {
	case m := <-caught:
		<-m.exited
		return m, nil
	case <-time.After(within):
		return nil, errNoMoment
	}
}

func (t *trap) arm(at moment, slot string, caught chan *member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set, t.slot, t.caught = at, slot, caught
}

// springs says that m is caught here; the caller must then kill it.
func (t *trap) springs(at moment, m *member) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set != at || m == nil || t.spare(m) || t.slot != "" && t.slot != m.slot || t.slot == "" && !t.fit() {
		return false
	}
	t.set = ""
	t.caught <- m
	return true
}
