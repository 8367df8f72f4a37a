//go:build chaos

package proof_test

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What of the faults ends every process some time.
var endsEverybody = []fault{rolling}

// TestSoakOnKafka has a fault a minute for as long as -load says, and one process
// that none of them ends: what it holds must not grow with its age.
func TestSoakOnKafka(t *testing.T) {
	if *loadFlag == 0 {
		t.Skip("-load says how long; see `make soak`")
	}
	r := runSoak(t, form{
		name: "soak on Kafka", real: true, rate: 200, load: *loadFlag, drain: 2 * shortDrain, survivor: slotName(0), pace: time.Minute,
		mix: soakMix(), steps: int(loadFlag.Minutes()) - 2,
	})
	for _, v := range r.Survivor.vitals() {
		d := v.drift()
		require.True(t, d.flat(), "%s grew by %.1f%% ± %.1f%%", v.name, 100*d.growth, 100*d.margin)
	}
}

// soakMix has every fault once that does not end the survivor.
func soakMix() mix {
	m := longMix().without(endsEverybody...)
	for f := range m {
		m[f] = 1
	}
	return m
}

// What is measured of a soak of two hours begins after a whole round.
func TestPlanWarmsUpASoakForARound(t *testing.T) {
	require.LessOrEqual(t, len(newPlan(7, soakMix())), int(unmeasured*120))
}

// TestSoakSeesALeak is a control: goroutines that nobody ends must be caught.
func TestSoakSeesALeak(t *testing.T) {
	r := runSoak(t, soakControl("goroutines-forgotten"))

	d := r.Survivor.vitals()[2].drift()
	require.False(t, d.flat(), "the planted leak was not seen: %+.1f%% ± %.1f%%", 100*d.growth, 100*d.margin)
}

// TestSoakSeesMemoryThatIsKept is one for memory, which must not hide in the runtime's slack.
func TestSoakSeesMemoryThatIsKept(t *testing.T) {
	r := runSoak(t, soakControl("ends-kept"))

	d := r.Survivor.vitals()[1].drift()
	require.False(t, d.flat(), "the planted leak was not seen: %+.1f%% ± %.1f%%", 100*d.growth, 100*d.margin)
	require.Greater(t, d.growth-d.margin, 0.25, "it could be what fills up")
}

// TestSoakSeesConnectionsThatStay is another: so must connections that nobody closes.
func TestSoakSeesConnectionsThatStay(t *testing.T) {
	r := controlRun(t, soakControl("connections-kept"))

	require.Positive(t, r.Violations["connections"], "the planted leak was not seen")
}

// TestSoakSeesCallersThatStay is one more.
func TestSoakSeesCallersThatStay(t *testing.T) {
	r := controlRun(t, soakControl("callers-forgotten"))

	require.Positive(t, r.Violations["callers"], "the planted leak was not seen")
}

func soakControl(patch string) form {
	return form{
		name: "control of the soak, " + patch + ", on kfake", rate: 150, load: 150 * time.Second, drain: shortDrain, control: patch,
		survivor: slotName(0), pace: 15 * time.Second, mix: mix{lostAnswers: 3, gatewayFlaps: 3},
	}
}

// TestEverySignIsOfATimeUnderLoad: what rests would flatten the end of every line.
func TestEverySignIsOfATimeUnderLoad(t *testing.T) {
	gateway, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = gateway.Close() })
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	m := &member{slot: slotName(0), cmd: &exec.Cmd{Process: self}, calls: &callLine{listener: gateway}}
	s := &scraper{survivor: m.slot}
	for range soakSlices {
		s.note(m, nil)
	}
	require.Len(t, s.signs, soakSlices)

	s.loadEnded()
	s.note(m, nil)

	require.Len(t, s.signs, soakSlices)
	require.Equal(t, soakSlices+1, s.scrapes, "it is looked at all the same")

	held := s.survived()
	require.Len(t, held.MemoryOfFiles, soakSlices)
	for i, ofFiles := range held.MemoryOfFiles {
		require.Positive(t, ofFiles, "its program at the least")
		require.Less(t, ofFiles, held.Memory[i])
	}
}

// runSoak is one run, whose promises must have held and whose survivor must have
// survived.
func runSoak(t *testing.T, f form) chaosResult {
	t.Helper()
	r := runChaos(t, f)
	require.NotNil(t, r.Survivor)
	for _, v := range r.Survivor.vitals() {
		require.Len(t, v.values, soakSlices)
		d := v.drift()
		t.Logf("%s: mean %.1f, growth %+.2f%% ± %.2f%%", v.name, d.mean, 100*d.growth, 100*d.margin)
	}
	return r
}
