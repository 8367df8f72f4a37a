package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/fx"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

const (
	embeddedPartitions = 4
	embeddedLatency    = 15 * time.Millisecond
)

// devPlace is what dev sets up its embedded parts by.
type devPlace struct {
	cfg    Config        // but for the addresses, which are not known yet
	dir    string        // keeps broker, schemas and ledger; empty: nothing does
	script topsim.Script // how the gateway misbehaves
}

// path of a file in the folder; empty without one.
func (p devPlace) path(name string) string {
	if p.dir == "" {
		return ""
	}
	return filepath.Join(p.dir, name)
}

// embedded is a broker, a registry and a gateway inside this process, on
// loopback ports that any client can use.
type embedded struct {
	place    devPlace
	unlock   func() error
	undo     *brokerUndo // nil without a folder
	broker   *kfake.Cluster
	registry *httpService
	gateway  *httpService
	sim      *topsim.Simulator
}

// newEmbedded listens at once, so that the addresses are known, and serves from
// start to stop.
func newEmbedded(lc fx.Lifecycle, place devPlace, log *slog.Logger) (_ *embedded, err error) {
	log = log.With("component", "embedded")
	e := &embedded{place: place, unlock: noLock}
	defer func() {
		if err != nil {
			e.release()
		}
	}()
	if place.dir != "" {
		if e.unlock, err = lockFolder("data-dir", place.dir); err != nil {
			return nil, err
		}
	}
	if err := e.startBroker(log); err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	registry := srfake.NewRegistry()
	handler, err := rememberSchemas(registry.Handler(), place.path("schemas.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("starting the embedded registry: %w", err)
	}
	if e.registry, err = listenNear("127.0.0.1:8081", handler, log); err != nil {
		return nil, err
	}
	if e.sim, err = topsim.New(embeddedGateway(place)); err != nil {
		return nil, err
	}
	e.sim.On(topsim.Match{UUID: "c247-11"}, topsim.Business(-7, "")).Always() // nobody may have another of these
	if e.gateway, err = listenNear("127.0.0.1:"+simulatorPort, simulatorHandler(e.sim), log); err != nil {
		return nil, err
	}
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			e.registry.start(log)
			e.gateway.start(log)
			return e.prepare(ctx)
		},
		OnStop: e.stop,
	})
	return e, nil
}

func (e *embedded) startBroker(log *slog.Logger) (err error) {
	opts := []kfake.Opt{
		kfake.Ports(9092), kfake.ListenFn(listenNearPort),
		kfake.ClusterID("coupongrant-dev"), kfake.GroupMinSessionTimeout(time.Second),
	}
	dir := e.place.path("broker")
	if dir == "" {
		e.broker, err = kfake.NewCluster(opts...)
		return err
	}
	if e.undo, err = openBrokerUndo(dir, e.place.path("broker-undo.json"), log); err != nil {
		return err
	}
	if e.broker, err = kfake.NewCluster(append(opts, kfake.DataDir(dir))...); err != nil {
		return err
	}
	e.broker.Control(e.undo.observe)
	return nil
}

// closeBroker is the one place that ends it: while it closes it writes its files
// anew, so the sizes must not be valid any more.
func (e *embedded) closeBroker() error {
	var err error
	if e.undo != nil {
		err = e.undo.close()
	}
	if e.broker != nil {
		e.broker.Close()
	}
	return err
}

// listenNearPort takes another port if the wanted one is in use: what people
// have running must not keep dev from running.
func listenNearPort(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err == nil {
		return listener, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return net.Listen(network, net.JoinHostPort(host, "0"))
}

func listenNear(address string, handler http.Handler, log *slog.Logger) (*httpService, error) {
	listener, err := listenNearPort("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	return newHTTPService(listener, handler, log), nil
}

// embeddedGateway has coupons that run out, so that not everything is granted.
func embeddedGateway(place devPlace) topsim.Config {
	cfg := topsim.DefaultConfig()
	cfg.Latency, cfg.Spread, cfg.Script = embeddedLatency, 2*embeddedLatency, place.script
	cfg.DataFile = place.path(ledgerName)
	cfg.Coupons = map[string]topsim.Coupon{
		"c276-11": {Stock: -1},                   // none left: -6
		"c357-11": {ValidUntil: time.Unix(1, 0)}, // over: -3
	}
	return cfg
}

// config is the configuration with the addresses of the embedded parts.
func (e *embedded) config() Config {
	cfg := e.place.cfg
	cfg.Origins = map[string]string{}
	maps.Copy(cfg.Origins, e.place.cfg.Origins)
	cfg.Origins["kafka.brokers"], cfg.Origins["registry.url"] = "dev", "dev" // whatever else is said of these, another command must come here
	cfg.Brokers = e.broker.ListenAddrs()
	cfg.Security, cfg.access = kafkaSecurity{}, nil // what is embedded lets in anybody on this host
	cfg.Registry = schemas.RegistryConfig{URL: "http://" + e.registry.address()}
	cfg.Gateway.URL = "http://" + e.gateway.address() + routerPath
	return cfg
}

// prepare makes topics and schemas the way `topics create` does.
func (e *embedded) prepare(ctx context.Context) error {
	cfg := e.config()
	client, err := connect(ctx, cfg, quiet())
	if err != nil {
		return err
	}
	defer client.Close()
	maker := topicMaker{
		cfg: cfg, admin: kadm.NewClient(client), out: io.Discard, partitions: embeddedPartitions, replication: 1,
	}
	if err := maker.create(ctx); err != nil {
		return err
	}
	registry, err := schemas.NewRegistry(cfg.Registry)
	if err != nil {
		return err
	}
	defer registry.Close()
	return registry.Register(ctx, cfg.Processor.Topics.Schemas())
}

// stop ends the embedded parts; the broker last, as it is what others need.
func (e *embedded) stop(ctx context.Context) error {
	return errors.Join(e.gateway.stop(ctx), e.sim.Close(), e.registry.stop(ctx), e.closeBroker(), e.unlock())
}

// release gives back what newEmbedded had taken before it failed.
func (e *embedded) release() {
	for _, s := range []*httpService{e.registry, e.gateway} {
		if s != nil {
			_ = s.listener.Close()
		}
	}
	if e.sim != nil {
		_ = e.sim.Close()
	}
	_ = e.closeBroker()
	_ = e.unlock()
}

// ledgerURL is for audits.
func (e *embedded) ledgerURL() string { return "http://" + e.gateway.address() }

func demoCredentials() *topclient.CredentialSource {
	return topclient.Static(topclient.Credentials{
		AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
	})
}
