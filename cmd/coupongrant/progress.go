package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupongrant/coupongrant/processor"
)

const (
	statusEvery = 500 * time.Millisecond // on a terminal
	logEvery    = 10 * time.Second       // in a pipe
)

// counts are what the processor has done since it started.
type counts struct {
	granted, failed, deadLetters int64
	waiting                      int64 // taken in and not ended
}

// ended is how many records have their end.
func (c counts) ended() int64 { return c.granted + c.failed + c.deadLetters }

// readCounts asks the processor's own metrics.
func readCounts(metrics prometheus.Gatherer) (counts, error) {
	t, err := readTotals(metrics)
	c := counts{granted: t.Granted, waiting: t.waiting}
	for _, n := range t.Failed {
		c.failed += n
	}
	for _, n := range t.DeadLetters {
		c.deadLetters += n
	}
	return c, err
}

// progress tells a person at a terminal, or a log, how it goes.
type progress struct {
	metrics prometheus.Gatherer
	health  func() processor.Health
	line    *statusLine
	log     *slog.Logger
}

// run tells until ctx ends.
func (p *progress) run(ctx context.Context) {
	every := logEvery
	if p.line.live {
		every = statusEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer p.line.close()
	var last counts
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := readCounts(p.metrics)
		if err != nil {
			continue
		}
		p.tell(now, float64(now.ended()-last.ended())/every.Seconds())
		last = now
	}
}

func (p *progress) tell(c counts, perSecond float64) {
	var holds []string
	for _, h := range p.health().Holds {
		holds = append(holds, h.Kind+": "+h.Reason)
	}
	if !p.line.live {
		p.log.Info("progress", "granted", c.granted, "failed", c.failed, "dead_letters", c.deadLetters,
			"waiting", c.waiting, "per_second", perSecond, "holds", holds)
		return
	}
	text := fmt.Sprintf("granted %d  failed %d  dead letters %d  waiting %d  %.0f/s", c.granted, c.failed, c.deadLetters, c.waiting, perSecond)
	if len(holds) > 0 {
		text += "  | " + strings.Join(holds, "; ")
	}
	p.line.set(text)
}
