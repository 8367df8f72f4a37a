package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) deadLettersCommand() *cobra.Command {
	parent := &cobra.Command{
		Use: "dead-letters", Short: "Look at dead letters, and put them back", GroupID: groupLook, Args: cobra.NoArgs,
		Long: `A dead letter is a record that ended without outcome, kept whole where it fits, with the
reason:

  undecodable          the bytes are not what the writer's schema says
  unknown-schema       the registry does not know the schema, or it is none of requests
  invalid-request      readable, but a member breaks its rule
  too-large            larger than is read, or than the topic takes
  grant-unknown        called, and nobody could tell whether a coupon was granted
  conflicting-request  its request_id asked for something else before, or Tmall refuses it
                       for its id: it must be sent anew with an id of its own, and is
                       never put back; 'coupongrant report repeats' tells of all ids
                       that were used again

Mend the cause first (register the schema, allow the coupon type, ask Tmall), then put back
what the mend was for. What is put back is a new request with the same request_id, so Tmall
grants nothing twice as long as it remembers the id.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	parent.AddCommand(c.deadLettersListCommand(), c.replayCommand())
	return parent
}

func (c *cli) deadLettersListCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show dead letters, oldest first",
		Long: `Shows the dead letters that the topic keeps, oldest first: when, where, why, which request
record they are of, and the request id where it can be read. It never shows a value: there
the open_id is.

All choices given must fit. It reads the whole topic, or what --since leaves of it.`,
		Example: `  coupongrant dead-letters list --since 24h
  coupongrant dead-letters list --reason grant-unknown,unknown-schema
  coupongrant dead-letters list --partition 3 --offset 100-250
  coupongrant dead-letters list --json | jq -r '[.reason,.request_id] | @tsv'`,
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
			return c.listDeadLetters(cmd.Context(), cfg, filter, f.json)
		},
	}
	f.add(cmd.Flags(), "show so many at most, the oldest; 0: all")
	return cmd
}

func (c *cli) listDeadLetters(ctx context.Context, cfg Config, filter letterFilter, asJSON bool) error {
	line := newStatusLine(c.stderr)
	defer line.close()
	l, err := c.openLetters(ctx, cfg, filter, line)
	if err != nil {
		return err
	}
	defer l.close()
	var found []letter
	if err := l.all(ctx, func(one letter) { found = keepOldest(append(found, one), filter.limit) }); err != nil {
		return err
	}
	line.close()
	found = oldest(found, filter.limit)
	if asJSON {
		return eachJSON(c.stdout, found)
	}
	for _, one := range found {
		if _, err := io.WriteString(c.stdout, one.text()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.stdout, countReasons(found))
	return err
}

// keepOldest bounds what is kept in memory where there is a limit.
func keepOldest(found []letter, limit int) []letter {
	if limit == 0 || len(found) < 2*limit+1000 {
		return found
	}
	return oldest(found, limit)
}

func oldest(found []letter, limit int) []letter {
	slices.SortFunc(found, compareLetters)
	if limit > 0 && len(found) > limit {
		return slices.Clip(found[:limit])
	}
	return found
}

// countReasons is the last line of a list.
func countReasons(found []letter) string {
	if len(found) == 0 {
		return "no dead letters"
	}
	counts := map[string]int{}
	for _, one := range found {
		counts[one.Reason]++
	}
	text := plural(len(found), "dead letter", "dead letters")
	for i, reason := range sortedKeys(counts) {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		text += fmt.Sprintf("%s%d %s", separator, counts[reason], printable(reason))
	}
	return text
}
