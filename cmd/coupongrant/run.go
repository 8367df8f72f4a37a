package main

import (
	"errors"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
)

func (c *cli) runCommand() *cobra.Command {
	var foreignOffsets, lostInput, refusals bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "The processor, against the configured brokers, registry and gateway",
		Long: `Reads requests, has Tmall grant each coupon, publishes one outcome or dead letter for each,
until it is asked to stop (SIGTERM, Ctrl-C, SIGHUP). What it waits for stands in the log, at /readyz
and in the metric coupongrant_holds. A second signal ends it at once; nothing is lost by that.`,
		Example: `  coupongrant run --config /etc/coupongrant.yaml
  COUPONGRANT_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092 coupongrant run --config coupongrant.yaml --gateway.rate 50`,
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if err := errors.Join(cfg.CheckCredentials(), cfg.CheckSecretFiles()); err != nil {
				return usage(err)
			}
			cfg.Processor.AcceptForeignOffsets, cfg.Processor.AcceptLostInput = foreignOffsets, lostInput
			cfg.Processor.AcceptRefusals = refusals
			log := newLogger(cfg.Log, c.stderr)
			log.Info("starting", "version", cfg.Processor.Version, "group", cfg.Processor.Group, "transactional_id", cfg.Processor.TransactionalID)
			for _, accepted := range cfg.Accept {
				log.Warn("insecure.accept accepts what is refused otherwise", "risk", accepted)
			}
			if inClear := cfg.gatewayInClear(); inClear != nil {
				log.Warn("session and open_id travel readable for everybody on the way to the gateway", "gateway_url", cfg.Gateway.URL, "mend", inClear.mend)
			}
			end := newEnding()
			timeout := stopTimeout(cfg)
			app := fx.New(runGraph(cfg, log, end), fx.StopTimeout(timeout))
			return live(cmd.Context(), app, end, timeout, untilOver)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&foreignOffsets, "accept-foreign-offsets", false, "go on over commit metadata that cannot be read: requests may then get a second outcome")
	flags.BoolVar(&lostInput, "accept-lost-input", false, "go on over a gap in the input: what was in it has no outcome")
	flags.BoolVar(&refusals, "accept-refusals", false, "fail requests that are refused as wrong even if most are; for one start, when it is known that they are wrong")
	return cmd
}
