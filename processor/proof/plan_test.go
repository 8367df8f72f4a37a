//go:build chaos || apart

package proof_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is what is done to the system, by the name it has in the result.
type fault string

// The faults, beside a kill at each moment.
const (
	killRestart     fault = "kill -9, restarted at once"
	killDown        fault = "kill -9, stays down"
	pause           fault = "SIGSTOP beyond the session"
	takeOverID      fault = "second process under one transactional id"
	terminate       fault = "SIGTERM, restarted"
	rolling         fault = "rolling restart"
	scale           fault = "scale 1 to 6 to 2"
	brokerKill      fault = "broker kill -9"
	brokerStop      fault = "broker clean stop"
	coordinatorMove fault = "coordinators moved"
	leaderMove      fault = "leaders moved"
	networkCut      fault = "network to a broker cut"
	networkHold     fault = "network to a broker held up"
	networkSlow     fault = "network to the brokers slow"
	registryOutage  fault = "registry outage"
	gatewayOutage   fault = "gateway outage"
	gatewayKill     fault = "gateway kill -9"
	lostAnswers     fault = "gateway answers lost"
	stalledAnswers  fault = "gateway answers too late"
	throttling      fault = "gateway throttles"
	clockStep       fault = "clock step"
	gatewayHangs    fault = "gateway hangs"
	gatewayFlaps    fault = "gateway goes and comes back, three times"
	ban             fault = "gateway bans for seconds"
	refusals        fault = "gateway refuses everybody's arguments"
	silentCoupon    fault = "gateway silent for one coupon"
	poisonedCoupon  fault = "gateway fails for one coupon"
	rotation        fault = "session replaced"
	flood           fault = "burst of requests"
)

func killAt(m moment) fault { return fault("kill -9 at: " + string(m)) }

// step is one fault of a plan, with the lot that everything random about it is
// drawn from.
type step struct {
	fault fault
	lot   uint64
}

// rand is the step's own: the same in every run of the plan.
func (s step) rand() *rand.Rand { return rand.New(rand.NewPCG(s.lot, 1)) }

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// mix is how often each fault happens.
type mix map[fault]int

// newPlan shuffles a mix.
func newPlan(seed uint64, m mix) []step {
	r := rand.New(rand.NewPCG(seed, 2))
	var steps []step
	for _, f := range slices.Sorted(maps.Keys(m)) {
		for range m[f] {
			steps = append(steps, step{f, r.Uint64()})
		}
	}
	r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	return steps
}

// newRounds has every fault of the mix once, then every one again, until there are so many
// steps. So what a fault leaves behind is there after the first round, and growth after it
// is not the luck of a plan that keeps the worst for the end.
func newRounds(seed uint64, m mix, steps int) []step {
	r := rand.New(rand.NewPCG(seed, 3))
	var plan []step
	for len(plan) < steps {
		plan = append(plan, newPlan(r.Uint64(), m)...)
	}
	return plan[:steps]
}

// fullMix has every fault; the counts of deaths are what a short form must show.
func fullMix() mix {
	m := mix{
		killRestart: 3, killDown: 2, pause: 1, takeOverID: 1, terminate: 1, rolling: 1, scale: 1,
		brokerKill: 3, brokerStop: 1, coordinatorMove: 1, leaderMove: 1,
		networkCut: 1, networkHold: 1, networkSlow: 1,
		registryOutage: 1, gatewayOutage: 1, gatewayKill: 1, lostAnswers: 1, stalledAnswers: 1, throttling: 1, clockStep: 1,
	}
	for _, at := range moments() {
		m[killAt(at)] = 2
	}
	return m
}

// longMix has what a short form has no time for, too: requests that do not end,
// trouble of the app, and more of what is rare.
func longMix() mix {
	m := fullMix()
	for _, f := range []fault{gatewayHangs, gatewayFlaps, ban, refusals, silentCoupon, poisonedCoupon, rotation, flood} {
		m[f] = 1
	}
	m[pause], m[takeOverID], m[rolling] = 2, 2, 2
	return m
}

// without leaves faults out.
func (m mix) without(faults ...fault) mix {
	out := maps.Clone(m)
	for _, f := range faults {
		delete(out, f)
	}
	return out
}

// times repeats a mix.
func (m mix) times(n int) mix {
	out := mix{}
	for f, count := range m {
		out[f] = n * count
	}
	return out
}

func TestPlanIsReplayedByItsSeed(t *testing.T) {
	first, again, other := newPlan(7, fullMix()), newPlan(7, fullMix()), newPlan(8, fullMix())

	require.Equal(t, first, again)
	require.NotEqual(t, first, other)
	counted := mix{}
	for _, s := range first {
		counted[s.fault]++
	}
	require.Equal(t, fullMix(), counted)
}

func TestPlanHasEveryFaultBeforeAnyAgain(t *testing.T) {
	m := fullMix()
	one := len(newPlan(7, m))
	plan := newRounds(7, m, 2*one+one/2)

	require.Len(t, plan, 2*one+one/2)
	require.Equal(t, plan, newRounds(7, m, len(plan)))
	for begin := 0; begin+one <= len(plan); begin += one {
		counted := mix{}
		for _, s := range plan[begin : begin+one] {
			counted[s.fault]++
		}
		require.Equal(t, m, counted)
	}
	require.NotEqual(t, plan[:one], plan[one:2*one])
}

func TestEveryFaultCanBeInjected(t *testing.T) {
	for f := range longMix() {
		require.Contains(t, injections(), f)
	}
}
