package main

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // the zones by name, where the system has none

	"github.com/spf13/cobra"
)

// defaultZone is where Tmall counts its days: two people who ask the same get
// the same, wherever their machines stand.
const defaultZone = "Asia/Shanghai"

type reportFlags struct {
	csv                bool
	since, until, zone string
}

// question is one that report answers.
type question struct {
	use, short, long string
	flags            func(*cobra.Command) // nil: none of its own
	check            func() error         // of these flags; nil: nothing to check
	answer           func(context.Context, *reporter) (*table, error)
}

func (c *cli) reportCommand() *cobra.Command {
	var f reportFlags
	parent := &cobra.Command{
		Use:   "report",
		Short: "Answer what analysts ask, from the topics",
		Long: `Answers five questions from what stands in the topics at this moment, exactly, without
a database. Committed records alone count, from where the topics begin to where they end
when the command begins. What the columns mean, and the same five questions in SQL, is in
docs/analytics.md.

Days are those of --time-zone. --since and --until choose by granted_at or failed_at, and
in 'repeats' by the time at which a request record was written. Each takes a day, which
begins at midnight in --time-zone, a moment such as '2026-11-11 20:00' there or
2026-11-11T12:00:00Z, or how long ago, such as 36h. --since itself is in the period, --until
is not: --since 2026-11-01 --until 2026-12-01 is November.

For people on a terminal; with --csv as RFC 4180, UTF-8, times in UTC. It sorts on disk, in
TMPDIR, so that memory does not grow with the topics, but for the rows of the answer. It
never shows an open_id.`,
		Example: `  coupongrant report grants --since 2026-11-11 --until 2026-11-12
  coupongrant report failures --csv > failures.csv
  coupongrant report time-to-grant --by channel`,
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := parent.PersistentFlags()
	flags.BoolVar(&f.csv, "csv", false, "comma-separated values, as programs read them")
	flags.StringVar(&f.since, "since", "", "the period begins with this; empty: the topics' oldest")
	flags.StringVar(&f.until, "until", "", "the period ends before this; empty: the topics' newest")
	flags.StringVar(&f.zone, "time-zone", defaultZone, "whose days: a name such as Asia/Shanghai or UTC")
	for _, q := range questions() {
		parent.AddCommand(c.questionCommand(q, &f))
	}
	return parent
}

func questions() []question {
	return []question{grantsQuestion(), failuresQuestion(), timeToGrantQuestion(), discountQuestion(), repeatsQuestion()}
}

func (c *cli) questionCommand(q question, f *reportFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: q.use, Short: q.short, Long: q.long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			of, err := f.period()
			if err == nil && q.check != nil {
				err = q.check()
			}
			if err != nil {
				return usage(err)
			}
			return c.report(cmd.Context(), cfg, q, of, f.csv)
		},
	}
	if q.flags != nil {
		q.flags(cmd)
	}
	return cmd
}

func (c *cli) report(ctx context.Context, cfg Config, q question, of period, asCSV bool) error {
	if err := reachable(ctx, cfg); err != nil {
		return err
	}
	reader, err := newTopicReader(cfg, kafkaOptions(cfg, quiet()))
	if err != nil {
		return err
	}
	defer reader.close()
	line := newStatusLine(c.stderr)
	defer line.close()
	reader.Progress = readProgress(line)
	r := &reporter{topicReader: reader, period: of}
	t, err := q.answer(ctx, r)
	if err != nil {
		return err
	}
	line.close()
	if r.unreadable > 0 {
		fmt.Fprintf(c.stderr, "coupongrant: %d record(s) of the result topics cannot be read as outcomes, and are in no figure: 'coupongrant audit' says which\n", r.unreadable)
	}
	if asCSV {
		return t.writeCSV(c.stdout)
	}
	t.title = append(t.title, of.String())
	return t.writeText(c.stdout)
}

// period is what a report is about: since <= t < until, where they are given.
type period struct {
	since, until time.Time // zero: open
	zone         *time.Location
}

func (f *reportFlags) period() (p period, err error) {
	if p.zone, err = time.LoadLocation(f.zone); err != nil || f.zone == "" || f.zone == "Local" {
		return p, fmt.Errorf("--time-zone is %q: use a name such as Asia/Shanghai, Europe/Berlin or UTC", f.zone)
	}
	p.since, p.until, err = parsePeriod(f.since, f.until, time.Now().In(p.zone))
	return p, err
}

// has takes milliseconds since 1970, as all times of the topics are.
func (p period) has(ms int64) bool {
	at := time.UnixMilli(ms)
	return (p.since.IsZero() || !at.Before(p.since)) && (p.until.IsZero() || at.Before(p.until))
}

func (p period) day(ms int64) string { return time.UnixMilli(ms).In(p.zone).Format(time.DateOnly) }

func (p period) String() string {
	text := "days of " + p.zone.String()
	if p.since.IsZero() && p.until.IsZero() {
		return text + ", all that the topics hold"
	}
	if !p.since.IsZero() {
		text += ", since " + p.since.In(p.zone).Format(time.DateTime)
	}
	if !p.until.IsZero() {
		text += ", before " + p.until.In(p.zone).Format(time.DateTime)
	}
	return text
}
