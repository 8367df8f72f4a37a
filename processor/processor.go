package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// Deps are what a Processor works with. All but the tracer are required.
type Deps struct {
	Logger      *slog.Logger
	Metrics     prometheus.Registerer
	Registry    *schemas.Registry
	Codec       *schemas.Codec // over Registry
	Client      *topclient.Client
	Credentials *topclient.CredentialSource
	Breaker     *breaker.Breaker
	Kafka       []kgo.Opt    // how to reach the cluster: seeds, dialer, TLS, SASL
	Tracer      trace.Tracer // nil: no traces
}

// Processor is the engine of one replica.
type Processor struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	metrics  *metrics
	holds    *holds
	watchdog *watchdog
	know     knowledge // of the goroutine that runs the sessions
	gate     *gate     // of the scheduler of the moment
	sight    *sight
	recent   *recent
	grants   *grants
	contact  *contact

	mu     sync.Mutex // guards what Start and Stop share
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Health is what probes and people ask first.
type Health struct {
	Live  bool   `json:"live"`  // the session goroutine passes
	Holds []Hold `json:"holds"` // why something waits; none: ready
}

// New checks the configuration and prepares a Processor. It contacts nobody.
func New(cfg Config, d Deps) (*Processor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(d.Metrics, d.Breaker, cfg.Topics.Inputs())
	if err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	log := d.Logger.With("component", "processor")
	p := &Processor{
		cfg: cfg, deps: d, log: log, metrics: m,
		holds: newHolds(log, func(kind string, count int) {
			m.holds.WithLabelValues(kind).Set(float64(count))
		}),
		know:   knowledge{unended: map[partition]*span{}},
		gate:   &gate{guard: &guard{accept: cfg.AcceptRefusals}},
		sight:  new(sight),
		recent: newRecent(cfg.Topics, recentPasts),
		grants: newGrants(idSets),
	}
	p.contact = newContact(cfg, p.holds)
	progress := newProgress(cfg, p.holds)
	p.watchdog = newWatchdog(endBound(cfg)+queuedFor, func() bool {
		p.contact.look(time.Now(), p.sight.member.Load())
		progress.look(p.moment(), p.sight.answers.Load(), p.sight.commits.Load())
		return p.contact.silent.Load()
	})
	p.holds.Set(holdStarting, "", "not yet a member of the consumer group")
	if err := d.Metrics.Register(&statusMetrics{cfg: cfg, status: p.Status}); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	return p, nil
}

// endBound is how long a transaction may take before it is given up.
func endBound(cfg Config) time.Duration { return cfg.TransactionTimeout + 5*time.Second }

// queuedFor is how long kgo may keep us after that, where one broker of several takes
// requests and answers none: it sends one after the other, waits 10 s for a connection to
// answer, and looks at a request that was given up only when its turn has come. Mostly
// that is over in 25 s.
const queuedFor = time.Minute

// Ready says that nothing waits, and nobody has to act.
func (h Health) Ready() bool { return h.Live && len(h.Holds) == 0 }

// Health may be called at any time.
func (p *Processor) Health() Health { return p.health(p.holds.Current()) }

func (p *Processor) health(holds []Hold) Health {
	return Health{Live: !p.watchdog.stuck.Load(), Holds: holds}
}

// Run works until ctx ends, then stops in good order and returns nil. An error
// means that this process should end and another take over.
func (p *Processor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.watchdog.passed()
	wedged := make(chan error, 1)
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	go func() { wedged <- p.watchdog.run(watching) }()
	finished := make(chan error, 1)
	go func() { finished <- p.sessions(ctx) }()
	select {
	case err := <-finished:
		stopWatching()
		return errors.Join(err, <-wedged)
	case err := <-wedged: // the session goroutine cannot be waited for
		stopWatching()
		return err
	}
}

