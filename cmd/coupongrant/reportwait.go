package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	byDay     = "day"
	byChannel = "channel"

	// What the time is counted from.
	fromEvent  = "occurred_at"
	fromRecord = "written"
)

// percentiles of the report; see its help for what they are.
var percentiles = [...]int64{50, 90, 99}

func timeToGrantQuestion() question {
	by := byDay
	return question{
		use: "time-to-grant", short: "How long members waited for their coupon, by day or by channel",
		long: `Tells how long it took to granted_at, counted from two moments: from "occurred_at", which
the producer says, that is what the member has felt; and from "written", the Kafka timestamp
of the request record, that is what this program, Tmall, and any outage took. Each coupon
counts once, by its first outcome; the day is that of granted_at. Coupons whose request
record retention has taken are not among those counted from "written".

Percentiles are exact, by nearest rank: p90 is the least of the waits such that at least
90 of 100 are no longer than it. A wait below zero tells of clocks that differ.`,
		flags: func(cmd *cobra.Command) { cmd.Flags().StringVar(&by, "by", by, "rows: day or channel") },
		check: func() error {
			if by != byDay && by != byChannel {
				return fmt.Errorf("--by is %q: use day or channel", by)
			}
			return nil
		},
		answer: func(ctx context.Context, r *reporter) (*table, error) { return timeToGrant(ctx, r, by) },
	}
}

// waitGroup is a row of the report.
type waitGroup struct{ of, from string }

// waits gathers how long each coupon took.
type waits struct {
	sorted sorter
	counts map[waitGroup]int64
}

func (w *waits) add(of, from string, ms int64) error {
	w.counts[waitGroup{of, from}]++
	return w.sorted.add(tuple(nil).text(of).text(from).number(ms))
}

// timeToGrant finds the first outcome of each coupon, joins it with its request
// record, and puts the waits of each group in order: each step sorts on disk.
func timeToGrant(ctx context.Context, r *reporter, by string) (*table, error) {
	all := waits{counts: map[waitGroup]int64{}}
	defer all.sorted.close()
	if err := r.measure(ctx, by, &all); err != nil {
		return nil, err
	}
	t := &table{
		title: []string{"Time to grant, by " + by},
		columns: []column{
			{name: by},
			{name: "counted_from"},
			{name: "coupons", right: true},
			{name: "p50_ms", label: "p50", right: true},
			{name: "p90_ms", label: "p90", right: true},
			{name: "p99_ms", label: "p99", right: true},
			{name: "max_ms", label: "max", right: true},
		},
		empty: "No coupon was granted.",
		notes: []string{"occurred_at: since what the producer says; written: since the request record was written to Kafka."},
	}
	var place int64
	var cells []cell
	err := all.sorted.each(func(row *tupleReader) error {
		of, ms := waitGroup{row.text(), row.text()}, row.number()
		n := all.counts[of]
		if place++; place == 1 {
			cells = []cell{textCell(of.of), textCell(of.from), countCell(n)}
		}
		for len(cells) < 3+len(percentiles) && place*100 >= percentiles[len(cells)-3]*n {
			cells = append(cells, waitCell(ms))
		}
		if place == n {
			t.rows = append(t.rows, append(cells, waitCell(ms)))
			place = 0
		}
		return nil
	})
	return t, err
}

// measure fills the waits of the period.
func (r *reporter) measure(ctx context.Context, by string, all *waits) error {
	var gathered, bySource sorter
	defer gathered.close()
	defer bySource.close()
	came := func(_ context.Context, record *kgo.Record) error {
		return bySource.add(tuple(nil).text(positionOf(record).String()).number(isRequest).number(record.Timestamp.UnixMilli()))
	}
	take := takers{r.topics.Granted: r.gather(&gathered), r.topics.Store: came, r.topics.Loyalty: came}
	if err := r.read(ctx, take); err != nil {
		return err
	}
	err := r.eachGrant(&gathered, func(g grantedCoupon) error {
		if !g.first {
			return nil
		}
		of := g.channel
		if by == byDay {
			of = r.period.day(g.grantedAt)
		}
		if err := all.add(of, fromEvent, g.grantedAt-g.occurredAt); err != nil {
			return err
		}
		return bySource.add(tuple(nil).text(g.source).number(isEnd).number(g.grantedAt).text(of))
	})
	if err != nil {
		return err
	}
	gathered.close()
	var place string // of the request record that was met last
	var written int64
	return bySource.each(func(row *tupleReader) error {
		source, kind, at := row.text(), row.number(), row.number()
		if kind == isRequest {
			place, written = source, at
			return nil
		}
		if source != place {
			return nil
		}
		return all.add(row.text(), fromRecord, at-written)
	})
}
