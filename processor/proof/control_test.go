//go:build chaos || apart

package proof_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/stretchr/testify/require"
)

// buildWith builds the program with one of the engine's planted bugs laid over
// its sources.
func buildWith(t testing.TB, control string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "controls", control+".diff"))
	require.NoError(t, err)
	files, _, err := gitdiff.Parse(bytes.NewReader(text))
	require.NoError(t, err)
	replace := map[string]string{}
	for _, f := range files {
		name, err := filepath.Abs(filepath.Join("..", "..", strings.TrimPrefix(f.NewName, "b/")))
		require.NoError(t, err)
		replace[name] = plant(t, f, name, dir)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "coupongrant-"+control)
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	out, err := exec.Command("go", "build", "-overlay="+file, "-o", binary, "github.com/coupongrant/coupongrant/cmd/coupongrant").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// plant applies a patch to a copy. Line numbers do not count: the lines around
// a change must be there, once.
func plant(t testing.TB, f *gitdiff.File, name, dir string) string {
	t.Helper()
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
	planted := filepath.Join(dir, filepath.Base(name))
	require.NoError(t, os.WriteFile(planted, source, 0o600))
	return planted
}
