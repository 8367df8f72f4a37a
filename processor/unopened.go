package processor

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// unopened watches how long partitions that came to us wait to be opened: for their
// committed offsets, which the brokers do not give while a transaction with them is open,
// and then for a look at their logs. kgo asks once a second, for as long as it lasts and
// in silence, and of a partition that is not open nothing else would be told.
//
// kgo calls it from its goroutines, the session looks.
type unopened struct {
	mu      sync.Mutex
	came    bool      // some have come that were not opened yet
	looking bool      // at their logs
	since   time.Time // when their offsets were asked for first
	asked   time.Time // and last, or a look at their logs failed: nobody asks for those that have left us again, which may not be told
}

// askedAgain is within what kgo asks again: a second after an answer, which it may wait
// 10 s for.
const askedAgain = 15 * time.Second

// given notes that partitions have come to us.
func (w *unopened) given() {
	w.mu.Lock()
	w.came = true
	w.mu.Unlock()
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (w *unopened) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if kmsg.Key(key) != kmsg.OffsetFetch || err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.asked) > askedAgain {
		w.since = now
	}
	w.asked = now
}

// fetched notes that their offsets are there, and their logs are looked at.
func (w *unopened) fetched() {
	w.mu.Lock()
	w.looking = true
	w.mu.Unlock()
}

// looked notes that the look is over, and whether they are open by it. If not, kgo asks
// for their offsets again.
func (w *unopened) looked(opened bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looking, w.asked = false, time.Now()
	if opened {
		w.came, w.asked = false, time.Time{}
	}
}

// waits is for how long some have waited.
func (w *unopened) waits(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.came || !w.looking && now.Sub(w.asked) > askedAgain {
		return 0
	}
	return now.Sub(w.since)
}

// endsByItself is how long the brokers may take to end a transaction of which nobody is
// left: its timeout, their next look, and a moment.
func endsByItself(cfg Config) time.Duration { return cfg.TransactionTimeout + 15*time.Second }

// tellUnopened states as a hold that partitions of ours cannot be opened.
func (s *session) tellUnopened() {
	waits := s.assigned.unopened.waits(time.Now())
	if waits <= endsByItself(s.cfg) {
		s.holds.Clear(holdKafka, whereOffsets)
		return
	}
	s.holds.Set(holdKafka, whereOffsets, fmt.Sprintf("partitions that came to this replica have waited for %s to be read: the brokers do not end a transaction on their offsets, or do not say where their logs begin; look at the leaders of __consumer_offsets, of __transaction_state and of the inputs (kafka-transactions.sh list)", spell(waits)))
}
