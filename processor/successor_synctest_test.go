//go:build synctests

package processor

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A replica dies within a transaction: records are produced and offsets sent, and
// nobody ends it. Who comes back under its transactional id ends it at once; under
// another, the partitions and their readers wait until the brokers do. Either way
// nothing is lost, and who has an end is not called again.
func TestLostTransactionalIDWaitsForTheBrokersToEndIt(t *testing.T) {
	for name, atOnce := range map[string]bool{"r1": true, "r2": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { diesWithinATransaction(t, name, atOnce) })
		})
	}
}

func diesWithinATransaction(t *testing.T, successor string, atOnce bool) {
	const before, within = 10, 5
	gateway := countedBy(grantsAlways)
	s := newShop(t, 1, gateway)
	cfg := s.config("r1")
	died, armed := make(chan struct{}), atomic.Bool{}
	first := s.start(cfg, func(l *line) {
		produced := false
		l.answer = func(key kmsg.Key, _ []byte) bool {
			switch {
			case !armed.Load():
			case key == kmsg.Produce:
				produced = true
			case key == kmsg.TxnOffsetCommit && produced && armed.Swap(false):
				go func() { l.cut(); close(died) }()
				return false
			}
			return true
		}
	})
	s.spread("before", before, 1)
	s.settled(before)
	time.Sleep(time.Second)
	armed.Store(true)
	s.spread("within", within, 1)
	<-died
	began := time.Now()

	cfg.TransactionalID = successor
	second := s.start(cfg)
	s.spread("after", 1, 1)
	if !atOnce {
		time.Sleep(cfg.SessionTimeout + 3*time.Second)
		require.Zero(t, gateway.of("after-0"), "nobody may be called before it is known what is committed")
		require.Empty(t, second.Health().Holds, "it is in its group, and waits for what will come by itself")
	}
	ends := s.settled(before + within + 1)
	took := time.Since(began)
	if atOnce {
		require.Less(t, took, cfg.SessionTimeout+3*time.Second, "it waits for the group to miss the dead, and for nothing else")
	} else {
		require.Greater(t, took, cfg.TransactionTimeout-time.Second, "it waits for the transaction to be over")
		require.Less(t, took, cfg.TransactionTimeout+5*time.Second)
	}

	onceEach(t, before+within+1, ends)
	for i := range before {
		require.Equal(t, 1, gateway.of(fmt.Sprint("before-", i)), "it had its end")
	}
	for i := range within {
		require.Positive(t, gateway.of(fmt.Sprint("within-", i)))
	}
	_ = first.stopped() // nothing of it reaches anybody
	require.NoError(t, second.stopped())
}
