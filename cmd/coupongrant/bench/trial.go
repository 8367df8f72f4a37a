package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// trial is one run on its way from topics to figures.
type trial struct {
	spec    spec
	length  time.Duration // that is measured
	warm    time.Duration // before it
	rate    float64       // requests a second; 0: a backlog
	total   int           // requests of the backlog
	engine  map[string]string
	program string

	cluster *cluster
	seen    *arrivals
	load    *load
	gateway *process
	url     string // of the gateway
	arms    []*process

	began  time.Time
	beside sync.WaitGroup // what goes on beside the run
	broken chan error     // what went wrong there
}

const (
	startLimit  = time.Minute // from the start of an arm to its first outcome
	settleLimit = time.Minute // from the last request to the last outcome
	look        = 10 * time.Millisecond
)

// make runs it and returns its figures.
func (t *trial) make(ctx context.Context, brokers []string, admin *kadm.Client, registry, name string) (figures map[string]float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer t.beside.Wait()
	defer cancel()
	t.broken = make(chan error, 4)
	if t.cluster, err = newCluster(ctx, brokers, admin, registry, name, t.spec.Partitions); err != nil {
		return nil, err
	}
	defer t.cluster.drop(ctx)
	if t.seen, err = newArrivals(t.cluster, t.rate > 0); err != nil {
		return nil, err
	}
	defer t.seen.client.Close()
	if t.load, err = newLoad(t.spec, t.cluster, t.seen); err != nil {
		return nil, err
	}
	defer t.load.client.Close()
	if t.total > 0 {
		if err := t.load.backlog(ctx, t.total); err != nil {
			return nil, err
		}
	}
	t.beside.Go(func() { t.tell(t.seen.read(ctx, t.cluster.topics.Granted)) })
	defer t.stop()
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	figures = map[string]float64{}
	switch {
	case t.spec.idle:
		return figures, t.idle(ctx, figures)
	case t.rate > 0:
		return figures, t.steadily(ctx, figures)
	default:
		return figures, t.drain(ctx, figures)
	}
}

// tell makes the run fail.
func (t *trial) tell(err error) {
	if err != nil {
		select {
		case t.broken <- err:
		default: // the first counts
		}
	}
}

func (t *trial) start(ctx context.Context) error {
	c := t.cluster
	o := order{
		Part: partGateway, Brokers: c.brokers, Topics: c.topics, Registry: c.registry,
		InFlight: t.spec.InFlight, Call: t.spec.Call, Slow: t.spec.Slow,
	}
	var err error
	if t.gateway, err = startPart(t.program, o); err != nil {
		return err
	}
	if o.Gateway, err = t.gateway.firstLine(ctx); err != nil {
		return err
	}
	t.url = o.Gateway
	t.began = time.Now()
	for range t.spec.Replicas {
		p, err := t.startArm(o)
		if err != nil {
			return err
		}
		t.arms = append(t.arms, p)
	}
	return nil
}

func (t *trial) startArm(o order) (*process, error) {
	if o.Part = t.spec.Arm; o.Part != armEngine {
		return startPart(t.program, o)
	}
	settings, err := engineSettings(t.spec, t.cluster, o.Gateway, t.engine)
	if err != nil {
		return nil, err
	}
	return startEngine(t.program, settings)
}

func (t *trial) stop() {
	if t.gateway != nil {
		stopAll(append([]*process{t.gateway}, t.arms...))
	}
}

// count is how much is done so far.
func (t *trial) count() int64 {
	if t.spec.Arm == armHTTP {
		return t.arms[0].count.Load()
	}
	return t.seen.count.Load()
}

