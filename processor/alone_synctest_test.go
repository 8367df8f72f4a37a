//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bystanders is a gateway that answers one request with a word, and grants all the
// others. Who is granted waited since its id was written.
type bystanders struct {
	mu     sync.Mutex
	word   always
	calls  []time.Time // of the one
	wrote  map[string]time.Time
	waited map[string]time.Duration
}

func newBystanders(word always) *bystanders {
	return &bystanders{word: word, wrote: map[string]time.Time{}, waited: map[string]time.Duration{}}
}

func (b *bystanders) RoundTrip(r *http.Request) (*http.Response, error) {
	id := outID(r)
	time.Sleep(10 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(id, "alone") {
		b.calls = append(b.calls, time.Now())
		return b.word(r)
	}
	b.waited[id] = time.Since(b.wrote[id])
	return granted(1), nil
}

// writes is a request that is written now.
func (b *bystanders) writes(s *shop, id string) {
	b.mu.Lock()
	b.wrote[id] = time.Now()
	b.mu.Unlock()
	s.produce(0, nil, s.request(id))
}

// worst is the longest wait, and how many were granted.
func (b *bystanders) worst() (worst time.Duration, granted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, waited := range b.waited {
		worst = max(worst, waited)
	}
	return worst, len(b.waited)
}

// most is how many calls for the one began within a minute.
func (b *bystanders) most() (most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, from := range b.calls {
		n, _ := slices.BinarySearchFunc(b.calls, from.Add(time.Minute), time.Time.Compare)
		most = max(most, n-i)
	}
	return most
}

// One request alone is answered with a word that stops everybody. The others of its
// partition hardly feel it: they wait for one probe, or, where the word is a limit
// of the service, for its minute once. The request is called now and then, and
// parked in time; the partition goes on; it is called once each time it comes back.
func TestRequestThatAloneGetsAWordAboutAllIsParked(t *testing.T) {
	ban := banWithoutNumber + 2*idle
	for name, row := range map[string]struct {
		word  always
		waits time.Duration // any of the others, at the most
	}{
		"app":   {func(*http.Request) (*http.Response, error) { return refused("isv.permission-denied"), nil }, 2 * time.Second},
		"limit": {func(*http.Request) (*http.Response, error) { return refused("isv.BUSINESS_LIMIT_CONTROL"), nil }, ban + 20*time.Second},
	} {
		for _, perSecond := range []int{1, 20} {
			t.Run(fmt.Sprintf("%s, %d per second", name, perSecond), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { aloneWith(t, row.word, perSecond, row.waits) })
			})
		}
	}
}

func aloneWith(t *testing.T, word always, perSecond int, waits time.Duration) {
	const seconds = 180
	b := newBystanders(word)
	s := newShop(t, 1, b)
	cfg := s.config("r1")
	cfg.WindowRecords, cfg.Retry.Delay = 64, 30*time.Second
	r := s.start(cfg)
	for i := range 5 {
		b.writes(s, fmt.Sprint("before-", i))
		time.Sleep(time.Second)
	}
	began := time.Now()
	s.produce(0, nil, s.request("alone"))
	for i := range seconds * perSecond {
		b.writes(s, fmt.Sprint("other-", i))
		time.Sleep(time.Second / time.Duration(perSecond))
	}
	time.Sleep(2 * time.Second)
	worst, done := b.worst()
	parked := on(s.topics.Retry, s.allEnds())
	at, _ := s.position("coupongrant", partition{s.topics.Store, 0})
	t.Logf("%d of %d granted, the longest wait %v; %d calls, at most %d a minute; parked %d times; watermark %d",
		done, seconds*perSecond+5, worst, len(b.calls), b.most(), len(parked), at)

	require.LessOrEqual(t, worst, waits)
	require.Equal(t, seconds*perSecond+5, done)
	require.LessOrEqual(t, b.most(), 6)
	require.EqualValues(t, seconds*perSecond+6, at, "the partition has gone on")
	require.GreaterOrEqual(t, len(parked), 2, "it comes back")
	require.Less(t, parked[0].Timestamp.Sub(began), waits+cfg.Retry.ParkAfter+2*time.Second)
	first, err := strconv.Atoi(headerText(parked[0], headerAttempts))
	require.NoError(t, err)
	for i, p := range parked {
		require.Equal(t, strconv.Itoa(first+i), headerText(p, headerAttempts), "it is called once each time")
		require.Equal(t, "false", headerText(p, headerInDoubt), "nothing can have been granted")
	}
	require.Empty(t, r.Health().Holds)
	require.NoError(t, r.stopped())
}

