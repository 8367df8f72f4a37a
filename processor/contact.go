package processor

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// contact watches, as a hook of kgo, whether any broker answers: kgo itself
// retries in silence.
type contact struct {
	holds    *holds
	lastRead atomic.Int64 // Unix nanoseconds of the last answer
	silent   atomic.Bool
	bound    time.Duration // of look

	looked, since time.Time // of look: the last time, and from when on an answer is due
}

// silence is how long no broker may answer, when one cannot be reached, before it
// is a hold. Fetches are more frequent, and heartbeats by default.
const silence = 4 * time.Second

func newContact(cfg Config, h *holds) *contact {
	return &contact{holds: h, bound: max(silence, cfg.HeartbeatInterval+2*time.Second)}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (c *contact) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || time.Since(time.Unix(0, c.lastRead.Load())) < silence {
		return
	}
	c.silent.Store(true)
	c.holds.Set(holdKafka, "brokers", fmt.Sprintf("no broker answers (%s:%d: %v): everything waits; check the cluster and the way to it", meta.Host, meta.Port, err))
}

// look, once a second, sees brokers that take our requests and answer none. A
// member has heartbeats to be answered, but not while it waits for the others to
// join. Time in which this process was stopped does not count.
func (c *contact) look(now time.Time, member bool) {
	if !member || now.Sub(c.looked) > longestTick {
		c.since = now
	}
	c.looked = now
	if last := time.Unix(0, c.lastRead.Load()); last.After(c.since) {
		c.since = last
	}
	if quiet := now.Sub(c.since); quiet > c.bound && !c.silent.Swap(true) {
		c.holds.Set(holdKafka, "brokers", fmt.Sprintf("no broker has answered for %s: everything waits; check the cluster and the way to it", spell(quiet)))
	}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (c *contact) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	if e2e.Err() != nil {
		return
	}
	c.lastRead.Store(time.Now().UnixNano())
	if c.silent.Swap(false) {
		c.holds.Clear(holdKafka, "brokers")
	}
}
