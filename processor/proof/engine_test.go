//go:build integration

package proof_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// engineLimit is for building the engine's tests twice, and for running them.
const engineLimit = 4 * time.Minute

// TestEngineOnRealKafka runs the tests of the engine's own package that need
// real brokers: they reach inside it, and the package's broker is started here.
func TestEngineOnRealKafka(t *testing.T) {
	env := []string{"COUPONGRANT_TEST_BROKERS=" + strings.Join(startKafka(t), ",")}

	p := runProcess(t, env, "go", "test", "-tags=integration", "-count=1", "-v", "-run=OnRealKafka$", "..")

	require.Zero(t, p.wait(t, engineLimit))
	require.Equal(t, 2, strings.Count(p.stdout.String(), "\n--- PASS: "), "a test that no longer runs proves nothing")
}
