package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type replayFlags struct {
	letterFlags
	yes, again bool
	rate       float64
}

func (c *cli) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Put dead letters back as new requests; says what it would do until --yes",
		Long: `Puts chosen dead letters back: the bytes and the key as they are, as a new record of the
partition that the request came from, which names the request that it replays
(coupongrant-replay-of). Without --yes it says what it would do, and does nothing.

Nobody gets a second coupon by it:
  - the request keeps its request_id, by which Tmall knows a repeat;
  - what may have been granted before stays in doubt: no refusal of the replay fails it,
    and past gateway.idempotency_window it is left, since Tmall may have forgotten it;
  - what was put back before is left, unless --again: then it is in doubt since;
  - where a producer has a transaction open in the input, nobody can see what was put back
    behind it: it waits for its end, and if that does not come nothing is put back;
  - where the input topic no longer reaches back to a dead letter, nobody can see whether
    it was put back before: it is left, unless you say by --again that it was not.

Records go out in small transactions: if this command is killed, each was put back
wholly or not at all, and beginning it anew goes on with the rest. A second one that is
begun meanwhile takes over, and this one stops. What cannot be put back is told, and
left: a record whose value was too large to be kept, or is of another configuration.

Exit code 0: done as told, even if that was nothing; 1: it could not be done, or not wholly.`,
		Example: `  coupongrant dead-letters replay --reason unknown-schema
  coupongrant dead-letters replay --reason unknown-schema --since 24h --limit 10 --yes
  coupongrant dead-letters replay --source coupon-grant-requested.store/3/1289 --yes
  coupongrant dead-letters replay --reason invalid-request --rate 100 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			filter, err := f.filter(time.Now())
			if err != nil {
				return usage(err)
			}
			if !(f.rate > 0 && f.rate <= maxReplayRate) {
				return usage(fmt.Errorf("--rate is %v: use records per second, such as 10", f.rate))
			}
			return c.replay(cmd.Context(), cfg, filter, f)
		},
	}
	flags := cmd.Flags()
	f.add(flags, "put back so many at most, the oldest of those that can be; 0: all")
	flags.BoolVar(&f.yes, "yes", false, "do it")
	flags.BoolVar(&f.again, "again", false, "also what was put back before, or may have been")
	flags.Float64Var(&f.rate, "rate", defaultReplayRate, "records per second; the calls of the gateway are limited by gateway.rate all the same")
	return cmd
}

const (
	defaultReplayRate = 10
	maxReplayRate     = 100_000
)

func (c *cli) replay(ctx context.Context, cfg Config, filter letterFilter, f replayFlags) error {
	line := newStatusLine(c.stderr)
	defer line.close()
	l, err := c.openLetters(ctx, cfg, filter, line)
	if err != nil {
		return err
	}
	defer l.close()
	show := showPlanned(c.stdout, f.json)
	if !f.yes {
		plan, err := l.planReplays(ctx, f.again)
		if err != nil {
			return err
		}
		line.close()
		return c.dryRun(plan, show, f.json)
	}
	// The earlier one, if there is one, is fenced before it is looked at what was
	// put back: so it cannot put back anything after that.
	p, err := newPutter(ctx, cfg, f.rate)
	if err != nil {
		return err
	}
	defer p.client.Close()
	plan, err := l.planReplays(ctx, f.again)
	if err != nil {
		return err
	}
	r := &replaying{letters: l, putter: p, plan: map[position]*planned{}, line: line, show: show}
	err = r.run(ctx, plan)
	line.close()
	if !f.json {
		fmt.Fprintf(c.stdout, "%d of %d put back\n", r.done, len(plan))
	}
	return err
}

func (c *cli) dryRun(plan []planned, show func(planned) error, asJSON bool) error {
	for _, d := range plan {
		if err := show(d); err != nil {
			return err
		}
	}
	if asJSON {
		return nil
	}
	text := fmt.Sprintf("%d of %s would be put back", countReplays(plan), plural(len(plan), "dead letter", "dead letters"))
	if countReplays(plan) > 0 {
		text += "; nothing is done yet: --yes does it"
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

func showPlanned(w io.Writer, asJSON bool) func(planned) error {
	if asJSON {
		write := jsonLines(w)
		return func(d planned) error { return write(d) }
	}
	return func(d planned) error {
		_, err := fmt.Fprintln(w, d.line())
		return err
	}
}

func countReplays(plan []planned) (n int) {
	for i := range plan {
		if plan[i].Action == actionReplay {
			n++
		}
	}
	return n
}

// replaying carries out a plan.
type replaying struct {
	*letters
	putter *putter
	plan   map[position]*planned // what is to be put back, by where the dead letter is
	done   int
	line   *statusLine
	show   func(planned) error
}

// run reads the chosen dead letters again, this time for their values: so none
// of those is kept in memory. Those of one key stay in their order, since they
// are in one partition.
func (r *replaying) run(ctx context.Context, plan []planned) error {
	r.line.set("")
	for i := range plan {
		d := &plan[i]
		if d.Action == actionReplay {
			r.plan[d.position()] = d
			continue
		}
		if err := r.show(*d); err != nil {
			return err
		}
	}
	ranges, err := r.ranges(ctx, r.filter.since, r.topics.DeadLetter)
	if err != nil || len(r.plan) == 0 {
		return err
	}
	r.Progress = nil // what was put back is shown instead
	var batch []replacement
	err = r.Scan(ctx, r.within(ranges), func(dead *kgo.Record) error {
		d := r.plan[positionOf(dead)]
		if d == nil {
			return nil
		}
		batch = append(batch, replacement{d, d.record(dead)})
		if len(batch) < r.putter.batch {
			return nil
		}
		err := r.put(ctx, batch)
		batch = nil
		return err
	})
	if err == nil && len(batch) > 0 {
		err = r.put(ctx, batch)
	}
	if err == nil && r.done < len(r.plan) {
		err = fmt.Errorf("%d were deleted from %s meanwhile", len(r.plan)-r.done, r.topics.DeadLetter)
	}
	return err
}

// put goes on one by one, here and from then on, where a batch is too large for the
// topic: each record was in it before, alone.
func (r *replaying) put(ctx context.Context, batch []replacement) error {
	err := r.putter.put(ctx, batch)
	if errors.Is(err, errTooLargeTogether) {
		r.putter.batch = 1
		for i := range batch {
			if err := r.put(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("putting back after %d of %d: %w", r.done, len(r.plan), err)
	}
	r.line.set("")
	for _, one := range batch {
		r.done++
		one.ReplayedAs = positionOf(one.record).String()
		if err := r.show(*one.planned); err != nil {
			return err
		}
	}
	r.line.set(fmt.Sprintf("%d of %d put back", r.done, len(r.plan)))
	return nil
}

// batchOf is what goes out at once at a rate: a tenth of a second's, so that its
// transaction is open for milliseconds and holds up nobody who reads the input.
func batchOf(rate float64) int { return int(math.Min(math.Max(rate/10, 1), 100)) }

var errFenced = errors.New("another `dead-letters replay --yes` of this group was begun meanwhile and goes on with the rest")
