package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

type devFlags struct {
	events   int
	rate     float64
	seed     uint64
	dataDir  string
	script   string
	noOutage bool
}

func (c *cli) devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Everything in one process, with nothing to install",
		Long: `Starts a Kafka broker, a schema registry, a simulated Tmall gateway and the processor in
this process, sends sample checkouts and milestones, and now and then takes the gateway
away for 3 s, to show that requests wait and none is lost. The ports are real: kcat, your
own producers and the other commands can use them.

With --events N it sends N requests, waits for their ends, audits them and exits:
0 balanced, 3 violated, 4 not finished.`,
		Example: `  coupongrant dev                     until Ctrl-C; in another terminal: coupongrant tail
  coupongrant dev --events 2000       a proof in ten seconds
  coupongrant dev --data-dir ./data   kill -9 it, start it again, and audit`,
		GroupID: groupStart,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, f.base())
			if refused := refuseAccess(cfg); refused != nil { // it says more than that a file of it is not there
				return usage(refused)
			}
			if err != nil {
				return err
			}
			if err := errors.Join(f.check(), refuseOwn(cfg)); err != nil {
				return usage(err)
			}
			return c.dev(cmd.Context(), cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.events, "events", 0, "send so many requests, wait for their ends, audit, exit; 0: go on until Ctrl-C")
	flags.Float64Var(&f.rate, "rate", 0, "requests per second (default 20, with --events 500)")
	flags.Uint64Var(&f.seed, "seed", 0, "of the sample data; 0: another each time")
	flags.StringVar(&f.dataDir, "data-dir", "", "keep broker, schemas and ledger in this folder")
	flags.StringVar(&f.script, "script", "", "file with a timeline of gateway faults, instead of the outages")
	flags.BoolVar(&f.noOutage, "no-outage", false, "let the gateway work all the time")
	return cmd
}

func (f *devFlags) check() error {
	if f.rate == 0 {
		f.rate = 20
		if f.events > 0 {
			f.rate = 500
		}
	}
	switch {
	case f.events < 0:
		return fmt.Errorf("--events is %d: use 1 or more", f.events)
	case f.rate < 0 || math.IsNaN(f.rate) || f.rate > 1e6:
		return fmt.Errorf("--rate is %v: use requests per second, such as 100", f.rate)
	}
	return nil
}

// refuseAccess refuses, wherever it stands, what says who asks brokers or registry:
// those of dev ask nobody, and a command that the banner shows would come with it.
func refuseAccess(cfg Config) error {
	base := defaultConfig()
	usual := base.settings()
	for i, s := range cfg.settings() {
		access := strings.HasPrefix(s.key, "kafka.tls.") || strings.HasPrefix(s.key, "kafka.sasl.") ||
			section(s.key) == "registry" && s.key != "registry.url"
		if access && s.value.String() != usual[i].value.String() {
			return fmt.Errorf("%s is set (%s), and the broker and the registry of dev ask nobody who they are: leave out kafka.tls, kafka.sasl and all of registry but its url, such as by a file without them", s.key, cfg.Origins[s.key])
		}
	}
	return nil
}

// refuseOwn refuses flags for what dev brings itself. A file or variable made for
// `run` may say them.
func refuseOwn(cfg Config) error {
	for _, key := range []string{"gateway.app_key", "gateway.app_secret_file", "gateway.session_file", "gateway.url", "kafka.brokers", "registry.url"} {
		if cfg.Origins[key] == "flag" {
			return fmt.Errorf("--%s is not for this command: dev brings its own; `coupongrant run` uses yours", key)
		}
	}
	return nil
}

// base is what dev starts from. A script may have the simulator refuse what a call before
// has had granted: such a refusal cannot be taken at its word.
func (f *devFlags) base() Config {
	cfg := devConfig()
	if f.script != "" {
		cfg.Processor.Retry.RefusalInDoubt = processor.ParkRefusal
	}
	return cfg
}