// sessions builds one session after the other: after an error only the
// committed state tells the truth (rule 8).
func (p *Processor) sessions(ctx context.Context) error {
	var fenced time.Time
	for failures := 0; ; failures++ {
		began := time.Now()
		err := p.session(ctx)
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
			return nil
		case ctx.Err() != nil: // fenced or not: who was to stop has stopped
			p.log.Warn("stopped while the session was broken, the successor reads the committed state", "error", err)
			return nil
		case errors.Is(err, errOldBrokers):
			return err
		case isFenced(err) && !errors.Is(err, errOutlived):
			if time.Since(fenced) < time.Minute {
				return fmt.Errorf("another process uses kafka.transactional_id %q (fenced twice within a minute): give each replica a name of its own: %w", p.cfg.TransactionalID, err)
			}
			fenced = time.Now()
		}
		if time.Since(began) > time.Minute {
			failures = 0
		}
		p.metrics.rebuilds.Inc()
		p.holds.Set(holdStarting, "", fmt.Sprintf("the Kafka session is built anew: %v", err))
		p.log.Warn("the Kafka session is thrown away and built anew", "error", err)
		p.pause(ctx, min(100*time.Millisecond<<min(failures, 6), 5*time.Second))
	}
}

// pause waits for d, jittered, or until ctx ends.
func (p *Processor) pause(ctx context.Context, d time.Duration) {
	p.watchdog.passed()
	select {
	case <-time.After(d/2 + rand.N(d/2+1)):
	case <-ctx.Done():
	}
}

// session runs one life of the Kafka client.
func (p *Processor) session(ctx context.Context) error {
	pre := &preflight{
		cfg: p.cfg, log: p.log, holds: p.holds, registry: p.deps.Registry,
		kafka: p.deps.Kafka, passed: p.watchdog.passed, contact: p.contact, know: &p.know,
	}
	cluster, err := pre.wait(ctx)
	if err != nil {
		return err
	}
	// The client's own context ends when the session is thrown away: Close then
	// does not wait for brokers that are gone.
	clientCtx, closeHard := context.WithCancel(context.WithoutCancel(ctx))
	defer closeHard()
	s, err := p.newSession(clientCtx, cluster)
	if err != nil {
		return err
	}
	p.sight.begin(s)
	if err = s.begin(ctx); err == nil {
		err = s.run(ctx)
	}
	p.sight.over()
	p.recent.over()
	p.metrics.over()
	if err != nil {
		p.refused(err)
		p.know.member, p.know.unended = s.tx.member, s.assigned.stillUnended(s.windows, s.joined)
		p.know.unproven = s.unproven || errors.Is(err, errUncommitted)
	}
	// Leaving is safe after an error too: offsets are fetched with RequireStable,
	// and the next session's ProducerID ends what is open. A member that does not
	// leave holds up the next rebalance of the whole group.
	defer time.AfterFunc(leaveTimeout, closeHard).Stop()
	s.kafka.CloseAllowingRebalance()
	return err
}

// leaveTimeout bounds how long brokers may take to see us leave the group.
const leaveTimeout = 5 * time.Second

// refused states a hold where an error is about rights: it is mended by a
// person, not by building the session anew.
func (p *Processor) refused(err error) {
	for _, right := range []struct {
		err  error
		text string
	}{
		{kerr.TransactionalIDAuthorizationFailed, "this user lacks WRITE on transactional id " + p.cfg.TransactionalID + " (kafka.transactional_id): grant it"},
		{kerr.TopicAuthorizationFailed, "a topic refuses this user: grant READ on the inputs and the retry topic, WRITE on the results"},
		{kerr.GroupAuthorizationFailed, "this user lacks READ on group " + p.cfg.Group + " (kafka.group): grant it"},
		{kerr.ClusterAuthorizationFailed, "the cluster refuses this user: grant IDEMPOTENT_WRITE or use brokers of 2.8 or later"},
	} {
		if errors.Is(err, right.err) {
			p.holds.Set(holdKafka, whereRights, right.text)
		}
	}
}

