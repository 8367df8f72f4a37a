//go:build apart

package proof_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// previousRevision names the version that this one must get along with, since a
// fleet is not replaced at one moment.
const previousRevision = "testdata/previous-revision"

const mixedFleet = "mixed"

// TestApartMixedFleet has every second process run the previous version, and
// kills and restarts them: each time a slot passes from one to the other, and
// partitions do all the time.
func TestApartMixedFleet(t *testing.T) {
	f := form{
		name: "mixed fleet", real: true, mix: mixedFaults(4), rate: 100, load: 10 * time.Minute, drain: 2 * shortDrain,
		older: buildRevision(t, previousRevision),
	}
	if testing.Short() {
		f.mix, f.load, f.drain = mixedFaults(1), 30*time.Second, shortDrain
	}
	c, _ := prepare(t, f)
	c.run(newPlan(c.seed, f.mix))
	r := c.judge()
	t.Log(r.summary())

	all := trial{
		name: "mixed fleet", about: "this version and the previous one in one group, under kills and restarts, judged as the chaos runs are",
		sizes: map[string]any{"seed": c.seed, "rate": f.rate, "load": f.load.String(), "replicas": baseReplicas, "previous": revisionIn(t, previousRevision)},
		measures: []caseMeasure{
			highest("promises broken", "violations").in(mixedFleet).atMost(0),
			highest("planned faults that did not happen", "missing").in(mixedFleet).atMost(0),
			lowest("kills of the previous version", "kills of previous").in(mixedFleet).atLeast(1),
			lowest("kills of this version", "kills of this").in(mixedFleet).atLeast(1),
			lowest("calls of the previous version", "calls of previous").in(mixedFleet).atLeast(100),
			lowest("calls of this version", "calls of this").in(mixedFleet).atLeast(100),
			lowest("requests that ended", "requests").in(mixedFleet).atLeast(float64(f.planned())),
		},
	}
	result := all.result(t, c.cluster.name())
	result.Chaos, result.Began, result.Version = &r, r.Began, r.Version
	result.Runs = []caseRun{{1, mixedFleet, c.began.UTC(), c.mixedFigures(r)}}
	all.finish(t, result)
}

// mixedFaults are those of processes, n times each.
func mixedFaults(n int) mix {
	m := mix{killRestart: 2, killDown: 2, terminate: 2, rolling: 1, pause: 1, brokerKill: 1}
	for _, at := range moments() {
		m[killAt(at)] = 1
	}
	return m.times(n)
}

func (c *chaos) mixedFigures(r chaosResult) map[string]float64 {
	figures := map[string]float64{
		"violations": 0, "missing": float64(len(r.Missing)), "requests": float64(r.Load.Requests),
		"kills of previous": 0, "kills of this": 0, "calls of previous": 0, "calls of this": 0,
	}
	for _, n := range r.Violations {
		figures["violations"] += float64(n)
	}
	build := map[bool]string{true: "previous", false: "this"}
	for _, m := range c.crew.all() {
		if strings.HasPrefix(m.endedBy(), "kill") {
			figures["kills of "+build[m.older]]++
		}
	}
	for _, made := range c.calls.all() {
		figures["calls of "+build[made.caller.older]]++
	}
	return figures
}

// buildRevision builds the program of a revision that a file names. A clone that
// does not go back so far fails: to skip would look like a pass.
func buildRevision(t *testing.T, file string) string {
	t.Helper()
	revision, dir := revisionIn(t, file), t.TempDir()
	if out, err := exec.Command("git", "cat-file", "-e", revision+"^{commit}").CombinedOutput(); err != nil {
		require.FailNow(t, "the previous version is not in this clone",
			"%s names %s: fetch it (git fetch --unshallow), or name one that is there. %s", file, revision, out)
	}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	require.NoError(t, err)
	archive := exec.Command("git", "archive", "--format=tar", revision)
	archive.Dir = strings.TrimSpace(string(root))
	tree, err := archive.Output()
	require.NoError(t, err)
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = bytes.NewReader(tree)
	out, err := unpack.CombinedOutput()
	require.NoError(t, err, string(out))
	path := filepath.Join(dir, "coupongrant-previous")
	build := exec.Command("go", "build", "-o", path, "./cmd/coupongrant")
	build.Dir = dir
	out, err = build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

func revisionIn(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}
