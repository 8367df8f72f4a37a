package processor

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/stretchr/testify/require"
)

// Each control plants a bug that the promises must not survive, as a patch laid
// over the sources, so that no switch lives in the product. The named test must
// turn red: this is how we know that it can. A patch that no longer applies
// fails, since then the control controls nothing.
func TestPlantedBugsAreSeen(t *testing.T) {
	for _, control := range []struct{ patch, test string }{
		{"windows-cleared", "TestRedeliveredRecordsAreDropped"},
		{"ownership-filter", "TestSlowCallsAcrossTwoRebalances"},
		{"promise-errors", "TestFailedProduceAborts"},
		{"ceiling", "TestDoubtSurvivesACrash"},
		{"finished-set", "TestFinishedSetSurvivesAKill"},
		{"fetch-wait", "TestComingAndGoingStallsNobody"},
		{"lease", "TestNoCallOnAShareThatMayBeAnothers"},
		{"expelled", "TestExpelledWhileItHandedOverReadsTheCommittedState"},
		{"share-kept", "TestFleetKeepsWithinItsRate/classic"},
		{"nothing-lent", "TestHotKeyLeavesTheOthersOfItsPartitionAlone"},
		{"heartbeat", "TestReplicaThatGetsNowhereIsNotReady"},
		{"recollection", "TestRefusedRepeatOfWhatAnotherWasGrantedIsNotFailed"},
		{"one-place", "TestGrantIsNotForgottenForWhatComesNext"},
	} {
		t.Run(control.patch, func(t *testing.T) {
			t.Parallel() // each is a build and one test
			out, err := runPatched(t, control.patch, "synctests", control.test)
			require.Error(t, err, "%s passed with the bug planted:\n%s", control.test, out)
			require.Regexp(t, regexp.MustCompile(`(?m)^\s*--- FAIL: `+control.test), out, "it must fail by itself, not to build")
		})
	}
}

// TestEveryControlApplies includes those of the tests on real Kafka, which are
// not run with every change.
func TestEveryControlApplies(t *testing.T) {
	patches, err := filepath.Glob(filepath.Join("testdata", "controls", "*.diff"))
	require.NoError(t, err)
	require.NotEmpty(t, patches)
	for _, patch := range patches {
		patched(t, strings.TrimSuffix(filepath.Base(patch), ".diff"))
	}
}

// runPatched runs one test of this package with a patch laid over its sources.
func runPatched(t *testing.T, patch, tags, test string) (string, error) {
	t.Helper()
	overlay := map[string]map[string]string{"Replace": patched(t, patch)}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=120s",
		"-tags="+tags, "-overlay="+file, "-run=^"+test+"$", ".")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// patched applies a patch to copies and returns which file they replace. Line
// numbers do not count: the lines around a change must be there, once.
func patched(t *testing.T, patch string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "controls", patch+".diff"))
	require.NoError(t, err)
	files, _, err := gitdiff.Parse(bytes.NewReader(text))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	replace := map[string]string{}
	for _, f := range files {
		name, err := filepath.Abs(filepath.Join("..", strings.TrimPrefix(f.NewName, "b/")))
		require.NoError(t, err)
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, fragment := range f.TextFragments {
			var before, after strings.Builder
			for _, line := range fragment.Lines {
				if line.Old() {
					before.WriteString(line.Line)
				}
				if line.New() {
					after.WriteString(line.Line)
				}
			}
			require.Equal(t, 1, strings.Count(string(source), before.String()), "the patch no longer applies to %s", name)
			source = []byte(strings.Replace(string(source), before.String(), after.String(), 1))
		}
		target := filepath.Join(t.TempDir(), filepath.Base(name))
		require.NoError(t, os.WriteFile(target, source, 0o600))
		replace[name] = target
	}
	return replace
}
