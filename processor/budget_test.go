package processor

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// budgetFleet is replicas that share a budget and a few partitions, in steps of a
// second.
type budgetFleet struct {
	now      time.Time
	rng      *rand.Rand
	replicas [3]budget
	holds    [12]int // which replica holds a partition
	calls    map[time.Time]int
}

func (f *budgetFleet) share() {
	var held [3]float64
	for _, replica := range f.holds {
		held[replica]++
	}
	for i := range f.replicas {
		f.replicas[i].share = held[i] / float64(len(f.holds))
	}
}

// step moves partitions and restarts replicas now and then, and has those that are
// busy make all calls that they may.
func (f *budgetFleet) step(restarted func() budget) {
	f.now = f.now.Add(time.Second)
	for i := range f.replicas {
		b := &f.replicas[i]
		b.reckon(f.now, f.now)
		for f.now.Hour()%3 != i && b.wait() == 0 { // else it is idle
			b.saved--
			f.calls[midnight(f.now)]++
		}
	}
	switch f.rng.IntN(2000) {
	case 0:
		f.replicas[f.rng.IntN(3)] = restarted()
	case 1:
		f.holds[f.rng.IntN(12)] = f.rng.IntN(3)
	}
	f.share()
}

// The control starts with what the day has brought so far, as if nobody had called.
func TestBudgetOfADayIsNeverExceeded(t *testing.T) {
	for name, row := range map[string]struct{ forgets, exceeds bool }{
		"what was saved is lost":                     {false, false},
		"control: a restart forgets what was called": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			const perDay = 50_000
			f := &budgetFleet{
				now: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
				rng: rand.New(rand.NewPCG(1, 2)), calls: map[time.Time]int{},
			}
			restarted := func() budget {
				b := budget{fleet: perDay, at: f.now}
				if row.forgets {
					b.saved = perDay * float64(f.now.Sub(midnight(f.now))) / float64(day) / 3
				}
				return b
			}
			for i := range f.replicas {
				f.replicas[i] = restarted()
			}
			for range 4 * 86_400 {
				f.step(restarted)
			}
			most := 0
			for _, calls := range f.calls {
				most = max(most, calls)
			}
			require.Len(t, f.calls, 5)
			require.Equal(t, row.exceeds, most > perDay, "%d calls in a day", most)
			require.Greater(t, most, perDay/2, "it is of use")
		})
	}
}

// ticked reckons once a second.
func ticked(b *budget, from time.Time, d time.Duration) time.Time {
	for end := from.Add(d); from.Before(end); from = from.Add(time.Second) {
		b.reckon(from, from)
	}
	return from
}

func TestBudgetIsSavedUpUntilMidnightInBeijing(t *testing.T) {
	b := budget{fleet: 24_000, share: 1}
	now := ticked(&b, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 4*time.Hour) // from 20 to 24 hours there
	require.InDelta(t, 4000, b.saved, 1)
	require.Zero(t, b.wait())
	ticked(&b, now, 6*time.Minute)
	require.InDelta(t, 100, b.saved, 1, "of the new day")
}

func TestBudgetComesInOnlyWhileWeRunAndHoldWhatWeHold(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := budget{fleet: 86_400, share: 0.5}
	now := ticked(&b, start, time.Minute)
	saved := b.saved
	require.InDelta(t, 30, saved, 1)
	b.reckon(now.Add(time.Hour), now.Add(time.Hour))
	require.InDelta(t, saved, b.saved, 1, "this process was stopped for an hour")
	for i := range 3600 {
		b.reckon(now.Add(time.Hour+time.Duration(i)*time.Second), now)
	}
	require.InDelta(t, saved, b.saved, 1, "the lease was out for an hour")
	b.share = 0
	require.Zero(t, b.wait(), "what was saved up can be used")
	b.saved = 0
	require.Equal(t, idle, b.wait())
}

// A replica that has just started has nothing saved up: that its first calls wait
// for milliseconds says nothing about the budget. That all it may call is called is
// told within seconds, however fast that is.
func TestBudgetThatIsShortForAMomentIsNoHold(t *testing.T) {
	for name, row := range map[string]struct {
		perDay float64
		demand time.Duration // between calls
		told   bool
	}{
		"enough":                 {90_000_000, 10 * time.Millisecond, false},
		"more called than comes": {900_000, time.Millisecond, true},
		"one call in hours":      {2, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := testQuota(0)
				q.budget = budget{fleet: row.perDay, at: time.Now()}
				q.SetShare(1, 1)
				for began, tick := time.Now(), time.Now(); time.Since(began) < 5*time.Second; time.Sleep(row.demand) {
					for wait, ok := q.Take(time.Now()); !ok && wait < row.demand; wait, ok = q.Take(time.Now()) {
						time.Sleep(wait)
					}
					if time.Since(tick) >= time.Second {
						q.Look(time.Now())
						tick = time.Now()
					}
				}
				require.Equal(t, row.told, len(q.holds.Current()) > 0)
			})
		})
	}
}
