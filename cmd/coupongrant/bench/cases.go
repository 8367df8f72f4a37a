package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// experiment is one case: kinds of runs, made in turns, and what they must show.
type experiment struct {
	name     string
	about    string
	probe    *spec // made once before: the runs at a rate are at half of what it reaches
	specs    []spec
	measures []measure
}

// Figures of a run.
const (
	perSecond = "per s"
	cpu       = "cpu us" // of an event, user and kernel
	ofIdeal   = "of ideal"
	callTime  = "call ms" // as the gateway had it, on average
	p50       = "p50 ms"
	p99       = "p99 ms"
	memory    = "memory, most MiB"
)

const (
	halfCall     = 20 * time.Millisecond
	halfInFlight = 64
	straggling   = 5 * time.Second
	stragglers   = 0.01
	stuckCall    = time.Minute // longer than gateway.timeout
)

// experiments are all cases, in the order of the page.
func experiments() []experiment {
	return slices.Concat(sweep(), latencies(), []experiment{
		stragglersCase(1024), stragglersCase(256), hotKey(), stuckHead(), memoryCase(), idleCase(),
		partitionsCase(), keysCase(), replicasCase(), sizesCase(),
	})
}

// sweep is over the time of a call. As many at once as the machine can keep up
// with, where the promise is about the calls' time and not about the machine's.
func sweep() []experiment {
	alone := ratio("throughput beside calls alone", perSecond, armEngine, armHTTP)
	beside := func(name string, call time.Duration, inFlight int, alone measure) experiment {
		return experiment{
			name:  name,
			about: fmt.Sprintf("a backlog, calls of %v, %d at once", call, inFlight),
			specs: []spec{base(armHTTP, call, inFlight), base(armLoop, call, inFlight), base(armEngine, call, inFlight)},
			measures: []measure{
				alone,
				level("share of what the gateway's part of a call allows", ofIdeal, armEngine),
				ratio("throughput beside the loop without promises", perSecond, armEngine, armLoop),
				excess("processor time of an event above the loop's, us", cpu, armEngine, 1, armLoop),
			},
		}
	}
	allowed := alone.atLeast(0.95).of(2)
	zero := experiment{
		name: "call-0ms", about: "a backlog, a gateway that answers at once, 64 calls at once",
		specs: []spec{base(armHTTP, 0, 64), base(armLoop, 0, 64), base(armTx, 0, 64), base(armEngine, 0, 64)},
		measures: []measure{
			ratio("throughput beside the loop without promises", perSecond, armEngine, armLoop).atLeast(0.9).of(1),
			excess("processor time of an event above the loop's, us", cpu, armEngine, 1, armLoop).atMost(20).of(1),
			alone,
			ratio("throughput beside transactions without calls", perSecond, armEngine, armTx),
		},
	}
	wide := experiment{
		name: "call-20ms-256", about: "a backlog, calls of 20ms, 256 at once",
		specs: []spec{base(armHTTP, halfCall, 256), base(armLoop, halfCall, 256), base(armEngine, halfCall, 256)},
		measures: []measure{
			ratio("throughput beside the loop without promises", perSecond, armEngine, armLoop).atLeast(0.95).of(2),
			excess("processor time of an event above the loop's, us", cpu, armEngine, 1, armLoop),
			alone,
		},
	}
	return []experiment{
		zero,
		beside("call-1ms", time.Millisecond, 64, alone),
		beside("call-10ms", 10*time.Millisecond, 16, allowed),
		beside("call-50ms", 50*time.Millisecond, 64, allowed),
		beside("call-100ms", 100*time.Millisecond, 128, allowed),
		wide,
	}
}

