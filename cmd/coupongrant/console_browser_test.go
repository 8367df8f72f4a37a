//go:build browser

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
)

// The page is tested in a real Chromium, by scripts in testdata/console.

var pictures = flag.String("pictures", "", "folder to take the README's pictures into")

// node runs a script with what it needs to find browser and packages.
func node(t *testing.T, environ []string, args ...string) {
	t.Helper()
	modules := os.Getenv("COUPONGRANT_TEST_NODE_MODULES")
	require.NotEmpty(t, modules, "run this by `make console-test`, which installs what it needs")
	chromium, err := exec.LookPath("chromium")
	require.NoError(t, err, "install Debian's package chromium")
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "CONSOLE_CHROMIUM="+chromium)
	cmd.Env = append(cmd.Env, environ...)
	cmd.Dir = filepath.Join("testdata", "console")
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // as it comes: a script that hangs has said where
	require.NoError(t, cmd.Run())
}

func (d *devRunning) console() string {
	d.Helper()
	return d.said("console")
}

func TestConsoleOfTheAssembledProgram(t *testing.T) {
	d := startDev(t, "--rate", "40", "--seed", "7")
	node(t, []string{"CONSOLE_DEV=" + d.console(), "CONSOLE_CANARY=" + proof.Canary}, "--test", "live.test.js")
	d.stopped()
	require.NotContains(t, d.stdout.String()+d.stderr.String(), proof.Canary)
}

func TestConsoleOnStage(t *testing.T) {
	s := newStage(t)
	control := httptest.NewServer(s.control())
	t.Cleanup(control.Close)
	node(t, []string{"CONSOLE_STAGE=http://" + s.address, "CONSOLE_CONTROL=" + control.URL}, "--test", "staged.test.js")
}

// picturesScript has outages that last, so that something can be seen of each.
const picturesScript = `
0s-      http-503 1%
0s-      lost-answers 1%
20s-26s  outage
45s-52s  stall 400ms 50%
80s-     outage
`

func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("run this by `make screenshots`")
	}
	folder, err := filepath.Abs(*pictures)
	require.NoError(t, err)
	d := startDev(t, "--rate", "60", "--seed", "11", "--script", writeFile(t, picturesScript))
	node(t, []string{"CONSOLE_DEV=" + d.console(), "CONSOLE_PICTURES=" + folder, "CONSOLE_FILLING_MS=88000"}, "pictures.js")
	d.stopped()
}

// stage is the admin server over an engine that says what it is told to.
type stage struct {
	t       *testing.T
	address string
	granted prometheus.Counter

	mu      sync.Mutex
	scene   scene
	service *httpService // nil while it is gone
}

// scene is what the engine says, as the scripts write it.
type scene struct {
	Status  processor.Status             `json:"status"`
	Recent  []processor.Trail            `json:"recent"`
	Letters []processor.Trail            `json:"letters"`
	Trails  map[string][]processor.Trail `json:"trails"`
	Traces  map[string]requestTrace      `json:"traces"`
}

func (s scene) trace(id string) (requestTrace, error) {
	trace, ok := s.Traces[id]
	if !ok {
		return trace, errors.New("no broker answers: check kafka.brokers")
	}
	return trace, nil
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, address: freeAddress(t), granted: prometheus.NewCounter(prometheus.CounterOpts{
		Name: outcomesName, ConstLabels: prometheus.Labels{"reason": grantedReason},
	})}
	s.serve()
	t.Cleanup(func() { s.gone() })
	return s
}

func (s *stage) serve() {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(s.granted)
	m := newMemory("", func(_ context.Context, id string, progress func(read, total int64)) (requestTrace, error) {
		progress(1, 2)
		return s.now().trace(id)
	})
	m.recent = func(int) []processor.Trail { return s.now().Recent }
	m.letters = func(int) []processor.Trail { return s.now().Letters }
	m.find = func(id string) []processor.Trail { return s.now().Trails[id] }
	a := &admin{
		began: time.Now(), version: "v1.2.3", replica: "coupongrant-till-7-8080", group: "coupongrant", metrics: metrics, memory: m,
		engine: func() processor.Status { return s.now().Status },
	}
	listener, err := net.Listen("tcp", s.address)
	require.NoError(s.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = newHTTPService(listener, a.handler(), slog.New(slog.DiscardHandler))
	s.service.start(slog.New(slog.DiscardHandler))
}

func (s *stage) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service == nil {
		return
	}
	_ = s.service.stop(context.Background())
	s.service = nil
}

func (s *stage) now() scene {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scene
}

// control lets the scripts set the stage.
func (s *stage) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /scene", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		next := scene{}
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.DisallowUnknownFields() // what the engine cannot say, nobody is to test
		if err == nil {
			err = decoder.Decode(&next)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.scene = next
		s.mu.Unlock()
	})
	mux.HandleFunc("POST /count", func(http.ResponseWriter, *http.Request) { s.granted.Add(100) })
	mux.HandleFunc("POST /gone", func(http.ResponseWriter, *http.Request) { s.gone() })
	mux.HandleFunc("POST /back", func(http.ResponseWriter, *http.Request) { s.serve() })
	return mux
}
