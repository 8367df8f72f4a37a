//go:build chaos

package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

var requestsFlag = flag.Int64("requests", 1_000_000, "of each history of TestAuditAtScale")

// auditMemory bounds the audit of a history of any length, but for half a byte a
// request: what a round remembers, what the client fetches ahead, and what the
// garbage collector leaves.
const auditMemory = 400 << 20

// TestAuditAtScale runs the program's audit over a million requests that all
// ended well, which is the control. Then the history goes on, with one loss and
// one untrue outcome in it and a second end for a request of long ago: the audit
// must name each by its offset, and nothing else, from what is new and from
// everything.
func TestAuditAtScale(t *testing.T) {
	brokers := startBrokers(t, t.TempDir(), brokerSetup{count: 1, jvm: []string{"-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"}})
	n := *requestsFlag
	r := scaleResult{
		Began: time.Now().UTC().Truncate(time.Second), Version: sourceVersion(), Kafka: brokers.name(), Go: runtime.Version(),
		Command: fmt.Sprintf("go test -tags chaos -run '^%s$' ./processor/proof -args -requests %d", t.Name(), n),
		Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
	}
	h := newScaleHistory(t, brokers, n)
	h.write(n)
	state := filepath.Join(h.dir, "state")
	control := h.audit("control", "--state", state)
	require.Equal(t, proof.Balanced, control.Verdict)
	require.Zero(t, control.ExitCode)
	require.Equal(t, n, control.Requests)
	require.Empty(t, control.Named)

	h.lost, h.doubled, h.untrue = n+n/200, n/2+10, n+n/100
	h.transaction(h.grant(h.doubled))
	h.write(n + n/50)
	added := h.requirePlants("planted, what is new", "--state", state)
	require.EqualValues(t, 3, *added.New)
	require.Less(t, added.CPU, control.CPU/2, "only what is new was read")
	whole := h.requirePlants("planted, everything")
	r.Audits = []auditRun{control, added, whole}
	for _, a := range r.Audits {
		require.Equal(t, a.History != "control", a.Requests == n+n/50)
		t.Logf("%-22s %8d requests, %5.1f s, %5.1f s of CPU, %3d MiB: %s", a.History, a.Requests, a.Seconds, a.CPU, a.Memory>>20, a.Verdict)
		require.Less(t, a.Memory, int64(auditMemory)+a.Requests/2)
	}
	r.keep(t)
}

func (r *scaleResult) keep(t *testing.T) {
	t.Helper()
	if *resultFlag == "" {
		return
	}
	text, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	name := filepath.Join(*resultFlag, "audit-"+r.Began.Format("20060102-150405")+".json")
	require.NoError(t, os.WriteFile(name, append(text, '\n'), 0o644))
}

// requirePlants audits, and requires that each breach is named by its offset,
// and nothing else is.
func (h *scaleHistory) requirePlants(history string, args ...string) auditRun {
	h.t.Helper()
	run := h.audit(history, args...)
	require.Equal(h.t, proof.Violated, run.Verdict)
	require.Equal(h.t, 3, run.ExitCode)
	require.Equal(h.t, map[proof.Kind][]string{
		proof.Lost: {h.source(h.lost)}, proof.Doubled: {h.source(h.doubled)}, proof.Untrue: {h.source(h.untrue)},
	}, run.Named)
	return run
}

// audit runs the program against topics and ledger.
func (h *scaleHistory) audit(history string, args ...string) auditRun {
	h.t.Helper()
	cfg := topsim.DefaultConfig()
	cfg.DataFile = h.file.Name()
	sim, err := topsim.New(cfg)
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, sim.Close()) }()
	server := httptest.NewServer(sim.Control())
	defer server.Close()
	args = append([]string{"audit", "--json", "--ledger", server.URL}, args...)
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, buildBinary(h.t), args...)
	cmd.Env = append(os.Environ(), h.environment(nil)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	require.NoError(h.t, cmd.Start())
	run := auditRun{History: history, Args: args, Memory: mostMemory(cmd)}
	run.Seconds, run.ExitCode = time.Since(began).Seconds(), cmd.ProcessState.ExitCode()
	run.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	var report struct {
		Verdict proof.Verdict
		proof.Report
	}
	require.NoError(h.t, json.Unmarshal(out.Bytes(), &report), log.String())
	require.Positive(h.t, run.Memory)
	run.Verdict, run.Requests, run.New, run.Named = report.Verdict, report.Requests, report.New, map[proof.Kind][]string{}
	for kind, found := range report.Violations {
		require.EqualValues(h.t, len(found.Named), found.Total)
		for _, f := range found.Named {
			run.Named[kind] = append(run.Named[kind], sourceOf(f))
		}
	}
	for i, arg := range run.Args { // addresses and folders of the day
		if strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "/") {
			run.Args[i] = filepath.Base(arg)
		}
	}
	return run
}

// mostMemory waits for a process to end and returns the most memory that it ever
// had. The kernel's count for children (ru_maxrss) would begin with that of this
// process, which holds a ledger.
func mostMemory(cmd *exec.Cmd) (most int64) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // its exit code is a verdict
	}()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // none once it is gone
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
			var kilobytes int64
			if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
				most = max(most, kilobytes<<10)
			}
		}
		select {
		case <-exited:
			return most
		case <-again.C:
		}
	}
}

// sourceOf is the request record that a finding is about.
func sourceOf(f proof.Finding) string {
	if f.Source != "" {
		return f.Source
	}
	return fmt.Sprintf("%s/%d/%d", f.Topic, f.Partition, f.Offset)
}
