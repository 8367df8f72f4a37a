//go:build synctests

package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// witness reads the results all the time and notes when each source's end came
// to be seen.
type witness struct {
	mu   sync.Mutex
	sent map[string]time.Time
	seen map[string]time.Time
	done chan struct{}
}

// watch runs a witness until the function that it returns is called.
func (s *shop) watch() (*witness, func()) {
	s.t.Helper()
	w := &witness{sent: map[string]time.Time{}, seen: map[string]time.Time{}, done: make(chan struct{})}
	reader, err := kgo.NewClient(append(s.options(), kgo.ConsumeTopics(s.topics.Granted, s.topics.Failed, s.topics.DeadLetter, s.topics.Retry),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(readerWait))...)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			w.see(reader.PollFetches(ctx))
		}
	}()
	return w, func() {
		cancel()
		<-w.done
		reader.Close()
	}
}

// expect says that each partition of a topic is about to get the record at offset.
func (w *witness) expect(topic string, offset int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range joinPartitions {
		w.sent[fmt.Sprintf("%s/%d/%d", topic, p, offset)] = time.Now()
	}
}

func (w *witness) see(fetches kgo.Fetches) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		for source := range ids([]*kgo.Record{r}) {
			w.seen[source] = time.Now()
		}
	})
}

// slowest is the longest that any request has waited for its end to be seen.
func (w *witness) slowest(t *testing.T) (time.Duration, string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	longest, which := time.Duration(0), ""
	for source, sent := range w.sent {
		require.Contains(t, w.seen, source)
		if took := w.seen[source].Sub(sent); took > longest {
			longest, which = took, source
		}
	}
	return longest, which
}

const (
	joinMembers    = 3
	joinPartitions = 4
	joinBeat       = 500 * time.Millisecond // kgo also looks this soon after each join
	joinCall       = 20 * time.Millisecond
	joinAnswer     = 3 * time.Millisecond   // the slowest
	joinFetch      = 200 * time.Millisecond // fetchMaxWait as it should be: the control raises it

	// A join lasts until the last member has noticed it; it takes partitions from
	// losers, who finish their calls and join again. As a rule there are two joins;
	// a member whose sync comes too late for the first loses in the second, and so
	// on: one for each member at the worst. The new owner's first fetch may leave a
	// partition out. Then it is called for, and read.
	stallBound = joinMembers*joinBeat + 2*joinCall + joinFetch + readerWait + 50*joinAnswer
)

// Replicas come and go under load, and no request waits longer than what was
// configured adds up to. Each round has answers that take other times, so that
// heartbeats, joins and transactions meet each other in other orders; more
// rounds with -count.
func TestComingAndGoingStallsNobody(t *testing.T) {
	for range 3 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			slowest, which := comeAndGo(t, &dice{Rand: rand.New(rand.NewPCG(seed, 0))})
			t.Logf("seed %d: the slowest took %v", seed, slowest)
			require.Less(t, slowest, stallBound, "seed %d, %s", seed, which)
		})
	}
}

// comeAndGo starts replicas one after the other, stops all but the last, and
// returns how long the slowest request took.
func comeAndGo(t *testing.T, d *dice) (time.Duration, string) {
	t.Helper()
	var calls atomic.Int64
	s := newShop(t, joinPartitions, takes(joinCall, &calls))
	s.stableOffsets()
	w, unwatch := s.watch()
	start := func(name string) *replica {
		cfg := s.config(name)
		cfg.HeartbeatInterval = joinBeat
		return s.start(cfg, func(l *line) {
			l.answer = func(kmsg.Key, []byte) bool { time.Sleep(d.upTo(joinAnswer)); return true }
		})
	}
	replicas := []*replica{start("r0")}
	time.Sleep(3*time.Second + d.upTo(joinBeat))
	produced := 0
	load := func() {
		for until := time.Now().Add(2*time.Second + d.upTo(joinBeat)); time.Now().Before(until); produced++ {
			w.expect(s.topics.Store, produced)
			s.spread(fmt.Sprint("id-", produced), joinPartitions, joinPartitions)
			time.Sleep(50*time.Millisecond + d.upTo(joinAnswer))
		}
	}
	for i := 1; i < joinMembers; i++ {
		replicas = append(replicas, start(fmt.Sprint("r", i)))
		load()
	}
	for _, r := range replicas[:joinMembers-1] {
		stopped := make(chan error, 1)
		go func() { stopped <- r.stopped() }()
		load()
		require.NoError(t, <-stopped)
	}
	onceEach(t, joinPartitions*produced, s.settled(joinPartitions*produced))
	require.EqualValues(t, joinPartitions*produced, calls.Load(), "calls")
	time.Sleep(readerWait)
	unwatch()
	require.NoError(t, replicas[joinMembers-1].stopped())
	return w.slowest(t)
}

