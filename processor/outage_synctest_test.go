//go:build synctests

package processor

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
)

// What the trials of this file run at: a load that the gateway takes ten times
// over, and so many calls at once that the few that hang do not count.
const (
	troubleSlots = 100
	troubleCall  = 500 * time.Millisecond
	troubleSpeed = float64(troubleSlots) / 0.5 // calls a second that are possible
	troubleLoad  = 20                          // requests a second
)

// trial is a gateway that is good or bad on order, under a steady load.
type trial struct {
	*shop
	*replica
	bad atomic.Bool

	mu     sync.Mutex
	calls  []time.Time
	states []state // of the breaker as scraped, where it changed

	halt chan struct{}
	load sync.WaitGroup
	sent atomic.Int64
}

type state struct {
	at    time.Time
	value float64
}

// refuses is trouble that shows at once; hangs is trouble that shows when the
// call is given up.
func refuses(r *http.Request) (*http.Response, error) { return status(503)(r) }

func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func newTrial(t *testing.T, trouble always, with breaker.Config) *trial {
	t.Helper()
	tr := &trial{halt: make(chan struct{})}
	tr.shop = newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
		tr.mu.Lock()
		tr.calls = append(tr.calls, time.Now())
		tr.mu.Unlock()
		if tr.bad.Load() {
			return trouble(r)
		}
		time.Sleep(troubleCall)
		return granted(1), nil
	}))
	tr.breaker = with
	cfg := tr.config("r1")
	cfg.MaxInFlight = troubleSlots
	tr.replica = tr.start(cfg)
	tr.load.Go(func() { tr.every(time.Second/2, tr.request) })
	tr.load.Go(func() { tr.every(50*time.Millisecond, tr.scrape) })
	return tr
}

func (tr *trial) every(d time.Duration, do func()) {
	for {
		select {
		case <-time.After(d):
			do()
		case <-tr.halt:
			return
		}
	}
}

// request sends half a second's worth.
func (tr *trial) request() {
	for partition := range int32(2) {
		n := tr.sent.Add(troubleLoad / 4)
		tr.produce(partition, nil, tr.requests("id-"+strconv.FormatInt(n, 10), troubleLoad/4)...)
	}
}

func (tr *trial) scrape() {
	families, err := tr.scraped.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() != "coupongrant_breaker_state" {
			continue
		}
		value := f.GetMetric()[0].GetGauge().GetValue()
		if n := len(tr.states); n == 0 || tr.states[n-1].value != value {
			tr.states = append(tr.states, state{time.Now(), value})
		}
	}
}

// callsIn is how many calls began in a span of time.
func (tr *trial) callsIn(from, to time.Time) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, at := range tr.calls {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// nextCall waits for one: the worst moment for trouble to end is when a probe
// has just met it.
func (tr *trial) nextCall() {
	for from := time.Now(); tr.callsIn(from, time.Now()) == 0; {
		time.Sleep(time.Millisecond)
	}
}

// ended stops the load and returns what each request waited for its outcome,
// the shortest first. All must be granted, each once.
func (tr *trial) ended() []time.Duration {
	close(tr.halt)
	tr.load.Wait()
	ends := tr.settled(int(tr.sent.Load()))
	onceEach(tr.t, int(tr.sent.Load()), ends)
	require.Len(tr.t, on(tr.topics.Granted, ends), len(ends), "no failed, no dead letter, nobody parked")
	require.NoError(tr.t, tr.stopped())
	return tr.waits(ends)
}

func (tr *trial) waits(ends []*kgo.Record) []time.Duration {
	waits := make([]time.Duration, 0, len(ends))
	for _, end := range ends {
		outcome, err := tr.codec.DecodeOutcome(end.Value)
		require.NoError(tr.t, err)
		waits = append(waits, end.Timestamp.Sub(outcome.(*schemas.Granted).OccurredAt))
	}
	slices.Sort(waits)
	return waits
}

// Minutes in which the gateway refuses every call, or answers none. Full speed is
// back so soon after their end. The controls end it with what makes the return
// slow: a breaker that stays open for long, or one that waits for calls that hang.
func TestOutageUnderLoad(t *testing.T) {
	patient, impatient := breaker.DefaultConfig(), breaker.DefaultConfig()
	patient.OpenFor = 15 * time.Second
	impatient.SlowCall = 2 * time.Second
	const soon, control = 5 * time.Second, true
	for name, row := range map[string]struct {
		trouble always
		breaker breaker.Config
		lasts   time.Duration
		full    time.Duration
		slow    bool
	}{
		"refuses":                   {refuses, breaker.DefaultConfig(), 10 * time.Minute, soon, false},
		"hangs":                     {hangs, impatient, 10 * time.Minute, soon, false},
		"hangs, none slow":          {hangs, breaker.DefaultConfig(), 2 * time.Minute, DefaultConfig().CallTimeout + 4*time.Second, false},
		"control: open for long":    {refuses, patient, time.Minute, soon, control},
		"control: hangs, none slow": {hangs, breaker.DefaultConfig(), time.Minute, soon, control},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrial(t, row.trouble, row.breaker)
				began, over := tr.outage(row.lasts)
				time.Sleep(row.full + 5*time.Second)
				speed := float64(tr.callsIn(over.Add(row.full), over.Add(row.full+5*time.Second))) / 5
				time.Sleep(5 * time.Minute)
				waits := tr.ended()

				t.Logf("%.0f calls a second of %.0f; longest wait %v", speed, troubleSpeed, waits[len(waits)-1])
				if row.slow {
					require.Less(t, speed, 0.5*troubleSpeed, "the test must see a slow return")
					return
				}
				require.Greater(t, speed, 0.9*troubleSpeed, "full speed from then on")
				tr.requireStates(began, over, row.full, row.breaker)
			})
		})
	}
}

