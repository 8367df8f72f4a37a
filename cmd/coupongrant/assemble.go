package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// runGraph works against what the configuration names.
func runGraph(cfg Config, log *slog.Logger, end *ending) fx.Option {
	return fx.Options(
		fx.Supply(cfg),
		fx.Provide(fileCredentials),
		commonGraph(log, end),
	)
}

// devGraph brings its own broker, registry and gateway.
func devGraph(place devPlace, log *slog.Logger, end *ending) fx.Option {
	return fx.Options(
		fx.Supply(place),
		fx.Provide(newEmbedded, (*embedded).config, demoCredentials),
		commonGraph(log, end),
	)
}

// commonGraph is the same for both: they differ in where Config and credentials
// come from.
func commonGraph(log *slog.Logger, end *ending) fx.Option {
	return fx.Options(
		fx.Supply(log),
		fx.WithLogger(func() fxevent.Logger { return graphLogger(log) }),
		fx.Decorate(func(fx.Shutdowner) fx.Shutdowner { return end }),
		fx.Provide(
			func(cfg Config) processor.Config { return cfg.Processor },
			kafkaOptions,
			newMetrics,
			newRegistry,
			newCodec,
			newGatewayClient,
			newBreaker,
			newTracer,
		),
		fx.Invoke(watchAccess, watchCredentials, watchSession),
		adminModule,
		fx.Invoke(servePprof),
		processor.Module,
		fx.Invoke(func(a *admin, p *processor.Processor) {
			a.engine = p.Status
			a.memory.recent, a.memory.letters, a.memory.find = p.Recent, p.DeadLetters, p.Find
		}),
	)
}

type metricsOut struct {
	fx.Out

	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
}

func newMetrics(cfg Config) (metricsOut, error) {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "coupongrant_build_info", Help: "Always 1; the version that runs.",
		ConstLabels: prometheus.Labels{"version": cfg.Processor.Version},
	})
	build.Set(1)
	err := errors.Join(
		registry.Register(build),
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	return metricsOut{Registerer: registry, Gatherer: registry}, err
}

func newRegistry(lc fx.Lifecycle, cfg Config) (*schemas.Registry, error) {
	registry, err := schemas.NewRegistry(cfg.Registry)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.StopHook(registry.Close))
	return registry, nil
}

func newCodec(cfg Config, registry *schemas.Registry) *schemas.Codec {
	return schemas.NewCodec(registry, schemas.Rules{CouponTypes: cfg.CouponTypes})
}

func newGatewayClient(lc fx.Lifecycle, cfg Config) (*topclient.Client, error) {
	client, err := topclient.New(cfg.Gateway, nil)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.StopHook(client.CloseIdleConnections))
	return client, nil
}

func newBreaker(cfg Config, log *slog.Logger) *breaker.Breaker {
	log = log.With("component", "breaker")
	return breaker.New(cfg.Breaker, func(from, to breaker.State) {
		level := slog.LevelInfo
		if from != breaker.Closed && to != breaker.Closed {
			level = slog.LevelDebug // it probes, again and again while an outage lasts
		}
		log.Log(context.Background(), level, "changed", "from", from.String(), "to", to.String())
	})
}

func fileCredentials(cfg Config, log *slog.Logger) (*topclient.CredentialSource, error) {
	log = log.With("component", "credentials")
	files := cfg.Credentials
	files.OnReload = func(err error) {
		if err != nil {
			log.Error("the credential files cannot be used, the old credentials stay", "error", err)
			return
		}
		log.Info("new credentials are in force")
	}
	return topclient.FromFiles(files)
}

// watchCredentials reads the credential files again and again.
func watchCredentials(lc fx.Lifecycle, source *topclient.CredentialSource) {
	background(lc, source.Run)
}

// watchAccess tells of the files that connections are made with.
func watchAccess(lc fx.Lifecycle, cfg Config, log *slog.Logger) {
	background(lc, func(ctx context.Context) { cfg.access.watch(ctx, log.With("component", "access")) })
}

// background runs something from start to stop.
func background(lc fx.Lifecycle, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				run(ctx)
			}()
			return nil
		},
		OnStop: func(context.Context) error {
			cancel()
			<-done
			return nil
		},
	})
}

// ending is told when the processor ends by itself. It stands in for fx's own
// Shutdowner, which is heard only by those who let fx take over the signals too.
type ending struct{ told chan struct{} }

func newEnding() *ending { return &ending{told: make(chan struct{}, 1)} }

// Shutdown implements fx.Shutdowner. Who calls it has failed.
func (e *ending) Shutdown(...fx.ShutdownOption) error {
	select {
	case e.told <- struct{}{}:
	default: // told already
	}
	return nil
}

var errEnded = errors.New("the processor has ended by itself: its last log line says why")

// live starts the application, works until ctx ends or work returns or the
// processor ends by itself, and stops it in good order.
func live(ctx context.Context, app *fx.App, end *ending, stopTimeout time.Duration, work func(context.Context) error) error {
	if err := app.Err(); err != nil {
		return dig.RootCause(err) // what went wrong, without the way through the graph
	}
	// A start that is cancelled half way would leave running what had started.
	starting, cancelStart := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancelStart()
	if err := app.Start(starting); err != nil {
		return err
	}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = work(working)
	}()
	select {
	case <-done:
	case <-end.told:
		cancel(errEnded)
		<-done
		err = errEnded
	}
	stopping, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelStop()
	return errors.Join(err, app.Stop(stopping))
}

// startTimeout is for a listener, and for the topics of dev.
const startTimeout = 30 * time.Second

// stopTimeout is above what the processor takes to stop: calls in flight, the
// last transaction and one that is under way before it, and leaving the group.
func stopTimeout(cfg Config) time.Duration {
	return cfg.Processor.StopTimeout + 2*cfg.Processor.TransactionTimeout + 15*time.Second
}

// untilOver is the work of an application that only waits for its end.
func untilOver(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
