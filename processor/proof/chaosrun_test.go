//go:build chaos || apart

package proof_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// The settings of every run that its figures depend on.
const (
	sessionTimeout     = 3 * time.Second
	transactionTimeout = 4 * time.Second
	callTimeout        = 2 * time.Second
	parkAfter          = 5 * time.Second
	giveUpAfter        = 10 * time.Second

	partitions   = 6 // of each topic
	baseReplicas = 3

	progressBefore = 0.2 // of the planned events, before the first fault
	readyToStrike  = 90 * time.Second
	restWithin     = 2 * time.Minute // idle connections close after half a minute
)

// chaos is one run.
type chaos struct {
	t         testing.TB
	form      form
	seed      uint64
	system    *system
	cluster   cluster
	wires     *wires
	crew      *crew
	calls     *callLog
	trap      *trap
	gateway   *gatewayProcess
	schemas   *registrySwitch
	feed      *feed
	witness   *witness
	marks     *watermarks
	scrapes   *scraper
	found     *findings
	done      tally
	dir       string // of everything that the run writes
	journal   *journal
	began     time.Time
	version   string        // of the sources at the start: somebody may commit meanwhile
	sessions  int           // that the gateway has had
	drained   time.Duration // from the end of the load to the last end
	takeOvers []takenOver
}

// form says what kind of run it is.
type form struct {
	name    string
	real    bool // real brokers, else kfake
	mix     mix
	rate    int           // events a second
	load    time.Duration // how long the load lasts at least
	drain   time.Duration // how long all may take to be ended, after it
	control string        // a planted bug; empty: none

	// Of a soak; zero: the faults follow on each other.
	survivor string        // the slot whose process no fault ends
	pace     time.Duration // from the beginning of a fault to that of the next
	steps    int           // so many, round after round of the mix; 0: one round

	older string // another build of the program, beside this one; empty: none

	// What only some runs have otherwise than all others; zero: they do not.
	brokers    int
	replicas   int
	partitions int
	settings   map[string]string
	gateway    gatewaySetup
	shape      func(*proof.Event) (wanted bool)

	protocol string // of the group
}

func (f form) planned() int { return int(f.load.Seconds()) * f.rate }

// newChaos starts everything but the load.
func newChaos(t testing.TB, f form, seed uint64, dir string) *chaos {
	t.Helper()
	f.brokers, f.replicas = cmp.Or(f.brokers, brokerCount), cmp.Or(f.replicas, baseReplicas)
	f.partitions = cmp.Or(f.partitions, partitions)
	c := &chaos{t: t, form: f, seed: seed, found: &findings{}, done: tally{}, began: time.Now(), version: sourceVersion()}
	c.dir, c.journal = dir, newJournal(t, dir)
	c.wires = newWires(t, f.brokers)
	if f.real {
		c.cluster = startBrokers(t, dir, chaosBrokers(c.wires))
	} else {
		c.cluster = startFakeBrokers(t, c.wires)
	}
	c.gateway = newGatewayProcess(t, dir, f.gateway, seed)
	c.trap = &trap{fit: c.fit, spare: c.spare}
	c.calls = &callLog{trap: c.trap}
	c.wires.trap = c.trap
	c.wires.crew = &crew{calls: c.calls, journal: c.journal}
	c.wires.serve()
	t.Cleanup(c.wires.close)
	c.schemas = newRegistrySwitch(t)
	t.Setenv("COUPONGRANT_TEST_REGISTRY_URL", c.schemas.url)
	c.system = newSystem(t, c.cluster.addresses(), c.gateway.gateway)
	c.configure()
	c.system.createTopics(f.partitions)
	c.wires.topics = topicIDs(t, c.system)
	c.feed = newFeed(c.system, seed, f.rate)
	if f.shape != nil {
		c.feed.shape = f.shape
	}
	c.witness = newWitness(c.system, c.found)
	c.marks = &watermarks{system: c.system, admin: adminClient(t, c.cluster.addresses()), found: c.found, marks: map[topicPartition][]mark{}}
	c.startCrew(dir)
	c.scrapes = &scraper{crew: c.crew, found: c.found, survivor: c.form.survivor}
	return c
}