// outage begins when all is well, and ends at the worst moment.
func (tr *trial) outage(lasts time.Duration) (began, over time.Time) {
	time.Sleep(30 * time.Second)
	tr.bad.Store(true)
	began = time.Now()
	time.Sleep(lasts)
	tr.nextCall()
	tr.bad.Store(false)
	return began, time.Now()
}

// A gateway that answers, but always later than breaker.slow_call, gets nothing but
// probes. What it answers is taken all the same: nobody is called twice.
func TestSlowGatewayIsOnlyProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := breaker.DefaultConfig()
		with.SlowCall = 2 * time.Second
		tr := newTrial(t, func(*http.Request) (*http.Response, error) {
			time.Sleep(3 * time.Second)
			return granted(1), nil
		}, with)
		began, over := tr.outage(2 * time.Minute)
		time.Sleep(30 * time.Second)
		waits := tr.ended()
		require.Greater(t, waits[len(waits)-1], time.Minute, "they waited for the breaker")
		require.Len(t, tr.calls, len(waits))
		tr.requireStates(began, over, 5*time.Second, with)
	})
}

// requireStates: closed, soon open, and then only probes until the trouble is
// over; closed again as soon, and for good.
func (tr *trial) requireStates(began, over time.Time, soon time.Duration, with breaker.Config) {
	t, closed, halfOpen, open := tr.t, float64(breaker.Closed), float64(breaker.HalfOpen), float64(breaker.Open)
	seen := map[float64]int{}
	for _, s := range tr.states {
		seen[s.value]++
	}
	require.Equal(t, 2, seen[closed], "at the start and at the end")
	require.Positive(t, seen[halfOpen])
	opened := tr.states[1]
	require.Equal(t, open, opened.value)
	require.Less(t, opened.at.Sub(began), soon)
	last := tr.states[len(tr.states)-1]
	require.Equal(t, closed, last.value)
	require.Less(t, last.at.Sub(over), soon)
	probes := tr.callsIn(opened.at, over)
	require.Positive(t, probes)
	require.LessOrEqual(t, probes, int(with.Probes)*(1+int(over.Sub(opened.at)/with.OpenFor)))
}

// Ten minutes in which every other ten seconds are bad.
func TestFlappingGateway(t *testing.T) {
	impatient := breaker.DefaultConfig()
	impatient.SlowCall = 2 * time.Second
	for name, row := range map[string]struct {
		trouble always
		breaker breaker.Config
	}{
		"refuses": {refuses, breaker.DefaultConfig()},
		"hangs":   {hangs, impatient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const flap = 10 * time.Second
				tr := newTrial(t, row.trouble, row.breaker)
				time.Sleep(30 * time.Second)
				for range 30 {
					tr.bad.Store(true)
					time.Sleep(flap)
					tr.bad.Store(false)
					time.Sleep(flap)
				}
				time.Sleep(30 * time.Second)
				waits := tr.ended()
				p99 := waits[len(waits)*99/100]
				t.Logf("%d requests, p50 %v, p99 %v, longest %v", len(waits), waits[len(waits)/2], p99, waits[len(waits)-1])
				require.LessOrEqual(t, p99, flap+5*time.Second)
				require.Greater(t, p99, flap/2, "the trouble was felt")
				for i, s := range tr.states[1:] {
					if before := tr.states[i]; before.value == float64(breaker.HalfOpen) {
						require.Less(t, s.at.Sub(before.at), 5*time.Second, "half-open is not for long")
					}
				}
				require.Equal(t, float64(breaker.Closed), tr.states[len(tr.states)-1].value)
				require.Greater(t, len(tr.states), 60, "it opened and closed in each round")
			})
		})
	}
}