// devConfig is impatient: everything is near, and a person watches.
func devConfig() Config {
	cfg := defaultConfig()
	p := &cfg.Processor
	// Another name each time: after a kill, kfake takes what an old name left open
	// for aborted, until that name commits again.
	p.TransactionalID = fmt.Sprintf("coupongrant-dev-%x", time.Now().UnixNano())
	p.SessionTimeout, p.HeartbeatInterval, p.TransactionTimeout = 3*time.Second, 500*time.Millisecond, 5*time.Second
	p.CallTimeout, p.StopTimeout = 2*time.Second, 5*time.Second
	p.Retry.MinBackoff, p.Retry.MaxBackoff, p.Retry.DoubtfulAttempts = 100*time.Millisecond, time.Second, 10
	p.Retry.RefusalInDoubt = processor.FailRefusal // the simulator recognises a repeat before it looks at limits
	p.Retry.Delay, p.Retry.ParkAfter, p.Retry.GiveUpAfter = 2*time.Second, 20*time.Second, 5*time.Minute
	cfg.Breaker.Interval, cfg.Breaker.OpenFor = 10*time.Second, 500*time.Millisecond
	cfg.Log.Format = "text"
	return cfg
}

func (c *cli) dev(ctx context.Context, cfg Config, f devFlags) error {
	script, err := gatewayFlags{script: f.script}.timeline()
	if err != nil {
		return usage(err)
	}
	if cfg.AdminListen, err = freeAdminAddress(cfg); err != nil {
		return err
	}
	line := newStatusLine(c.stderr)
	log := newLogger(cfg.Log, line)
	end := newEnding()
	d := &devRun{flags: f, out: c.stdout, log: log}
	timeout := stopTimeout(cfg)
	app := fx.New(
		devGraph(devPlace{cfg: cfg, dir: f.dataDir, script: script}, log, end),
		fx.Populate(&d.embedded, &d.cfg, &d.processor, &d.metrics),
		fx.StopTimeout(timeout),
	)
	d.progress = progress{metrics: d.metrics, line: line, log: log, health: func() processor.Health { return d.processor.Health() }}
	return live(ctx, app, end, timeout, d.work)
}

// freeAdminAddress takes another port than the default if that is in use. An
// address that was asked for stays, but for the port 0, which stands for any: what is
// printed has to be called.
func freeAdminAddress(cfg Config) (string, error) {
	if cfg.Origins["admin.listen"] != "" && !strings.HasSuffix(cfg.AdminListen, ":0") {
		return cfg.AdminListen, nil
	}
	listener, err := listenNearPort("tcp", cfg.AdminListen)
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// devRun is what happens between the start and the stop of dev.
type devRun struct {
	flags    devFlags
	out      io.Writer
	log      *slog.Logger
	progress progress

	cfg       Config // with the addresses of the embedded parts
	embedded  *embedded
	processor *processor.Processor
	metrics   prometheus.Gatherer
}

func (d *devRun) work(ctx context.Context) error {
	d.banner()
	watching, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.progress.run(watching)
	}()
	defer func() {
		stop()
		<-stopped
	}()
	traffic, err := newTraffic(ctx, d)
	if err != nil {
		return unlessOver(ctx, err)
	}
	defer traffic.close()
	if d.flags.events == 0 {
		return unlessOver(ctx, traffic.forever(ctx))
	}
	return d.proof(ctx, traffic)
}

// banner says where everything is, and what to try.
func (d *devRun) banner() {
	reach := flagsToReach(d.cfg)
	admin := "http://" + dialable(d.cfg.AdminListen)
	fmt.Fprintf(d.out, `broker, registry, gateway and processor are running in this process

  kafka.brokers  %s
  registry.url   %s
  gateway.url    %s
  console        %s/
  admin          %s/readyz  /metrics

in another terminal:
  coupongrant tail%s
  coupongrant audit%s --ledger %s

`, strings.Join(d.cfg.Brokers, ","), d.cfg.Registry.URL, d.cfg.Gateway.URL, admin, admin, reach, reach, d.embedded.ledgerURL())
}

// outage is how long the simulated gateway goes away.
const outage = 3 * time.Second

// outageNow takes the gateway away, unless there is a script of the user's own.
func (d *devRun) outageNow() {
	if d.flags.noOutage || d.flags.script != "" {
		return
	}
	script, err := topsim.ParseScript(strings.NewReader(fmt.Sprintf("0s-%s outage", outage)))
	if err != nil {
		panic("dev: " + err.Error()) // the text stands in this file
	}
	d.log.Info("the simulated Tmall is down", "for", outage)
	d.embedded.sim.Run(script)
}
