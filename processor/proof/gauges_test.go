//go:build apart

package proof_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench/figure"
)

const gaugeEvery = 500 * time.Millisecond

// gauges are what the processes showed of themselves while a run lasted.
type gauges struct {
	crew *crew

	mu      sync.Mutex
	samples []gaugeSample
}

// gaugeSample is one process at one moment.
type gaugeSample struct {
	at          time.Time
	who         *member
	resident    float64 // bytes
	inFlight    float64
	windowBytes float64
	unfinished  float64
	callSeconds float64 // of all calls that have ended
}

func (g *gauges) run(ctx context.Context) error {
	return every(ctx, gaugeEvery, func() {
		for _, m := range g.crew.living("") {
			g.look(m)
		}
	})
}

// look samples one process; one that is starting or gone gives nothing.
func (g *gauges) look(m *member) (gaugeSample, bool) {
	text, _, err := m.get("/metrics")
	if err != nil {
		return gaugeSample{}, false
	}
	resident, _ := m.memory()
	s := gaugeSample{
		at: time.Now(), who: m, resident: float64(resident),
		inFlight:    metricOf(text, "coupongrant_calls_in_flight"),
		windowBytes: metricOf(text, "coupongrant_window_bytes"),
		unfinished:  metricOf(text, "coupongrant_requests_unfinished"),
		callSeconds: metricOf(text, "coupongrant_call_duration_seconds_sum"),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.samples = append(g.samples, s)
	return s, true
}

// between are the samples of a part of the run.
func (g *gauges) between(from, to time.Time) (part []gaugeSample) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.samples {
		if !s.at.Before(from) && !s.at.After(to) {
			part = append(part, s)
		}
	}
	return part
}

func most(samples []gaugeSample, of func(gaugeSample) float64) (highest float64) {
	for _, s := range samples {
		highest = max(highest, of(s))
	}
	return highest
}

// residentGrowth is the median of the last third of a part against that of its
// middle third, less one: 0 is flat.
func residentGrowth(part []gaugeSample) float64 {
	third := len(part) / 3
	if third == 0 {
		return 0
	}
	values := func(samples []gaugeSample) (all []float64) {
		for _, s := range samples {
			all = append(all, s.resident)
		}
		return all
	}
	return figure.Median(values(part[2*third:]))/figure.Median(values(part[third:2*third])) - 1
}

// peakResident is the most memory that a living process ever had, in bytes, as
// the kernel kept it.
func (m *member) peakResident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(kilobytes)[0], 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not say what %s had at most", m.name)
}

// slotUse is which share of all call slots was in use between two looks at the
// same processes: the time of the calls that ended, against slots and time.
func (s *stage) slotUse(from, to []gaugeSample) float64 {
	s.t.Helper()
	require.Len(s.t, to, len(from))
	var used, there float64
	for i, before := range from {
		require.Same(s.t, before.who, to[i].who)
		used += to[i].callSeconds - before.callSeconds
		there += to[i].at.Sub(before.at).Seconds() * float64(s.plan.slots)
	}
	return used / there
}

// lookAtAll samples every living process.
func (s *stage) lookAtAll() (all []gaugeSample) {
	s.t.Helper()
	for _, m := range s.crew.living("") {
		sample, ok := s.gauges.look(m)
		require.True(s.t, ok, "%s shows nothing", m.name)
		all = append(all, sample)
	}
	return all
}

// processorTimes are the machine's: busy, and all, in ticks.
func processorTimes() (busy, all float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	for i, field := range strings.Fields(string(first))[1:] {
		v, _ := strconv.ParseFloat(field, 64)
		all += v
		if i != 3 && i != 4 { // idle, and waiting for disks
			busy += v
		}
	}
	return busy, all
}
