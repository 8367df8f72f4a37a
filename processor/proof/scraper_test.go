//go:build chaos || apart

package proof_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	scrapeEvery = time.Second
	scrapeLimit = 4 << 20
)

// scraper reads what every process shows while it runs.
type scraper struct {
	crew     *crew
	found    *findings
	survivor string // the slot of a soak's one process that is not ended; empty: there is none

	mu       sync.Mutex
	scrapes  int
	memory   int64 // most, in bytes, of one process
	routines int64
	inFlight int64
	signs    []sign // of the survivor, until the load ends
	unloaded bool
}

// sign is what the survivor held at some time.
type sign struct {
	at              time.Time
	process         string
	memory, ofFiles int64
	files, calling  int64
	heapGoal        int64
	routines        routines
}

// loadEnded says that what is seen from now on is no sign any more: a process that rests
// collects and returns next to nothing, and keeps the resident set that it happens to have.
func (s *scraper) loadEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unloaded = true
}

func (s *scraper) run(ctx context.Context) error {
	return every(ctx, scrapeEvery, func() {
		for _, m := range s.crew.living("") {
			s.scrape(m)
		}
	})
}

func (s *scraper) scrape(m *member) {
	admin := m.admin()
	if admin == "" {
		return
	}
	for _, page := range []string{"/metrics", "/readyz", "/api/status"} {
		text, _, err := m.get(page)
		if err != nil {
			return // it is stopped, or gone
		}
		checkText(page+" of "+m.name, text, s.found)
		if page == "/metrics" {
			s.note(m, text)
		}
	}
}

func (s *scraper) note(m *member, metrics []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scrapes++
	memory, ofFiles := m.memory()
	s.memory = max(s.memory, memory)
	s.routines = max(s.routines, gaugeOf(metrics, "go_goroutines"))
	s.inFlight = max(s.inFlight, gaugeOf(metrics, "coupongrant_calls_in_flight"))
	if m.slot == s.survivor && !s.unloaded {
		s.signs = append(s.signs, sign{time.Now(), m.name, memory, ofFiles, m.files(), m.calling(), gaugeOf(metrics, "go_memstats_next_gc_bytes"), m.goroutines()})
	}
}

// survived is what the survivor held, in slices of the time. Another process in
// its place is a finding: age is what is measured.
func (s *scraper) survived() *survivor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.signs) < soakSlices {
		return nil
	}
	first, last := s.signs[0], s.signs[len(s.signs)-1]
	if first.process != last.process {
		s.found.add("survivor", "%s ended, and %s took its place", first.process, last.process)
	}
	out := &survivor{Process: first.process, Seconds: last.at.Sub(first.at).Seconds()}
	var memory, ofFiles, heapGoal, goroutines, ofCalls, files, calling []float64
	for _, v := range s.signs {
		memory = append(memory, float64(v.memory)/(1<<20))
		ofFiles = append(ofFiles, float64(v.ofFiles)/(1<<20))
		heapGoal = append(heapGoal, float64(v.heapGoal)/(1<<20))
		goroutines = append(goroutines, float64(v.routines.all))
		ofCalls = append(ofCalls, float64(v.routines.callers+v.routines.wires))
		files = append(files, float64(v.files))
		calling = append(calling, float64(v.calling))
	}
	out.Memory, out.MemoryOfFiles = rounded(sliced(memory, soakSlices, mean)), rounded(sliced(ofFiles, soakSlices, mean))
	out.HeapGoal = rounded(sliced(heapGoal, soakSlices, mean))
	out.Routines, out.OfCalls = rounded(sliced(goroutines, soakSlices, mean)), rounded(sliced(ofCalls, soakSlices, mean))
	out.Files, out.Calling = rounded(sliced(files, soakSlices, mean)), rounded(sliced(calling, soakSlices, mean))
	return out
}

// rounded keeps the raw result readable.
func rounded(values []float64) []float64 {
	for i, v := range values {
		values[i] = math.Round(100*v) / 100
	}
	return values
}

// metricOf is the value of a line without labels; 0 where there is none.
func metricOf(metrics []byte, name string) float64 {
	for line := range bytes.Lines(metrics) {
		if text, ok := strings.CutPrefix(string(bytes.TrimSpace(line)), name+" "); ok {
			v, _ := strconv.ParseFloat(text, 64)
			return v
		}
	}
	return 0
}

func gaugeOf(metrics []byte, name string) int64 { return int64(metricOf(metrics, name)) }

// get reads a page of the admin address.
func (m *member) get(page string) (text []byte, status int, err error) {
	return read(m.admin(), page)
}

func read(address, page string) (text []byte, status int, err error) {
	client := http.Client{Timeout: 2 * time.Second}
	if address == "" {
		return nil, 0, errors.New("it does not serve yet")
	}
	answer, err := client.Get("http://" + address + page)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(answer.Body, scrapeLimit))
	return text, answer.StatusCode, err
}

func (m *member) ready() bool {
	_, status, err := m.get("/readyz")
	return err == nil && status == http.StatusOK
}

// checkLogs reads what all processes have written: no canary, and nothing that
// only a bug writes.
func checkLogs(all []*member, found *findings) (lines int, err error) {
	for _, m := range all {
		n, err := checkLog(m, found)
		if err != nil {
			return lines, err
		}
		lines += n
	}
	return lines, nil
}

func checkLog(m *member, found *findings) (lines int, err error) {
	file, err := os.Open(m.logged)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 0, 64<<10), scrapeLimit)
	for ; in.Scan(); lines++ {
		checkText("the log of "+m.name, in.Bytes(), found)
		for _, bug := range []string{"panic: ", "fatal error: ", "goroutine 1 ["} {
			if bytes.Contains(in.Bytes(), []byte(bug)) {
				found.add("panic", "%s: %s", m.name, in.Text())
			}
		}
	}
	if err := in.Err(); err != nil {
		return lines, fmt.Errorf("reading the log of %s: %w", m.name, err)
	}
	return lines, nil
}