// latencies are from when a request is due until its outcome is visible, less
// the gateway's time, beside a bare transaction's.
func latencies() []experiment {
	probe := base(armEngine, halfCall, halfInFlight)
	atRate := func(rate float64, lengths int) []spec {
		steady := func(s *spec) { s.Rate, s.Lengths = rate, lengths }
		return []spec{base(armTx, 0, halfInFlight).with(steady), base(armEngine, halfCall, halfInFlight).with(steady)}
	}
	return []experiment{
		{
			name: "half-load", about: "requests at half the rate that the engine reaches with calls of 20ms, 64 at once",
			probe: &probe, specs: atRate(half, 2),
			measures: []measure{
				excess("p50 beyond the call, less 1.5 times a bare transaction's, ms", p50, armEngine, 1.5, armTx).atMost(5).of(3),
				ratio("p99 beyond the call, beside a bare transaction's", p99, armEngine, armTx).atMost(2).of(3),
			},
		},
		{
			name: "one-per-second", about: "one request a second, calls of 20ms", specs: atRate(1, 4),
			measures: []measure{
				excess("p50 beyond the call, less a bare transaction's, ms", p50, armEngine, 1, armTx).atMost(5).of(3),
			},
		},
	}
}

// half stands for the rate of a probe.
const half = -1

func stragglersCase(inFlight int) experiment {
	const call = 50 * time.Millisecond
	without := base(armEngine, call, inFlight).named("without").with(func(s *spec) { s.Keys = 10_000 })
	with := without.named("with").with(func(s *spec) { s.Stragglers, s.Slow, s.Lengths = stragglers, span(straggling), 2 })
	e := experiment{
		name:  fmt.Sprintf("stragglers-%d", inFlight),
		about: fmt.Sprintf("a backlog, calls of %v of which 1%% take %v, %d at once, 10,000 keys", call, straggling, inFlight),
		specs: []spec{without, with},
	}
	if inFlight >= 1024 {
		e.measures = []measure{ratio("throughput beside the run without stragglers, or what the slots allow", perSecond, "with", "without").capped().atLeast(0.9).of(4)}
	} else {
		e.measures = []measure{level("share of slots / mean time of a call", ofIdeal, "with").atLeast(0.95).of(4)}
	}
	return e
}

// besides are requests at a steady rate, with and without something that
// others must not feel.
func besides(name, about string, change func(*spec)) experiment {
	without := base(armEngine, halfCall, halfInFlight).named("without").with(func(s *spec) { s.Rate, s.Lengths = half, 2 })
	probe := base(armEngine, halfCall, halfInFlight)
	return experiment{
		name: name, about: about, probe: &probe,
		specs: []spec{without, without.named("with").with(change)},
		measures: []measure{
			excess("p50 of the others, ms more than without", p50, "with", 1, "without").atMost(5).of(4),
			ratio("p99 of the others beside that without", p99, "with", "without").atMost(1.5).of(4),
		},
	}
}

func hotKey() experiment {
	return besides("hot-key", "half load, and 3,000 more requests of one key all at once, which take a minute one by one",
		func(s *spec) { s.Hot = 3000 })
}

func stuckHead() experiment {
	return besides("stuck-head", "half load, and one more request before it that the gateway does not answer",
		func(s *spec) { s.Stuck, s.Slow = 1, span(stuckCall) })
}

func memoryCase() experiment {
	backlog := base(armEngine, 0, 256).with(func(s *spec) { s.Backlog, s.Lengths = 1_000_000, 6 })
	return experiment{
		name: "memory", about: "a backlog of 1,000,000 requests and a gateway that answers at once, at defaults",
		specs: []spec{backlog},
		measures: []measure{
			level("most resident memory, MiB", memory, armEngine).atMost(200).of(5),
			level("most of the second half of the time beside the first", "memory, later / earlier", armEngine).atMost(1.1).of(5),
			level("from ready to the first outcome, s", "first s", armEngine).atMost(1).of(5),
		},
	}
}

func idleCase() experiment {
	idle := base(armEngine, 0, 256).named("idle").with(func(s *spec) { s.idle = true })
	return experiment{
		name: "idle", about: "nothing to do, at defaults", specs: []spec{idle},
		measures: []measure{
			level("resident memory, MiB", memory, "idle").atMost(40).of(5),
			level("processor time, ms of a second", "cpu ms per s", "idle"),
		},
	}
}

