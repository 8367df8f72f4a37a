//go:build chaos

package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRequestAtScale looks one request up among a million that ended, and one
// that nobody sent, which has to read as much.
func TestRequestAtScale(t *testing.T) {
	brokers := startBrokers(t, t.TempDir(), brokerSetup{count: 1, jvm: []string{"-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"}})
	n := *requestsFlag
	h := newScaleHistory(t, brokers, n)
	h.write(n)
	for id, state := range map[string]string{h.of(n/2 + 11).RequestID: "granted", "req-of-nobody": "not-found"} {
		got := h.requestCommand(t, id)
		require.Equal(t, state, got.State, got.Verdict)
		require.GreaterOrEqual(t, got.Read, 2*n)
		t.Logf("%s: %d records of %d requests read in %.1f s, %.1f s of CPU, %d MiB: %s", id, got.Read, n, got.wall.Seconds(), got.cpu.Seconds(), got.memory>>20, got.Verdict)
	}
}

type lookedUp struct {
	State   string `json:"state"`
	Verdict string `json:"verdict"`
	Read    int64  `json:"records_read"`

	wall, cpu time.Duration
	memory    int64
}

// requestCommand runs the program; 0 and 1 are both answers.
func (h *scaleHistory) requestCommand(t *testing.T, id string) (got lookedUp) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, buildBinary(t), "request", "--json", id)
	cmd.Env = append(os.Environ(), h.environment(nil)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	require.NoError(t, cmd.Start())
	got.memory = mostMemory(cmd)
	got.wall, got.cpu = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	require.Contains(t, []int{0, 1}, cmd.ProcessState.ExitCode(), log.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), &got), fmt.Sprint(log.String(), out.String()))
	return got
}
