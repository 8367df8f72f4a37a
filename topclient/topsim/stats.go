package topsim

import (
	"strconv"
	"sync"
	"time"
)

// Stats are counts since New. Ledger counts include what a data file held.
type Stats struct {
	Calls         int64            `json:"calls"`    // everything but refused connections
	Rejected      map[string]int64 `json:"rejected"` // calls that failed a check, by platform code; "404" and "413" by status
	Faulted       int64            `json:"faulted"`  // calls that met a rule or a line of the script
	MaxCallsIn1s  int              `json:"max_calls_in_1s"`
	MaxCallsIn10s int              `json:"max_calls_in_10s"`
	MaxConcurrent int64            `json:"max_concurrent"`
	Concurrent    int64            `json:"concurrent"`

	OutIDs     int   `json:"out_ids"` // in the ledger
	Grants     int64 `json:"grants"`
	Replays    int64 `json:"replays"`    // calls of granted out_ids
	Conflicts  int64 `json:"conflicts"`  // replays with other content
	Violations int64 `json:"violations"` // grants beyond the first of an out_id
}

// tally counts calls. The windows are exact: any second, not the clock's.
type tally struct {
	mu         sync.Mutex
	stats      Stats
	rejected   map[int]int64
	oneSecond  crowd
	tenSeconds crowd
}

func newTally() *tally {
	return &tally{
		rejected:   map[int]int64{},
		oneSecond:  crowd{width: time.Second.Nanoseconds()},
		tenSeconds: crowd{width: 10 * time.Second.Nanoseconds()},
	}
}

func (t *tally) arrive(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Calls++
	t.stats.Concurrent++
	t.stats.MaxConcurrent = max(t.stats.MaxConcurrent, t.stats.Concurrent)
	t.oneSecond.add(now.UnixNano())
	t.tenSeconds.add(now.UnixNano())
}

func (t *tally) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Concurrent--
}

func (t *tally) reject(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rejected[code]++
}

func (t *tally) fault() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Faulted++
}

func (t *tally) read() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.stats
	out.Rejected = map[string]int64{}
	for code, n := range t.rejected {
		out.Rejected[strconv.Itoa(code)] = n
	}
	out.MaxCallsIn1s, out.MaxCallsIn10s = t.oneSecond.most, t.tenSeconds.most
	return out
}

// crowd finds the most arrivals in any window of its width. It keeps the
// arrivals of the last window, 8 bytes each.
type crowd struct {
	width int64   // nanoseconds
	times []int64 // from first on
	first int
	most  int
}

func (c *crowd) add(at int64) {
	for c.first < len(c.times) && c.times[c.first] <= at-c.width {
		c.first++
	}
	if c.first > len(c.times)/2 { // each arrival is moved once on average
		c.times = append(c.times[:0], c.times[c.first:]...)
		c.first = 0
	}
	c.times = append(c.times, at)
	c.most = max(c.most, len(c.times)-c.first)
}
