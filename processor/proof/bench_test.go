//go:build apart

package proof_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var benchFlag = flag.String("bench", "", "arguments of coupongrant bench")

// TestBenchOnKafka gives coupongrant bench a broker of its own. What the bench
// finds is its result: it fails where something does not hold.
func TestBenchOnKafka(t *testing.T) {
	brokers := startBrokers(t, t.TempDir(), measuredBrokers())
	args := append([]string{"bench", "--kafka.brokers", strings.Join(brokers.direct, ",")}, strings.Fields(*benchFlag)...)
	if *resultFlag != "" {
		args = append(args, "--results", *resultFlag)
	}
	bench := exec.Command(buildBinary(t), args...)
	bench.Stdout, bench.Stderr = os.Stdout, os.Stderr
	require.NoError(t, bench.Run())
}

// TestBenchSeesSlowness is the control: an engine that makes one call at a time
// cannot be taken for one that makes sixteen.
func TestBenchSeesSlowness(t *testing.T) {
	brokers, results := startBrokers(t, t.TempDir(), measuredBrokers()), t.TempDir()
	bench := exec.Command(buildBinary(t), "bench", "--kafka.brokers", strings.Join(brokers.direct, ","), "--results", results,
		"--case", "call-10ms", "--pairs", "1", "--length", "3s", "--engine", "gateway.max_in_flight=1")
	out, err := bench.CombinedOutput()

	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, string(out))
	require.Equal(t, 1, exit.ExitCode(), string(out))
	require.Contains(t, string(out), "not everything holds")
	raw, err := os.ReadFile(filepath.Join(results, "bench-call-10ms.json"))
	require.NoError(t, err, string(out))
	require.Contains(t, string(raw), `"verdict": "not held"`)
}
