package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

const (
	routerPath    = "/router/rest"
	simulatorPort = "8089"
	ledgerName    = "ledger"
)

type gatewayFlags struct {
	listen    string
	dataDir   string
	faults    []string
	script    string
	latency   time.Duration
	spread    time.Duration
	clock     time.Duration
	coupon    topsim.Coupon // every uuid's
	quotas    topsim.Quotas
	replay    string
	conflict  string
	retention time.Duration
	form      string
}

func (c *cli) gatewayCommand() *cobra.Command {
	var f gatewayFlags
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "The gateway simulator alone",
		Long: `Serves tmall.nrt.coupon.send as the Taobao Open Platform would: it checks signatures,
keeps a ledger of what it has granted, and misbehaves on order.

It knows the app of gateway.app_key, gateway.app_secret_file and gateway.session_file.
Without gateway.app_key it knows the demo app ` + topsim.DemoAppKey + `, whose secret is ` + topsim.DemoAppSecret + `
and whose session is ` + topsim.DemoSession + `.

The control API under /control/ shows the ledger and changes what goes wrong; it asks for
no password.`,
		Example: `  coupongrant gateway --latency 50ms --fault "lost-answers 1%"
  coupongrant gateway --script outage.txt     # lines such as: 10s-20s outage
  coupongrant gateway --stock 100 --per-member 1 --calls-per-second 50
  coupongrant gateway faults                  # all that can go wrong`,
		GroupID: groupStart,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			return c.gateway(cmd.Context(), cfg, f)
		},
	}
	f.register(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "faults", Short: "List everything that the simulator can do wrong", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listFaults(c.stdout) },
	})
	return cmd
}

// register names the flags in the order in which the help shows them.
func (f *gatewayFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:"+simulatorPort, "host:port to listen on")
	flags.StringVar(&f.dataDir, "data-dir", "", "keep the ledger in this folder; without it, it ends with the process")

	flags.StringArrayVar(&f.faults, "fault", nil, `a fault from now on, with limits as in a script: "lost-answers 1%"; may be repeated`)
	flags.StringVar(&f.script, "script", "", "file with a timeline of faults")
	flags.DurationVar(&f.latency, "latency", 0, "before each answer")
	flags.DurationVar(&f.spread, "spread", 0, "random part added to --latency")
	flags.DurationVar(&f.clock, "clock", 0, "how far the gateway's clock is ahead of this machine's")

	flags.IntVar(&f.coupon.Stock, "stock", 0, "coupons that each uuid has to grant, then -6; 0: any number")
	flags.IntVar(&f.coupon.PerMember, "per-member", 0, "coupons of each uuid that one open_id can have, then -7; 0: any number")
	flags.IntVar(&f.quotas.AppAPIPerSecond, "calls-per-second", 0, "calls of the app, then code 7 to the end of the second; 0: any number")
	flags.IntVar(&f.quotas.AppPerDay, "calls-per-day", 0, "calls of the app, then code 7 to midnight in GMT+8; 0: any number")

	flags.StringVar(&f.replay, "replay", "", "answer to a repeated out_id: same, no-model, refuse or limit-first (default same)")
	flags.StringVar(&f.conflict, "conflict", "", "answer to a repeated out_id with other content: same, 41 or -11 (default same)")
	flags.DurationVar(&f.retention, "retention", 0, "after which an out_id grants again; 0: never")
	flags.StringVar(&f.form, "form", "", "how the service's own refusals are worded: F1 to F6, or a variant such as F4-err_code (default F1)")
}

func listFaults(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FAULT\tGROUP\tA COUPON IS GRANTED\tWHAT A CALLER SEES")
	for _, f := range topsim.Faults() {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", f.Name, f.Group, yesNo(f.AfterGrant), f.Text)
	}
	return out.Flush()
}

