package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupongrant/coupongrant/cmd/coupongrant/bench"
)

// benchFlags of the command.
type benchFlags struct {
	cases   []string
	pairs   int
	length  time.Duration
	engine  []string
	results string
	list    bool
}

func (c *cli) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "The published measurements, each with its own baseline in the same run",
		Long: `Measures throughput, latency, memory and processor time of the processor on the brokers of
kafka.brokers, beside a loop without promises, bare transactions and bare calls. It needs
nothing but the brokers, at a listener that asks for neither TLS nor SASL: registry and
gateway are its own. Topics are made for each run and taken away after it. Kinds of runs
take turns; every figure is the median over --pairs of them. It exits with 1 if a bound
of a case does not hold.

For figures the machine must be quiet, and the brokers' processes count as work of the
same machine if they run on it. It runs on Linux, which tells what a process uses.`,
		Example: `  coupongrant bench --list
  coupongrant bench --case call-0ms --case half-load
  coupongrant bench --results docs/raw --kafka.brokers kafka-1:9092
  coupongrant bench --case call-10ms --pairs 1 --engine gateway.max_in_flight=1   # must not hold`,
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.list {
				return bench.List(c.stdout)
			}
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			return c.bench(cmd, cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.list, "list", false, "list the cases")
	flags.StringArrayVar(&f.cases, "case", nil, "only this one; may be repeated")
	flags.IntVar(&f.pairs, "pairs", 5, "turns of each case: one run of each kind")
	flags.DurationVar(&f.length, "length", 10*time.Second, "of what is measured of a run; some cases take several times as long")
	flags.StringVar(&f.results, "results", "", "folder for the raw results; without it none are kept")
	flags.StringArrayVar(&f.engine, "engine", nil, "a setting of the processor as key=value, to see what it does; may be repeated")
	cmd.AddCommand(&cobra.Command{
		Use: "part", Short: "One of the processes of a run, started by it", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Part(cmd.Context(), c.stdin, c.stdout) },
	})
	return cmd
}

func (c *cli) bench(cmd *cobra.Command, cfg Config, f benchFlags) error {
	switch {
	case f.pairs < 1:
		return usage(fmt.Errorf("--pairs is %d: use at least 1; 5 and more make a median", f.pairs))
	case f.length < time.Second:
		return usage(fmt.Errorf("--length is %v: use at least 1s", f.length))
	case cfg.Security.TLS || cfg.Security.SASL.Mechanism != saslNone:
		return usage(errors.New("kafka.tls.enabled or kafka.sasl.mechanism is set, and bench speaks neither: name by kafka.brokers a listener that asks for none, and leave them out"))
	}
	engine, err := f.settings()
	if err = errors.Join(err, bench.CheckCases(f.cases)); err != nil {
		return usage(err)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if err := reachable(cmd.Context(), cfg); err != nil {
		return err
	}
	line := newStatusLine(c.stderr)
	defer line.close()
	return bench.Run(cmd.Context(), bench.Config{
		Brokers: cfg.Brokers, Program: program, Cases: f.cases, Pairs: f.pairs, Length: f.length,
		Engine: engine, Results: f.results, Version: buildVersion(), Command: f.command(), Out: c.stdout, Say: line.set,
	})
}

// settings are those of the processor that the command line gives.
func (f benchFlags) settings() (map[string]string, error) {
	var c Config
	known := map[string]bool{}
	for _, s := range c.settings() {
		known[s.key] = true
	}
	settings := map[string]string{}
	for _, text := range f.engine {
		key, value, ok := strings.Cut(text, "=")
		if !ok || !known[key] {
			return nil, fmt.Errorf("--engine is %q: use key=value with a key of `coupongrant config keys`", text)
		}
		settings[key] = value
	}
	return settings, nil
}

// command repeats the measurement; where the brokers were matters to nobody.
func (f benchFlags) command() string {
	text := fmt.Sprintf("coupongrant bench --pairs %d --length %v", f.pairs, f.length)
	for _, name := range f.cases {
		text += " --case " + name
	}
	for _, setting := range f.engine {
		text += " --engine " + setting
	}
	return text
}