// across compares runs that differ in one number.
func across[N int | int32](name, about, what string, numbers []N, set func(*spec, N), measures ...measure) experiment {
	e := experiment{name: name, about: about, measures: measures}
	for _, n := range numbers {
		e.specs = append(e.specs, base(armEngine, halfCall, halfInFlight).named(fmt.Sprintf("%d %s", n, what)).with(func(s *spec) { set(s, n) }))
	}
	return e
}

func partitionsCase() experiment {
	return across("partitions", "a backlog over 1 to 64 partitions, calls of 20ms, 64 at once", "partitions", []int32{1, 8, 64},
		func(s *spec, n int32) { s.Partitions = n },
		ratio("processor time of an event, 64 partitions beside 8", cpu, "64 partitions", "8 partitions").atMost(1.1).of(6),
		ratio("throughput, 1 partition beside 8", perSecond, "1 partitions", "8 partitions"),
		ratio("throughput, 64 partitions beside 8", perSecond, "64 partitions", "8 partitions"))
}

func keysCase() experiment {
	return across("keys", "a backlog of 100 to 100,000 keys, calls of 20ms, 64 at once", "keys", []int{100, 1000, 100_000},
		func(s *spec, n int) { s.Keys = n },
		ratio("processor time of an event, 100,000 keys beside 100", cpu, "100000 keys", "100 keys").atMost(1.1).of(6),
		ratio("throughput, 100,000 keys beside 100", perSecond, "100000 keys", "100 keys"))
}

func replicasCase() experiment {
	return across("replicas", "a backlog worked off by 1 to 4 replicas on one machine, calls of 50ms, 16 at once each", "replicas", []int{1, 2, 4},
		func(s *spec, n int) { s.Replicas, s.Call, s.InFlight = n, span(50*time.Millisecond), 16 },
		ratio("throughput, 2 replicas beside 1", perSecond, "2 replicas", "1 replicas"),
		ratio("throughput, 4 replicas beside 1", perSecond, "4 replicas", "1 replicas"),
		ratio("processor time of an event, 4 replicas beside 1", cpu, "4 replicas", "1 replicas"))
}

func sizesCase() experiment {
	e := experiment{name: "sizes", about: "a backlog of requests of 1 KiB and of 16 KiB, calls of 20ms, 64 at once"}
	for _, size := range []int{1 << 10, 16 << 10} {
		loop, engine := fmt.Sprintf("loop %d KiB", size>>10), fmt.Sprintf("engine %d KiB", size>>10)
		sized := func(s *spec) { s.Bytes = size }
		e.specs = append(e.specs, base(armLoop, halfCall, halfInFlight).named(loop).with(sized), base(armEngine, halfCall, halfInFlight).named(engine).with(sized))
		e.measures = append(e.measures,
			ratio(fmt.Sprintf("throughput beside the loop without promises, %d KiB", size>>10), perSecond, engine, loop),
			excess(fmt.Sprintf("processor time of an event above the loop's, %d KiB, us", size>>10), cpu, engine, 1, loop))
	}
	return e
}

// List tells the cases.
func List(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "CASE\tRUNS OF A TURN\tABOUT")
	for _, e := range experiments() {
		fmt.Fprintf(out, "%s\t%d\t%s\n", e.name, len(e.specs), e.about)
	}
	return out.Flush()
}

// CheckCases refuses a name that no case has.
func CheckCases(names []string) error {
	_, err := chosen(names)
	return err
}

// chosen are the cases of these names; without names all.
func chosen(names []string) ([]experiment, error) {
	all := experiments()
	if len(names) == 0 {
		return all, nil
	}
	var some []experiment
	for _, name := range names {
		i := slices.IndexFunc(all, func(e experiment) bool { return e.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--case is %q: `coupongrant bench --list` tells the cases", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}