// configure makes everything that waits wait briefly.
func (c *chaos) configure() {
	for key, value := range map[string]string{
		"kafka.brokers":         strings.Join(c.wires.addresses(), ","),
		"kafka.session_timeout": sessionTimeout.String(), "kafka.heartbeat_interval": "500ms",
		"kafka.transaction_timeout": transactionTimeout.String(),
		"gateway.app_secret":        canarySecret,
		"gateway.timeout":           callTimeout.String(), "gateway.max_in_flight": "64", "stop_timeout": "10s",
		"retry.min_backoff": "50ms", "retry.max_backoff": "1s", "retry.delay": "2s",
		"retry.park_after": parkAfter.String(), "retry.give_up_after": giveUpAfter.String(),
		"breaker.interval": "10s", "breaker.open_for": "500ms", "kafka.group_protocol": c.form.protocol,
	} {
		c.system.settings[key] = value
	}
	delete(c.system.settings, "gateway.session")
	c.system.settings["gateway.session_file"] = filepath.Join(c.dir, "session")
	require.NoError(c.t, c.giveSession(canarySession))
	if c.form.survivor != "" {
		c.system.settings["admin.pprof_listen"] = "127.0.0.1:0"
	}
	maps.Copy(c.system.settings, c.form.settings)
}

// topicIDs names the inputs, which the consumer protocol knows by id, once every
// broker knows them too.
func topicIDs(t testing.TB, s *system) map[[16]byte]string {
	t.Helper()
	admin, ids := adminClient(t, s.brokers), map[[16]byte]string{}
	inputs := append(slices.Clone(s.topics.Inputs), s.topics.Retry)
	err := within(readyWithin, "the new topics are not known", func() bool {
		all, err := admin.ListTopics(t.Context(), inputs...)
		if err != nil || all.Error() != nil {
			return false
		}
		for _, topic := range all {
			ids[topic.ID] = topic.Topic
		}
		return len(ids) == len(inputs)
	})
	require.NoError(t, err)
	return ids
}

func (c *chaos) startCrew(dir string) {
	c.t.Helper()
	logs := filepath.Join(dir, "logs")
	require.NoError(c.t, os.MkdirAll(logs, 0o700))
	binary := buildBinary(c.t)
	if c.form.control != "" {
		binary = buildWith(c.t, c.form.control)
	}
	c.crew = c.wires.crew
	c.crew.system, c.crew.binary, c.crew.older, c.crew.logs = c.system, binary, c.form.older, logs
	c.crew.target = strings.TrimPrefix(c.gateway.url, "http://")
	c.t.Cleanup(c.crew.close)
	for i := range c.form.replicas {
		_, err := c.crew.start(slotName(i))
		require.NoError(c.t, err)
	}
	for _, m := range c.crew.living("") {
		c.awaitReady(m)
	}
}

// awaitReady waits until a process says that it is. One that never does is a
// finding, and the run goes on.
func (c *chaos) awaitReady(m *member) {
	var answer []byte
	err := within(readyWithin, m.name+" is not ready", func() bool {
		text, status, err := m.get("/readyz")
		answer = text
		return err == nil && status == http.StatusOK
	})
	if err != nil {
		c.found.add("readiness", "%v: %s", err, answer)
	}
}

func slotName(i int) string { return fmt.Sprintf("replica-%d", i+1) }

// fit says whether a fault would count now: calls in flight, and enough of the
// work done.
func (c *chaos) fit() bool {
	before := progressBefore
	if c.form.pace > 0 {
		before = 0 // its time is long, and its warm-up has faults too
	}
	return c.calls.inFlight() > 0 && float64(c.witness.ended()) >= before*float64(c.form.planned())
}

// spare says who must not die now. kfake keeps a member that dies while it waits
// for its join, and every other join puts off the minute after which it is
// forgotten: real brokers are hard on it, so there everybody may die.
// And the survivor of a soak never.
func (c *chaos) spare(m *member) bool {
	return !c.form.real && m.joining.Load() || m.slot == c.form.survivor
}

