package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
)

func TestDevProvesItself(t *testing.T) {
	got := runWith(t, "", "dev", "--events", "60", "--rate", "600", "--no-outage", "--seed", "5", "--log.format=json")
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	require.Contains(t, got.stdout, "60 requests sent and ended")
	require.Regexp(t, `requests +60`, got.stdout)
	require.Contains(t, got.stdout, "balanced")
	require.NotContains(t, got.stdout+got.stderr, proof.Canary)
	require.NotContains(t, got.stdout+got.stderr, "topsim-demo-secret")
}

// What was printed for `run` says nothing of access, and may name other brokers.
func TestDevTakesAFileWithoutAccess(t *testing.T) {
	var printed bytes.Buffer
	run := defaultConfig()
	run.Brokers = []string{"kafka-1:9092"}
	require.NoError(t, run.print(&printed))
	cfg, err := load(t, printed.String(), nil)
	require.NoError(t, err)
	require.NoError(t, errors.Join(refuseAccess(cfg), refuseOwn(cfg)))
	cfg, err = load(t, "", []string{"COUPONGRANT_REGISTRY_USER=somebody", "COUPONGRANT_REGISTRY_PASSWORD=" + canary})
	require.NoError(t, err)
	require.ErrorContains(t, refuseAccess(cfg), "registry.user is set (environment)")
}

// devRunning is `dev` in the background.
type devRunning struct {
	*testing.T
	stdout, stderr output
	stop           context.CancelFunc
	code           chan int
}

func startDev(t *testing.T, args ...string) *devRunning {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &devRunning{T: t, stop: cancel, code: make(chan int, 1)}
	go func() {
		d.code <- run(ctx, append([]string{"dev"}, args...), strings.NewReader(""), &d.stdout, &d.stderr)
	}()
	t.Cleanup(cancel)
	require.Eventually(t, func() bool { return strings.Contains(d.stdout.String(), "coupongrant audit") }, 20*time.Second, 10*time.Millisecond, "dev has begun")
	return d
}

// said finds what the banner says after a word.
func (d *devRunning) said(word string) string {
	d.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(word) + ` +(\S+)`).FindStringSubmatch(d.stdout.String())
	require.NotNil(d, found, word)
	return found[1]
}

func (d *devRunning) reach(args ...string) []string {
	return append(args, "--kafka.brokers", d.said("kafka.brokers"), "--registry.url", d.said("registry.url"))
}

func (d *devRunning) get(path string) (int, string) {
	d.Helper()
	base, _, _ := strings.Cut(d.said("admin"), "/readyz")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(d.Context(), http.MethodGet, base+path, http.NoBody)
	require.NoError(d, err)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(d, err)
	return response.StatusCode, string(body)
}

func (d *devRunning) stopped() {
	d.Helper()
	d.stop()
	require.Equal(d, exitDone, <-d.code, d.stderr.String())
}

func TestDevServesOtherClientsAndStopsWhenAsked(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	d := startDev(t, "--rate", "100", "--no-outage", "--admin.listen", "localhost:"+port)
	require.Equal(t, "http://localhost:"+port+"/", d.said("console"), "as it was asked for")
	tail := runWith(t, "", d.reach("tail", "--from-start", "--limit", "5")...)
	require.Equal(t, exitDone, tail.code, tail.stderr)
	require.Equal(t, 5, strings.Count(tail.stdout, "\n"))
	require.Eventually(t, func() bool { code, _ := d.get("/readyz"); return code == http.StatusOK }, 10*time.Second, 20*time.Millisecond)
	_, metrics := d.get("/metrics")
	require.Regexp(t, `coupongrant_outcomes_total\{reason="granted"\} [1-9]`, metrics)
	require.Contains(t, metrics, "coupongrant_build_info")
	require.Contains(t, metrics, "go_goroutines")
	d.stopped()
}

// Whatever the file names: a command that dev prints must not act on another cluster.
func TestDevPrintsCommandsThatComeBackToIt(t *testing.T) {
	file := writeFile(t, "kafka:\n  brokers: [elsewhere.invalid:9092]\nregistry:\n  url: http://elsewhere.invalid:8081\n")
	d := startDev(t, "--rate", "1", "--no-outage", "--admin.listen", "127.0.0.1:0", "--config", file)
	require.NotContains(t, d.said("console"), ":0/", "a page that nobody can open")
	want := " --kafka.brokers " + d.said("kafka.brokers") + " --registry.url " + d.said("registry.url")
	require.Contains(t, d.stdout.String(), "coupongrant tail"+want+"\n")
	require.Contains(t, d.stdout.String(), "coupongrant audit"+want+" --ledger")
	require.Eventually(t, func() bool { code, _ := d.get("/readyz"); return code == http.StatusOK }, 20*time.Second, 20*time.Millisecond)
	d.stopped()
}

func TestDevKeepsEverythingInItsFolder(t *testing.T) {
	dir := t.TempDir()
	first := runWith(t, "", "dev", "--events", "40", "--rate", "400", "--no-outage", "--data-dir", dir)
	require.Equal(t, exitDone, first.code, first.stdout+first.stderr)
	second := runWith(t, "", "dev", "--events", "40", "--rate", "400", "--no-outage", "--data-dir", dir)
	require.Equal(t, exitDone, second.code, second.stdout+second.stderr)
	require.Regexp(t, `requests +80`, second.stdout)
	require.Regexp(t, `granted +[0-9]+`, second.stdout)
	require.Contains(t, second.stdout, "balanced")
}

// A refusal by a script says nothing of a grant whose answer it has lost before.
func TestDevTakesNoRefusalOfAScriptForTheTruth(t *testing.T) {
	script := writeFile(t, "0s- lost-answers x1\n0s- business -7 x1\n")
	args := []string{"dev", "--events", "1", "--script", script, "--log.format=json"}
	got := runWith(t, "", args...)
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	require.Regexp(t, `granted +1`, got.stdout)
	require.Contains(t, got.stdout, "balanced")

	// The control: both have happened.
	failed := runWith(t, "", append(args, "--retry.refusal_in_doubt=fail")...)
	require.Equal(t, exitViolated, failed.code, failed.stdout+failed.stderr)
	require.Contains(t, failed.stdout, "untrue")
	require.Equal(t, processor.FailRefusal, (&devFlags{}).base().Processor.Retry.RefusalInDoubt)
}

func TestDevWaitsOutAnOutage(t *testing.T) {
	got := runWith(t, "", "dev", "--events", "400", "--rate", "400", "--seed", "3",
		"--gateway.timeout", "20s", "--stop_timeout", "30s", "--breaker.interval", "2m") // or the breaker opens before the outage where the machine is starved
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	require.Contains(t, got.stderr, "the simulated Tmall is down")
	require.Contains(t, got.stderr, "http-503", "the outage must have been met")
	require.Regexp(t, `requests +400`, got.stdout)
	require.Contains(t, got.stdout, "balanced")
}
