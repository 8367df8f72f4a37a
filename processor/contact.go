package processor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// contact watches, as a hook of kgo, whether any broker answers: kgo itself
// retries in silence.
type contact struct {
	holds     *holds
	began     time.Time                 // with its monotonic reading: no wall clock that is set makes silence
	lastRead  atomic.Int64              // nanoseconds after that, of the last answer
	unreached atomic.Pointer[unreached] // the first since then; nil: none
	bound     time.Duration             // of silence
	silent    atomic.Bool               // the hold stands
	telling   sync.Mutex                // of silent and the hold: an answer between the two would leave it for ever

	looked, since time.Time // of look: the last time, and from when on an answer is due
}

// unreached is a broker that could not be reached.
type unreached struct {
	at   time.Time
	what string
}

const (
	// silence is how long brokers that take our requests may answer none, before it
	// is a hold. Fetches are more frequent, and heartbeats by default.
	silence = 4 * time.Second
	// unreachedFor is how long one cannot be reached and none answers, before it is one.
	// kgo looks at the metadata at once then, so that any other would have answered.
	unreachedFor = 2 * time.Second
)

func newContact(cfg Config, h *holds) *contact {
	return &contact{holds: h, began: time.Now(), bound: max(silence, cfg.HeartbeatInterval+2*time.Second)}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (c *contact) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		c.unreached.CompareAndSwap(nil, &unreached{time.Now(), fmt.Sprintf("everything waits: at %s:%d, %v", meta.Host, meta.Port, Unreachable(err))})
	}
}

// look sees brokers that cannot be reached, or take our requests and answer none.
// A member has heartbeats to be answered, but not while it waits for the others to
// join. Time in which this process was stopped does not count.
func (c *contact) look(now time.Time, member bool) {
	stopped := now.Sub(c.looked) > longestTick
	if stopped {
		c.unreached.Store(nil)
	}
	if !member || stopped {
		c.since = now
	}
	c.looked = now
	if last := c.began.Add(time.Duration(c.lastRead.Load())); last.After(c.since) {
		c.since = last
	}
	why, quiet := c.unreached.Load(), now.Sub(c.since)
	switch {
	case why != nil && now.Sub(why.at) > unreachedFor:
		c.tell(why.what)
	case quiet > c.bound:
		c.tell(fmt.Sprintf("no broker has answered for %s: everything waits; check the cluster and the way to it", spell(quiet)))
	}
}

func (c *contact) tell(what string) {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.silent.Store(true)
	c.holds.Set(holdKafka, whereBrokers, what) // renewed while it lasts
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (c *contact) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	if e2e.Err() == nil {
		c.answered()
	}
}

func (c *contact) answered() {
	c.lastRead.Store(int64(time.Since(c.began)))
	c.unreached.Store(nil)
	if c.silent.Load() { // rarely: answers come by the thousand
		c.telling.Lock()
		defer c.telling.Unlock()
		c.silent.Store(false)
		c.holds.Clear(holdKafka, whereBrokers)
	}
}