// stableOffsets has the embedded broker answer what real ones do: it takes all
// offsets of a group for unstable while any member is in a transaction, they
// those of the transaction's partitions. kgo asks again after a second. What
// moves here has been committed before.
func (s *shop) stableOffsets() {
	s.kafka.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.kafka.KeepControl()
		req.(*kmsg.OffsetFetchRequest).RequireStable = false
		return nil, nil, false
	})
}

// What an owner before has under way in a transaction must be waited for, or its successor
// begins where the partition stood before it.
func TestOffsetsAreAskedForWithRequireStable(t *testing.T) {
	for _, protocol := range []GroupProtocol{Classic, Consumer} {
		t.Run(string(protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(grantsAlways))
				var asked, unstable atomic.Int64
				s.kafka.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
					s.kafka.KeepControl()
					asked.Add(1)
					if !req.(*kmsg.OffsetFetchRequest).RequireStable {
						unstable.Add(1)
					}
					return nil, nil, false
				})
				cfg := s.config("r1")
				cfg.GroupProtocol = protocol
				r := s.start(cfg)
				s.produce(0, nil, s.requests("id", 5)...)
				time.Sleep(time.Minute)
				require.NoError(t, r.stopped())
				require.Positive(t, asked.Load())
				require.Zero(t, unstable.Load())
			})
		})
	}
}

// pendingOffsets has the brokers say of every offset, until the function that it returns is
// called, that a transaction with it is open.
func (s *shop) pendingOffsets() (ends func()) {
	var ended atomic.Bool
	s.kafka.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if ended.Load() {
			return nil, nil, false
		}
		s.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse) //nolint:forcetypeassert // ControlKey's
		for _, group := range req.(*kmsg.OffsetFetchRequest).Groups {
			answer := kmsg.OffsetFetchResponseGroup{Group: group.Group}
			for _, topic := range group.Topics {
				of := kmsg.OffsetFetchResponseGroupTopic{Topic: topic.Topic, TopicID: topic.TopicID}
				for _, number := range topic.Partitions {
					of.Partitions = append(of.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{
						Partition: number, Offset: -1, LeaderEpoch: -1, ErrorCode: kerr.UnstableOffsetCommit.Code,
					})
				}
				answer.Topics = append(answer.Topics, of)
			}
			resp.Groups = append(resp.Groups, answer)
		}
		return resp, nil, true
	})
	return func() { ended.Store(true) }
}

// A transaction on the offsets of partitions that came to us does not end: of these nothing
// is known, not even that something waits in them.
func TestOffsetsThatAreNotGivenAreAHold(t *testing.T) {
	for _, protocol := range []GroupProtocol{Classic, Consumer} {
		t.Run(string(protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 2, always(grantsAlways))
				ends := s.pendingOffsets()
				cfg := s.config("r1")
				cfg.GroupProtocol = protocol
				r := s.start(cfg)
				s.spread("id", 10, 2)
				time.Sleep(endsByItself(cfg))
				require.Empty(t, r.Health().Holds, "until then it may end by itself")
				time.Sleep(10 * time.Second)
				require.Contains(t, reasons(r.Health().Holds, holdKafka), "the brokers do not end a transaction on their offsets")
				time.Sleep(10 * time.Minute)
				require.Len(t, r.Health().Holds, 1)
				ends()
				onceEach(t, 10, s.settled(10))
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// Partitions that have left before they could be opened hold nobody up, whether or not we
// were told that they left.
func TestWaitingForOffsetsEndsWhenNobodyAsksForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(unopened)
		ask := func(times int) {
			for range times {
				w.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.OffsetFetch), 0, 0, 0, nil)
				time.Sleep(time.Second)
			}
		}
		ask(10)
		require.Zero(t, w.waits(time.Now()), "a look at offsets of our own")
		w.given()
		ask(20)
		require.Equal(t, 30*time.Second, w.waits(time.Now()))
		time.Sleep(askedAgain)
		require.Zero(t, w.waits(time.Now()))
		ask(5)
		require.Equal(t, 5*time.Second, w.waits(time.Now()))
		w.fetched()
		time.Sleep(time.Minute)
		require.Equal(t, time.Minute+5*time.Second, w.waits(time.Now()), "their logs are looked at")
		w.looked(false)
		ask(1)
		require.Equal(t, time.Minute+6*time.Second, w.waits(time.Now()), "and are looked at again")
		w.fetched()
		w.looked(true)
		ask(10)
		require.Zero(t, w.waits(time.Now()))
	})
}

// dice are thrown by many goroutines.
type dice struct {
	mu sync.Mutex
	*rand.Rand
}

func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.Int64N(int64(most)))
}