func (p *Processor) newSession(ctx context.Context, c cluster) (*session, error) {
	bell, member, tracing := newBell(), newLease(p.cfg.SessionTimeout), newTracing(ctx, p.deps.Tracer)
	s := &session{
		cfg: p.cfg, log: p.deps.Logger.With("component", "session"), metrics: p.metrics, holds: p.holds,
		codec: p.deps.Codec, tracing: tracing, windows: newWindows(p.cfg.WindowRecords, p.cfg.WindowBytes, p.cfg.WindowTotalBytes),
		bell: bell, events: newMailbox[event](bell), reports: newMailbox[report](bell), resolved: newMailbox[int](bell), logEnds: newMailbox[map[partition]int64](bell),
		undecoded: newUndecoded(), asked: newAsked(), pending: map[int][]*task{}, commits: commits{budget: metadataBudget}, passed: p.watchdog.passed,
		sight: p.sight, recent: p.recent, unproven: p.know.unproven,
	}
	s.resolver = &resolver{registry: p.deps.Registry, holds: p.holds, wanted: newMailbox[int](newBell()), resolved: s.resolved}
	p.holds.ClearKind(holdTopic, holdGateway, holdApp, holdMetadata, holdLostInput, holdTransaction, holdRegistry) // of the session before
	if s.unproven {
		p.holds.Set(holdTransaction, whereFirst, unproven)
	}
	s.scheduler = newScheduler(p.cfg, p.deps, surroundings{
		kept:    kept{gate: p.gate, sight: p.sight, recent: p.recent, grants: p.grants},
		metrics: p.metrics, holds: p.holds, reports: s.reports, lease: member, tracing: tracing,
	})
	s.learnBan(p.gate.bannedUntil) // its commit may have failed
	client := newClientMetrics()
	var err error
	if s.inflation, err = newInflation(maxInflated, handedOver); err != nil {
		return nil, err
	}
	assigned := newAssignments(s.events, p.cfg, p.know.cuts, p.know.unended,
		&recollection{cfg: p.cfg, log: s.log, kafka: p.deps.Kafka, codec: p.deps.Codec, registry: p.deps.Registry, asked: s.asked})
	s.cuts = map[partition]cut{}
	p.know.cuts = s.cuts
	s.assigned = assigned
	opts := slices.Concat(p.deps.Kafka, p.options(ctx, c, member), assigned.options(),
		[]kgo.Opt{kgo.WithHooks(client, s.inflation), kgo.WithDecompressor(s.inflation)})
	kafka, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing the Kafka session: %w", err)
	}
	s.kafka = kafka
	s.unread = &unread{client: kafka.Client(), topics: p.cfg.Topics.Inputs(), found: s.logEnds}
	p.metrics.kafka.of.Store(client)
	s.tx = &transaction{
		kafka: kafka, id: p.cfg.TransactionalID, group: p.cfg.Group, log: s.log, metrics: p.metrics, tracing: tracing,
		publish: publisher{topics: p.cfg.Topics, codec: p.deps.Codec, version: p.cfg.Version},
		timeout: p.cfg.TransactionTimeout, deadline: endBound(p.cfg), nonce: newNonce(), forms: map[*end]form{},
		waits: func() {
			p.watchdog.passed()
			p.holds.Set(holdTransaction, "", notEnded)
		},
	}
	return s, nil
}

// Start runs the processor in the background. fatal is called if it ends by
// itself. Start returns at once and contacts nobody.
func (p *Processor) Start(ctx context.Context, fatal func(error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return errors.New("the processor is started already")
	}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx)) // a start's context ends with the start
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		if p.err = p.Run(ctx); p.err != nil {
			fatal(p.err)
		}
	}()
	return nil
}

// Stop ends the processor in good order and waits for it, or until ctx ends. It
// may be called more than once, and before Start.
func (p *Processor) Stop(ctx context.Context) error {
	p.mu.Lock()
	cancel, done := p.cancel, p.done
	p.mu.Unlock()
	if cancel == nil {
		return nil
	}
	p.holds.Set(holdStopping, "", "asked to stop")
	cancel()
	select {
	case <-done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the processor to stop: %w", ctx.Err())
	}
}
