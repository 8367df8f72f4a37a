package processor

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lease is how long this replica may take it that what it holds is its own. The
// brokers give its partitions to others when they have not heard of it for the
// session timeout, and with them their share of the quota: so its calls must end
// no later. It counts from when the request was sent that the group's coordinator
// last answered, as that is before the coordinator began to wait for the next.
//
// A process that was stopped and goes on does not know yet that it was given up.
// The first answer after a silence may just say that, and kgo does not tell what
// an answer said; but it sends nothing more in the name of a membership that was
// refused before it has told us of the loss. So a silence is over with the second
// answer.
//
// It is a hook of kgo, and is asked by the scheduler: safe for concurrent use.
type lease struct {
	timeout time.Duration

	mu    sync.Mutex
	heard time.Time // when the newest request was sent that was answered; zero: none was
	until time.Time
}

func newLease(timeout time.Duration) *lease { return &lease{timeout: timeout} }

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (l *lease) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if e2e.Err() != nil {
		return
	}
	now := time.Now()
	switch key {
	case int16(kmsg.Heartbeat), int16(kmsg.SyncGroup), int16(kmsg.ConsumerGroupHeartbeat):
		l.answered(now.Add(-e2e.DurationE2E()))
	case int16(kmsg.JoinGroup): // is answered when all have joined: the coordinator waits from then on
		l.answered(now)
	}
}

func (l *lease) answered(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	silence := sent.Sub(l.heard)
	if until := sent.Add(l.timeout); (l.heard.IsZero() || silence < l.timeout) && until.After(l.until) {
		l.until = until
	}
	if sent.After(l.heard) {
		l.heard = sent
	}
}

// expiry is from when on another may hold what we hold, unless we hear more.
func (l *lease) expiry() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// valid says that nobody else can hold what we hold.
func (l *lease) valid(now time.Time) bool { return now.Before(l.expiry()) }