// until waits for a condition; an arm that ends meanwhile is an error.
func (t *trial) until(ctx context.Context, limit time.Duration, otherwise string, so func() bool) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !so(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s within %v", otherwise, limit)
		}
		for _, p := range append(t.arms, t.gateway) {
			select {
			case <-p.done:
				return p.ended()
			default:
			}
		}
		select {
		case <-tick.C:
		case err := <-t.broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pass lets time go by.
func (t *trial) pass(ctx context.Context, d time.Duration) error {
	over := time.Now().Add(d)
	return t.until(ctx, d+time.Minute, "time stands still", func() bool { return !time.Now().Before(over) })
}

// begun waits for the first outcome, and tells how long the engine took for it
// once it was ready.
func (t *trial) begun(ctx context.Context, into map[string]float64) error {
	ready := make(chan time.Time, 1)
	if t.spec.Arm == armEngine && t.spec.Replicas == 1 {
		t.beside.Go(func() {
			at, err := t.arms[0].readySince(ctx)
			t.tell(err)
			ready <- at
		})
	} else {
		ready <- time.Time{}
	}
	if err := t.until(ctx, startLimit, "there is no outcome", func() bool { return t.count() > 0 }); err != nil {
		return err
	}
	var at time.Time
	if err := t.until(ctx, startLimit, "the engine is not ready", func() bool {
		select {
		case at = <-ready:
			return true
		default:
			return false
		}
	}); err != nil {
		return err
	}
	if !at.IsZero() {
		t.seen.mu.Lock()
		into["first s"] = max(0, t.seen.first.Sub(at).Seconds())
		into["start s"] = at.Sub(t.began).Seconds()
		t.seen.mu.Unlock()
	}
	return nil
}

var errWorkedOff = errors.New("the backlog was worked off too early to be measured")

// drain measures how fast a backlog is worked off.
func (t *trial) drain(ctx context.Context, into map[string]float64) error {
	if err := t.begun(ctx, into); err != nil {
		return err
	}
	if err := t.pass(ctx, t.warm); err != nil {
		return err
	}
	from, err := t.sample(ctx)
	if err != nil {
		return err
	}
	enough := int64(t.total) * 95 / 100
	middle, over := from.at.Add(t.length/2), from.at.Add(t.length)
	earlier, later := from.resident, 0.0
	var looked error
	err = t.until(ctx, t.length+time.Minute, "time stands still", func() bool {
		u, err := t.arms[0].usage()
		looked = errors.Join(looked, err)
		if time.Now().Before(middle) {
			earlier = max(earlier, u.resident)
		} else {
			later = max(later, u.resident)
		}
		return looked != nil || !time.Now().Before(over) || t.spec.Arm != armHTTP && t.count() >= enough
	})
	if err = errors.Join(err, looked); err != nil {
		return err
	}
	to, err := t.sample(ctx)
	if err != nil {
		return err
	}
	if to.at.Sub(from.at) < t.length/4 {
		return fmt.Errorf("%w: %d requests in less than %v; a shorter --length needs fewer", errWorkedOff, t.total, t.warm+t.length/4)
	}
	t.between(from, to, into)
	if later > 0 {
		into["memory, later / earlier"] = later / earlier
	}
	return nil
}

// steadily measures how long requests take that come at a rate.
func (t *trial) steadily(ctx context.Context, into map[string]float64) error {
	if err := t.load.anyone(ctx, time.Time{}); err != nil { // the arm joins the group for this one
		return err
	}
	if err := t.begun(ctx, into); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	written := make(chan error, 1)
	go func() { written <- t.load.steadily(writing, t.rate) }()
	from, to, err := t.watch(ctx)
	stop()
	if err = errors.Join(err, <-written); err != nil {
		return err
	}
	if err := t.until(ctx, settleLimit, "not every request has its outcome", func() bool { return t.seen.missing(from.at, to.at) == 0 }); err != nil {
		return err
	}
	t.between(from, to, into)
	delete(into, ofIdeal) // it is the rate that was asked for
	into["rate"] = t.rate
	return t.seen.percentiles(from.at, to.at, time.Duration(t.spec.Call), into)
}

// watch takes the two samples of a run at a rate.
func (t *trial) watch(ctx context.Context) (from, to sample, err error) {
	if err = t.pass(ctx, t.warm); err != nil {
		return from, to, err
	}
	if err = t.load.disturb(ctx); err != nil {
		return from, to, err
	}
	if from, err = t.sample(ctx); err != nil {
		return from, to, err
	}
	if err = t.pass(ctx, t.length); err != nil {
		return from, to, err
	}
	to, err = t.sample(ctx)
	return from, to, err
}

// idle measures what waiting costs.
func (t *trial) idle(ctx context.Context, into map[string]float64) error {
	if _, err := t.arms[0].readySince(ctx); err != nil {
		return err
	}
	from, to, err := t.watch(ctx)
	if err != nil {
		return err
	}
	t.between(from, to, into)
	return nil
}
