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
}

// silence is how long no broker may answer before it is a hold. Heartbeats
// alone are more frequent.
const silence = 5 * time.Second

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (c *contact) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || time.Since(time.Unix(0, c.lastRead.Load())) < silence {
		return
	}
	c.silent.Store(true)
	c.holds.Set(holdKafka, "brokers", fmt.Sprintf("no broker answers (%s:%d: %v): everything waits; check the cluster and the way to it", meta.Host, meta.Port, err))
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
