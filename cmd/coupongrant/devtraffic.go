package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

const (
	outageEvery  = 30 * time.Second // without --events
	firstOutage  = 10 * time.Second
	endsEvery    = 50 * time.Millisecond
	endsPatience = time.Minute // without a single end
	devFlawed    = 0.01        // records that are no request
	devRepeats   = 0.005       // requests that come twice
)

// traffic is the sample checkouts and milestones of dev.
type traffic struct {
	dev      *devRun
	load     *proof.Load
	sender   *sender
	registry *schemas.Registry
}

func newTraffic(ctx context.Context, d *devRun) (*traffic, error) {
	topics := d.cfg.Processor.Topics
	registry, codec, err := ownCodec(ctx, d.cfg, schemas.Topics{Inputs: []string{topics.Store, topics.Loyalty}})
	if err != nil {
		return nil, err
	}
	client, err := connect(ctx, d.cfg, d.log, producerOptions()...)
	if err != nil {
		registry.Close()
		return nil, err
	}
	pace := produceFlags{rate: d.flags.rate, seed: d.flags.seed}
	load := sampleLoad(topics, pace)
	load.Flawed, load.Repeats = devFlawed, devRepeats
	return &traffic{
		dev: d, load: proof.NewLoad(load), registry: registry,
		sender: &sender{client: client, codec: codec, topics: topics, limit: pace.limiter()},
	}, nil
}

func (t *traffic) close() {
	t.sender.client.Close()
	t.registry.Close()
}

func (t *traffic) next(ctx context.Context) error {
	e := t.load.Next()
	if e.Flaw == proof.NoID || e.Flaw == proof.LongID {
		e.Flaw = proof.UnknownType // many without an id of their own look like one that changes
	}
	value, err := e.Value(t.sender.codec)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	return t.sender.send(ctx, e.Topic, e.Key, value)
}

// forever sends until ctx ends, with an outage now and then.
func (t *traffic) forever(ctx context.Context) error {
	down := time.Now().Add(firstOutage)
	for {
		if err := t.next(ctx); err != nil {
			return err
		}
		if time.Now().After(down) {
			t.dev.outageNow()
			down = time.Now().Add(outageEvery)
		}
	}
}

// events sends n records, with an outage in the middle.
func (t *traffic) events(ctx context.Context, n int) error {
	for sent := range n {
		if sent == n/2 {
			t.dev.outageNow()
		}
		if err := t.next(ctx); err != nil {
			return err
		}
	}
	return t.sender.finish(ctx)
}

// proof sends the requests of --events, waits for their ends, and audits.
func (d *devRun) proof(ctx context.Context, t *traffic) error {
	began := time.Now()
	watching, stopWatching := context.WithCancel(ctx)
	first := d.firstEnd(watching)
	defer func() {
		stopWatching()
		<-first
	}()
	if err := t.events(ctx, d.flags.events); err != nil {
		return err
	}
	a, err := newAuditor(d.cfg, kafkaOptions(d.cfg, d.log), d.embedded.ledgerURL())
	if err != nil {
		return err
	}
	defer a.close()
	report, err := d.settled(ctx, a)
	if err != nil {
		return err
	}
	took := time.Since(began)
	stopWatching()
	d.progress.line.close()
	took = took.Round(time.Millisecond)
	if report.Unfinished > 0 {
		fmt.Fprintf(d.out, "%d requests sent; not all have ended after %s\n\n", d.flags.events, took)
	} else {
		fmt.Fprintf(d.out, "%d requests sent and ended in %s, the first end after %s\n\n", d.flags.events, took, <-first)
	}
	if err := report.WriteText(d.out); err != nil {
		return err
	}
	return exit(verdictCode(report.Verdict()))
}

// firstEnd gives how long it took until the first end. Its goroutine ends with
// that, or with ctx, and closes the channel.
func (d *devRun) firstEnd(ctx context.Context) <-chan time.Duration {
	began, first := time.Now(), make(chan time.Duration, 1)
	go func() {
		defer close(first)
		tick := time.NewTicker(endsEvery)
		defer tick.Stop()
		for {
			if now, err := readCounts(d.metrics); err == nil && now.ended() > 0 {
				first <- time.Since(began).Round(time.Millisecond)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return first
}

// settled audits once as many records have ended as were sent, and again until
// the verdict is final. When nothing ends any more it gives the verdict of then.
func (d *devRun) settled(ctx context.Context, a *auditor) (proof.Report, error) {
	tick := time.NewTicker(endsEvery)
	defer tick.Stop()
	var ended int64
	moved := time.Now()
	for {
		now, err := readCounts(d.metrics)
		if err != nil {
			return proof.Report{}, err
		}
		if now.ended() != ended {
			ended, moved = now.ended(), time.Now()
		}
		stuck := time.Since(moved) > endsPatience
		if ended >= int64(d.flags.events) || stuck {
			report, err := a.look(ctx, func(proof.Report) error { return nil }) // told when it is the last
			if err != nil || stuck || report.Verdict() != proof.Unfinished {
				return report, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return proof.Report{}, ctx.Err()
		}
	}
}
