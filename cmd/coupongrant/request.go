package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
)

type requestFlags struct {
	json  bool
	since string
}

func (c *cli) requestCommand() *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "request ID",
		Short: "Tell what became of one request: where its record is, its attempts, its end",
		Long: `Looks through the topics for every record of a request id: the requests themselves, also
repeats and replays, their copies on the retry topic, their outcomes and dead letters. It
ends with one sentence: granted once, failed and why, a dead letter and how to put it back,
where it waits and until when, or not found. It may run beside the processor and changes
nothing; it never shows an open_id.

It reads all that the topics keep, by the bytes of the id, and decodes only what may be
it. With --since it begins at that time. A replica knows its own last 100,000 requests at
once: the console at its admin.listen looks there first.

Exit code 0: something was found, whatever it is; 1: nothing was, or it could not be read.`,
		Example: `  coupongrant request checkout-5f3a-0001289
  coupongrant request checkout-5f3a-0001289 --since 2h
  coupongrant request checkout-5f3a-0001289 --json | jq -r .verdict`,
		GroupID: groupLook,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if _, err := newIDFilter(args[0]); err != nil {
				return usage(err)
			}
			since, err := parseMoment("--since", f.since, time.Now())
			if err != nil {
				return usage(err)
			}
			return c.request(cmd.Context(), cfg, args[0], since, f.json)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "one JSON object")
	flags.StringVar(&f.since, "since", "", "look only at what was written since then: 2h ago, or a time")
	return cmd
}

func (c *cli) request(ctx context.Context, cfg Config, id string, since time.Time, asJSON bool) error {
	if err := reachable(ctx, cfg); err != nil {
		return err
	}
	l, err := newLookup(cfg, kafkaOptions(cfg, quiet()))
	if err != nil {
		return err
	}
	defer l.close()
	l.since = since
	line := newStatusLine(c.stderr)
	defer line.close()
	trace, err := l.find(ctx, id, readProgress(line))
	if err != nil {
		return err
	}
	line.close()
	if asJSON {
		err = writeIndented(c.stdout, trace)
	} else {
		_, err = io.WriteString(c.stdout, trace.text(flagsToReach(cfg)))
	}
	if err == nil && trace.State == stateNotFound {
		return exit(exitFailed)
	}
	return err
}