// run lets the load flow, follows the plan, and waits until all is ended.
func (c *chaos) run(plan []step) {
	c.t.Helper()
	c.underLoad(func() {
		_ = within(c.form.load, "", c.fit) // the faults begin when enough is done; who never gets there is told of at the first
		began := time.Now()
		for i, s := range plan {
			time.Sleep(time.Until(began.Add(time.Duration(i) * c.form.pace)))
			c.follow(s)
		}
		_ = within(c.form.load, "", func() bool { return c.feed.count() >= c.form.planned() }) // the plan may take longer, or not
	})
}

// underLoad feeds as long as something happens.
func (c *chaos) underLoad(happens func()) {
	c.t.Helper()
	c.watched(func() {
		feeding, stopFeeding := context.WithCancel(c.t.Context())
		fed := inBackground(feeding, c.feed.run)
		happens()
		stopFeeding()
		require.NoError(c.t, fed())
	})
}

// watched lets something happen, and looks on until all is ended.
func (c *chaos) watched(happens func()) {
	c.t.Helper()
	watching, stopWatching := context.WithCancel(c.t.Context())
	watched := inBackground(watching, c.witness.run, c.marks.run, c.scrapes.run)
	happens()
	c.scrapes.loadEnded()
	c.drain()
	c.rest()
	stopWatching()
	require.NoError(c.t, watched())
}

// follow does one step; one that does not happen is missing in the tally.
func (c *chaos) follow(s step) {
	c.done.planned(s.fault)
	if err := within(readyToStrike, "no calls in flight", c.fit); err != nil {
		c.found.add("stalled", "before %q: %v", s.fault, err)
		return
	}
	began := time.Now()
	c.journal.write("%s begins", s.fault)
	defer c.journal.write("%s is over", s.fault)
	if err := injections()[s.fault](c, s); err != nil {
		c.t.Logf("%s did not happen: %v", s.fault, err)
		return
	}
	c.done.happened(s.fault)
	c.t.Logf("%6.1fs  %s (%.1f s)", time.Since(c.began).Seconds(), s.fault, time.Since(began).Seconds())
	time.Sleep(between(s.rand(), 200*time.Millisecond, time.Second))
}

// drain waits until every event has its end. What is missing then is for the
// verdict to name.
func (c *chaos) drain() {
	began := time.Now()
	_ = within(c.form.drain, "", func() bool { return c.witness.ended() >= c.feed.certain() })
	c.drained = time.Since(began)
}

// rest waits until the survivor of a soak, which has nobody to call any more, has closed
// all connections to the gateway, and has no callers. Their number follows the load, and
// shows no leak before.
func (c *chaos) rest() {
	if c.form.survivor == "" {
		return
	}
	for _, m := range c.crew.living(c.form.survivor) {
		if err := within(restWithin, "", func() bool { return m.calling() == 0 }); err != nil {
			c.found.add("connections", "%s has %d to the gateway though it calls nobody", m.name, m.calling())
		}
		if err := within(restWithin, "", func() bool { r := m.goroutines(); return r.all > 0 && r.callers == 0 }); err != nil {
			c.found.add("callers", "%s has %+v though it calls nobody", m.name, m.goroutines())
		}
	}
}

// inBackground runs functions until ctx ends; wait returns their errors.
func inBackground(ctx context.Context, all ...func(context.Context) error) (wait func() error) {
	errs := make(chan error, len(all))
	for _, run := range all {
		go func() { errs <- run(ctx) }()
	}
	return func() (err error) {
		for range all {
			err = errors.Join(err, <-errs)
		}
		return err
	}
}

// registrySwitch is a registry that can be taken away.
type registrySwitch struct {
	url     string
	down    atomic.Bool
	refused atomic.Int64
}

func newRegistrySwitch(t testing.TB) *registrySwitch {
	t.Helper()
	s, inner := &registrySwitch{}, srfake.NewRegistry().Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			s.refused.Add(1)
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}