// The control: everybody gets the word. Nobody is parked for it, whoever was granted
// before, calls stop but for probes, and all are granted when it is over.
func TestWordAboutAllForEverybodyParksNobody(t *testing.T) {
	for name, row := range map[string]struct {
		word string
		kind string
	}{
		"app":   {"isv.permission-denied", holdApp},
		"limit": {"isv.BUSINESS_LIMIT_CONTROL", holdGateway},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rounds, each, minutes = 3, 40, 10
				var calls atomic.Int64
				gateway := &switched{}
				s := newShop(t, 1, gateway)
				good := func() {
					gateway.to(grantsAlways)
				}
				good()
				r := s.start(s.config("r1"))
				for round := range rounds {
					s.spread(fmt.Sprint("good-", round), each, 1)
					s.settled((2*round + 1) * each)
					gateway.to(func(*http.Request) (*http.Response, error) {
						calls.Add(1)
						time.Sleep(10 * time.Millisecond)
						return refused(row.word), nil
					})
					before := calls.Load()
					s.spread(fmt.Sprint("word-", round), each, 1)
					time.Sleep(minutes * time.Minute)
					t.Logf("%d calls in %d minutes", calls.Load()-before, minutes)
					require.LessOrEqual(t, calls.Load()-before, int64(each*(minutes+2)))
					require.NotEmpty(t, reasons(r.Health().Holds, row.kind))
					good()
					onceEach(t, (2*round+2)*each, s.settled((2*round+2)*each))
				}
				require.Len(t, on(s.topics.Granted, s.allEnds()), 2*rounds*each)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// Who stepped back behind others, of which there are none, is called at once with new
// credentials.
func TestWhoSteppedBackIsCalledAtOnceWithNewCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTmall(t)
		r := m.start(m.config("r1"))
		m.serve(10 * time.Second)
		m.settled(m.sent)
		m.sim.SetApp("app", knownApp("rotated", "session"))
		before := m.calls.Load()
		m.produce(0, nil, m.request("waits"))
		time.Sleep(probeAlone + 5*time.Second)
		require.EqualValues(t, 2, m.calls.Load()-before)
		m.write(m.secret, "rotated")
		time.Sleep(5 * time.Second)
		require.Len(t, on(m.topics.Granted, m.allEnds()), m.sent+1)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// One request alone has a time of its own to wait, and nothing else is there to do: that
// is no trouble of this replica.
func TestQuietReplicaIsReadyWhileOneRequestWaitsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := newBystanders(func(*http.Request) (*http.Response, error) { return refused("isv.BUSINESS_LIMIT_CONTROL"), nil })
		s := newShop(t, 1, gateway)
		cfg := s.config("r1")
		r := s.start(cfg)
		gateway.writes(s, "alone")
		for i := range 63 { // the word stops all once, and it alone has it then
			gateway.writes(s, fmt.Sprint("other-", i))
			time.Sleep(time.Second)
		}
		waited := 0
		for ; len(on(s.topics.Retry, s.allEnds())) == 0; waited++ {
			time.Sleep(time.Second)
			require.Empty(t, r.Health().Holds)
		}
		require.Greater(t, time.Duration(waited)*time.Second, cfg.CallTimeout+slack, "in less it would not be seen")
		require.NoError(t, r.stopped())
	})
}
