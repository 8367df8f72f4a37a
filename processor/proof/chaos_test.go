//go:build chaos || apart

package proof_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a run can be told: `go test -tags chaos -run TestChaosOnKafka -args -seed 7`.
var (
	seedFlag     = flag.Uint64("seed", 0, "of load, plan and gateway; 0: a new one, which is printed")
	loadFlag     = flag.Duration("load", 0, "how long the load of TestChaosForLong lasts")
	resultFlag   = flag.String("results", "", "folder for the result and, of a run that fails, for all that it wrote")
	protocolFlag = flag.String("protocol", "classic", "of the group: classic or consumer (real brokers only)")
)

const shortDrain = 3 * time.Minute

// TestChaosOnKfake is the short form that needs nothing installed. Its brokers
// die by their connections alone, and its times are no figures.
func TestChaosOnKfake(t *testing.T) {
	m := fullMix().without(brokerStop, rolling, scale, networkSlow, throttling, stalledAnswers)
	for f := range m {
		m[f] = 1
	}
	r := runChaos(t, form{name: "short on kfake", mix: m, rate: 120, load: time.Minute, drain: shortDrain})

	require.GreaterOrEqual(t, r.Deaths, 10)
}

// TestChaosOnKafka is the short form on three real brokers. The clock step is
// left to the others: its probe after half a minute would be all one sees.
func TestChaosOnKafka(t *testing.T) {
	r := runChaos(t, form{
		name: "short on Kafka", real: true, mix: fullMix().without(clockStep, rolling), rate: 60, load: 2 * time.Minute, drain: shortDrain,
	})

	require.GreaterOrEqual(t, r.Deaths, 20)
	require.GreaterOrEqual(t, r.Brokers, 3)
}

// TestCoordinatorMoves is the one fault again and again: what a new coordinator
// says of the offsets must not be older than what another one had said.
func TestCoordinatorMoves(t *testing.T) {
	r := runChaos(t, form{
		name: "coordinators moved, on Kafka", real: true, mix: mix{coordinatorMove: 40}, rate: 60, load: 2 * time.Minute, drain: shortDrain,
	})

	require.GreaterOrEqual(t, r.Readers.Samples, 100)
}

// TestChaosForLong repeats every fault for as long as -load says.
func TestChaosForLong(t *testing.T) {
	if *loadFlag == 0 {
		t.Skip("-load says how long; see `make chaos`")
	}
	const round = 5 * time.Minute // what the whole mix takes on two quiet cores
	rounds := max(1, int(float64(*loadFlag)*(1-progressBefore)/float64(round)))
	runChaos(t, form{
		name: slice, real: true, mix: longMix().times(rounds), rate: 190, load: *loadFlag, drain: 2 * shortDrain,
	})
}

// TestChaosSeesWhatIsLost is a control: replicas that clear their windows when a
// transaction aborts must be caught losing requests.
func TestChaosSeesWhatIsLost(t *testing.T) {
	control(t, "windows-cleared", "lost",
		mix{killRestart: 2, killDown: 1, pause: 3, terminate: 2, coordinatorMove: 2, networkHold: 2})
}

// TestChaosSeesWhatIsDoubled is another: replicas that do not believe what the
// commit metadata says of records above the watermark must be caught ending
// them again.
func TestChaosSeesWhatIsDoubled(t *testing.T) {
	control(t, "finished-set", "doubled", mix{killRestart: 3, killDown: 2, pause: 1})
}

// controlPlans are tried until a planted bug shows: whether a fault meets an
// open transaction, without which some bugs do nothing, is chance.
const controlPlans = 3

// control runs a binary with a planted bug, whose breach must be counted.
func control(t *testing.T, patch, breach string, m mix) {
	t.Helper()
	var seen int
	for try := 1; try <= controlPlans && seen == 0; try++ {
		t.Run("plan "+strconv.Itoa(try), func(t *testing.T) {
			r := controlRun(t, form{name: "control " + patch + " on kfake", rate: 150, load: 30 * time.Second, drain: 40 * time.Second, control: patch, mix: m})
			seen = r.Violations[breach]
		})
	}
	require.Positive(t, seen, "the planted bug was not seen")
}

func controlRun(t *testing.T, f form) chaosResult {
	t.Helper()
	c, dir := prepare(t, f)
	c.run(newPlan(c.seed, c.form.mix))
	r := c.judge()
	t.Log(r.summary())
	_, err := r.keep(dir)
	require.NoError(t, err)
	require.Empty(t, r.Missing)
	return r
}

// runChaos is one run, whose promises must have held.
func runChaos(t *testing.T, f form) chaosResult {
	t.Helper()
	c, dir := prepare(t, f)
	if f.steps > 0 {
		c.run(newRounds(c.seed, f.mix, f.steps))
	} else {
		c.run(newPlan(c.seed, f.mix))
	}
	r := c.judge()
	path, err := r.keep(dir)
	require.NoError(t, err)
	t.Logf("%s\nresult: %s", r.summary(), path)
	require.Empty(t, r.Violations)
	require.Empty(t, r.Missing, "a run in which a planned fault did not happen proves nothing")
	return r
}

// prepare starts everything for a run.
func prepare(t *testing.T, f form) (c *chaos, dir string) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32) // short enough to be typed
	}
	t.Logf("seed %d", seed)
	f.protocol = "classic"
	if f.real && *protocolFlag != f.protocol {
		f.protocol = *protocolFlag
		f.name += ", " + f.protocol + " protocol"
	}
	results := *resultFlag
	dir = t.TempDir()
	if results != "" {
		dir = filepath.Join(results, t.Name()+"-"+strconv.FormatUint(seed, 10))
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o700))
		written := dir // dir is where results go once this has returned
		t.Cleanup(func() {
			if !t.Failed() {
				_ = os.RemoveAll(written) // the result says it all
			}
		})
	} else {
		results = dir
	}
	return newChaos(t, f, seed, dir), results
}
