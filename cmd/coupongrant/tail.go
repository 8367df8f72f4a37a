package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

type tailFlags struct {
	json      bool
	fromStart bool
	toEnd     bool
	limit     int
}

func (c *cli) tailCommand() *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show outcomes and dead letters as they come",
		Long: `Shows granted and failed coupons and dead letters, as committed transactions make them
visible, until Ctrl-C, or with --to-end all that is committed now. It never shows the
members' open_id, and no value of a dead letter.`,
		Example: `  coupongrant tail
  coupongrant tail --from-start --limit 100 --json | jq .reason
  coupongrant tail --to-end --json > records.jsonl    all that is there, for analysis`,
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if f.limit < 0 {
				return usage(fmt.Errorf("--limit is %d: use 1 or more, or 0 for no limit", f.limit))
			}
			return c.tail(cmd.Context(), cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "one JSON object a line")
	flags.BoolVar(&f.fromStart, "from-start", false, "begin with the oldest that are kept, not with the next")
	flags.BoolVar(&f.toEnd, "to-end", false, "begin with the oldest, and end after what is committed now")
	flags.IntVar(&f.limit, "limit", 0, "end after so many; 0: never")
	return cmd
}

func (c *cli) tail(ctx context.Context, cfg Config, f tailFlags) error {
	reader, err := newTopicReader(cfg, kafkaOptions(cfg, quiet()))
	if err != nil {
		return err
	}
	defer reader.close()
	topics := cfg.Processor.Topics
	v := &viewer{topicReader: reader, told: c.stderr, show: showText(c.stdout)}
	if f.json {
		v.show = showJSON(c.stdout)
	}
	shown := []string{topics.Granted, topics.Failed, topics.DeadLetter}
	if f.toEnd {
		if err := reachable(ctx, cfg); err != nil {
			return err
		}
		line := newStatusLine(c.stderr)
		defer line.close()
		if !terminal(c.stdout) { // else the records themselves show it
			v.Progress = readProgress(line)
		}
		return v.export(ctx, f.limit, shown...)
	}
	from := kgo.NewOffset().AtEnd()
	if f.fromStart {
		from = kgo.NewOffset().AtStart()
	}
	client, err := connect(ctx, cfg, quiet(),
		kgo.ConsumeTopics(shown...), kgo.ConsumeResetOffset(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := v.present(ctx, kadm.NewClient(client), shown...); err != nil {
		return unlessOver(ctx, err)
	}
	return v.follow(ctx, client, f.limit)
}

// viewer shows records of the result topics.
type viewer struct {
	*topicReader
	told io.Writer
	show func(view) error
}

// present finds a topic that is missing, for which a consumer waits without a word. Of
// one that may not be seen follow tells, and goes on when it may. Brokers are asked for one
// after the other: such a one would hide the others.
func (v *viewer) present(ctx context.Context, admin *kadm.Client, topics ...string) error {
	for _, topic := range topics {
		found, err := admin.ListTopics(ctx, topic)
		switch {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
		case err != nil:
			return fmt.Errorf("looking at the topic %s: %w", topic, err)
		case errors.Is(found[topic].Err, kerr.UnknownTopicOrPartition):
			return missingTopic(v.cfg, topic)
		}
	}
	return nil
}

// follow ends, without error, with ctx or after limit records.
func (v *viewer) follow(ctx context.Context, client *kgo.Client, limit int) error {
	for shown := 0; ctx.Err() == nil; {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, _ int32, err error) {
			if ctx.Err() == nil {
				fmt.Fprintf(v.told, "waiting: %s cannot be read: %v\n", topic, withMend(proof.OnTopic(kadm.OpRead, topic).OrLacks(err)))
			}
		})
		for r := range fetches.RecordsAll() {
			one, err := v.await(ctx, r)
			if err == nil {
				err = v.show(one)
			}
			if err != nil || ctx.Err() != nil {
				return unlessOver(ctx, err)
			}
			if shown++; shown == limit {
				return nil
			}
		}
	}
	return nil
}

// errEnough ends an export early.
var errEnough = errors.New("as many as were asked for")

// export shows what is committed now, or limit records of it.
func (v *viewer) export(ctx context.Context, limit int, topics ...string) error {
	ranges, err := v.ranges(ctx, time.Time{}, topics...)
	if err != nil {
		return err
	}
	shown := 0
	err = v.Scan(ctx, ranges, func(r *kgo.Record) error {
		one, err := v.view(ctx, r)
		if err == nil {
			err = v.show(one)
		}
		if shown++; err == nil && shown == limit {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// await is view, for as long as it takes: it tells of a registry that gives no answer.
func (v *viewer) await(ctx context.Context, r *kgo.Record) (view, error) {
	for told := false; ; told = true {
		one, err := v.view(ctx, r)
		if !errors.Is(err, schemas.ErrRegistryDown) || ctx.Err() != nil {
			return one, err
		}
		if !told {
			fmt.Fprintf(v.told, "waiting: %v\n", err)
		}
	}
}

func showJSON(w io.Writer) func(view) error {
	write := jsonLines(w)
	return func(v view) error { return write(v) }
}

func showText(w io.Writer) func(view) error {
	return func(v view) error {
		_, err := fmt.Fprintln(w, v.line())
		return err
	}
}