func (c *cli) gateway(ctx context.Context, cfg Config, f gatewayFlags) error {
	unlock := noLock
	if f.dataDir != "" {
		var err error
		if unlock, err = lockFolder("data-dir", f.dataDir); err != nil {
			return err
		}
	}
	defer func() { _ = unlock() }() // a file that only locks
	settings, err := f.settings(c.stderr, cfg)
	if err != nil {
		return usage(err)
	}
	sim, err := topsim.New(settings)
	if err != nil {
		return usage(err)
	}
	sim.SetClockOffset(f.clock)
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		_ = sim.Close()
		return fmt.Errorf("--listen is %s, but nothing can listen there (%w): choose another address", f.listen, err)
	}
	if !isLoopback(listener.Addr()) {
		fmt.Fprintln(c.stderr, "note: others can reach the control API, which asks for no password")
	}
	log := newLogger(cfg.Log, c.stderr)
	service := newHTTPService(listener, simulatorHandler(sim), log)
	service.start(log)
	here := dialable(service.address())
	fmt.Fprintf(c.stdout, "gateway.url: http://%s%s\nledger for audit: http://%s\n", here, routerPath, here)
	select {
	case <-ctx.Done():
	case <-service.done:
		err = errors.New("the simulator cannot be reached any more")
	}
	return errors.Join(err, service.stop(context.WithoutCancel(ctx)), sim.Close())
}

// simulatorHandler is the gateway, and the control API beside it.
func simulatorHandler(sim *topsim.Simulator) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	mux.Handle("/control/", sim.Control())
	return mux
}

// settings of the simulator; notes for people go to told.
func (f gatewayFlags) settings(told io.Writer, cfg Config) (topsim.Config, error) {
	script, err := f.timeline()
	if err != nil {
		return topsim.Config{}, err
	}
	s := topsim.DefaultConfig()
	s.Replay, s.Conflict, s.Form = topsim.Replay(f.replay), topsim.Conflict(f.conflict), topsim.Form(f.form)
	s.Latency, s.Spread, s.Retention, s.Script = f.latency, f.spread, f.retention, script
	s.OtherCoupon, s.Quotas = f.coupon, f.quotas
	s.Seed = uint64(time.Now().UnixNano())
	for _, number := range cfg.CouponTypes {
		s.CouponTypes = append(s.CouponTypes, int64(number))
	}
	if f.dataDir != "" {
		s.DataFile = filepath.Join(f.dataDir, ledgerName)
	}
	if cfg.Credentials.AppKey == "" {
		fmt.Fprintf(told, "note: gateway.app_key is not set, so the demo app %s may call; `coupongrant gateway --help` has its credentials\n", topsim.DemoAppKey)
		return s, nil
	}
	s.Apps, err = configuredApp(cfg)
	return s, err
}

func configuredApp(cfg Config) (map[string]topsim.App, error) {
	source, err := cfg.readCredentials()
	if err != nil {
		return nil, err
	}
	known := source.Current()
	return map[string]topsim.App{known.AppKey: {
		Secret: known.AppSecret.Reveal(), Sessions: map[string]time.Time{known.Session.Reveal(): {}},
	}}, nil
}

// timeline is the script, and the faults that hold from the start on.
func (f gatewayFlags) timeline() (topsim.Script, error) {
	var text strings.Builder
	if f.script != "" {
		file, err := os.ReadFile(f.script)
		if err != nil {
			return topsim.Script{}, fmt.Errorf("--script: %w", err)
		}
		text.Write(file)
		text.WriteByte('\n')
		if _, err := topsim.ParseScript(strings.NewReader(text.String())); err != nil {
			return topsim.Script{}, fmt.Errorf("--script %s: %w", f.script, err)
		}
	}
	for _, fault := range f.faults {
		line := "0s- " + fault + "\n"
		if _, err := topsim.ParseScript(strings.NewReader(line)); err != nil {
			return topsim.Script{}, fmt.Errorf("--fault is %q: %w; `coupongrant gateway faults` lists them", fault, err)
		}
		text.WriteString(line)
	}
	return topsim.ParseScript(strings.NewReader(text.String()))
}
