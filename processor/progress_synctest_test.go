//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stalls watches for some time and returns when it was said that nothing moves:
// the beginning of each time, and the sentence.
func (r *replica) stalls(lasts time.Duration) (began []time.Time, sentence string) {
	stood := false
	for over := time.Now().Add(lasts); time.Now().Before(over); time.Sleep(250 * time.Millisecond) {
		stands := false
		for _, h := range r.Health().Holds {
			if h.Kind == holdStalled {
				stands, sentence = true, h.Reason
			}
		}
		if stands && !stood {
			began = append(began, time.Now())
		}
		stood = stands
	}
	return began, sentence
}

// A replica that has a request to call and gets nowhere with it says so by the
// time its call is given up and a little, before anything else is certain; it says
// so once, and no longer when it has moved.
func TestReplicaThatGetsNowhereIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
			if bad.Load() {
				return hangs(r)
			}
			return granted(1), nil
		}))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("before"))
		s.settled(1)
		time.Sleep(5 * time.Minute) // in which nobody wants anything
		require.Empty(t, r.Health().Holds)

		bad.Store(true)
		s.produce(0, nil, s.request("held"))
		held := time.Now()
		began, sentence := r.stalls(25 * time.Second)
		require.Len(t, began, 1)
		require.Greater(t, began[0].Sub(held), r.cfg.CallTimeout, "a call may take so long")
		require.Less(t, began[0].Sub(held), r.cfg.CallTimeout+5*time.Second)
		require.Contains(t, sentence, "in coupon-grant-requested.store/0 its oldest request held (offset 1) is being called for")
		require.Contains(t, sentence, "check gateway.url")

		bad.Store(false)
		s.settled(2)
		time.Sleep(2 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// The same where the calls go well and the brokers never say that the transaction
// has ended.
func TestReplicaWhoseTransactionHangsIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var called, hung atomic.Bool
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
			called.Store(outID(r) == "held")
			time.Sleep(viewEvery)
			return granted(1), nil
		}))
		cfg := s.config("r1")
		r := s.start(cfg)
		s.produce(0, nil, s.request("before"))
		s.settled(1)
		const hang = 14 * time.Second
		s.kafka.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.kafka.KeepControl()
			if called.Load() && !hung.Swap(true) { // the one before raised the ceiling
				s.kafka.SleepControl(func() { time.Sleep(hang) })
			}
			return nil, nil, false
		})
		s.produce(0, nil, s.request("held"))
		held := time.Now()
		time.Sleep(3 * time.Second)
		status := r.Status()
		require.Less(t, status.At, time.Now().Add(-2*time.Second), "it says of when it is")
		require.Contains(t, whys(status), "transaction that has been under way for")
		began, sentence := r.stalls(hang - 3*time.Second)
		require.Len(t, began, 1)
		require.Less(t, began[0].Sub(held), cfg.SessionTimeout+5*time.Second)
		require.Contains(t, sentence, "check the brokers")
		s.settled(2)
		time.Sleep(3 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.Empty(t, whys(r.Status()))
		require.NoError(t, r.stopped())
	})
}

func whys(s Status) string {
	var all []string
	for _, p := range s.Partitions {
		if p.Why != "" {
			all = append(all, fmt.Sprintf("%s/%d %s", p.Topic, p.Partition, p.Why))
		}
	}
	return strings.Join(all, "\n")
}

// What is slow, rare, or waits for its time is not stalled, however long it takes.
func TestReplicaThatIsSlowIsReady(t *testing.T) {
	for name, row := range map[string]struct {
		gateway always
		set     func(cfg *Config)
		sends   int
		every   time.Duration
	}{
		"calls of 9 s, one after the other": {
			gateway: func(*http.Request) (*http.Response, error) { time.Sleep(9 * time.Second); return granted(1), nil },
			set:     func(cfg *Config) { cfg.MaxInFlight = 1 }, sends: 20,
		},
		"a call every 40 s for its rate": {
			gateway: grantsAlways,
			set:     func(cfg *Config) { cfg.Rate = 1.0 / 40 }, sends: 20,
		},
		"a request every 13 s": {
			gateway: grantsAlways,
			sends:   1, every: 13 * time.Second,
		},
		"nothing but parked requests": {gateway: refusedInDoubt, sends: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 2, row.gateway)
				cfg := s.config("r1")
				if row.set != nil {
					row.set(&cfg)
				}
				r := s.start(cfg)
				time.Sleep(5 * time.Second)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for i := 0; i == 0 || row.every > 0 && i < 18; i++ {
						s.produce(0, nil, s.requests(fmt.Sprint("r-", i), row.sends)...)
						time.Sleep(row.every)
					}
				}()
				began, sentence := r.stalls(4 * time.Minute)
				<-done
				require.Empty(t, began, sentence)
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// refusedInDoubt leaves open each time whether a coupon was granted.
func refusedInDoubt(*http.Request) (*http.Response, error) {
	return platform(998, "")(nil) // in no list
}

// Goroutines that are wedged beat no heart here; and time in which the process was
// stopped is nobody's fault.
func TestProgressSeesWhoDoesNotPass(t *testing.T) {
	cfg := DefaultConfig()
	began := time.Now()
	for name, row := range map[string]struct {
		session, scheduler bool // pass
		gap                bool // the process is stopped for a minute
		want               string
	}{
		"both pass":              {true, true, false, ""},
		"session is wedged":      {false, true, false, "the session has not passed for"},
		"scheduler is wedged":    {true, false, false, "the scheduler has not passed for"},
		"both stand while we do": {true, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHolds(fleetLog, func(string, int) {})
			g := newProgress(cfg, h)
			now, session, scheduler := began, began, began
			for range 60 {
				now = now.Add(time.Second)
				if row.gap && now.Sub(began) == 30*time.Second {
					now = now.Add(time.Minute) // views are of before
				} else {
					if row.session {
						session = now
					}
					if row.scheduler {
						scheduler = now
					}
				}
				m := &moment{
					now: now, holds: h.Current(), session: &sessionView{at: session},
					scheduler: &schedulerView{at: scheduler, supplies: map[partition]supplyView{}},
				}
				g.look(m, 0, 0)
				if row.gap {
					require.Empty(t, h.Current())
				}
			}
			if row.want == "" {
				require.Empty(t, h.Current())
				return
			}
			require.Len(t, h.Current(), 1)
			require.Contains(t, h.Current()[0].Reason, row.want)
		})
	}
}
