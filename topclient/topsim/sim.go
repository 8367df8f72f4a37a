package topsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Simulator is a gateway. Safe for concurrent use.
//
// What holds secrets or members stands behind an address here and in Ledger and
// Rule: fmt then prints that, at worst, where it asks no method.
type Simulator struct {
	cfg        *Config
	ledger     *Ledger
	rules      *rules
	quota      quota
	tally      *tally
	offset     atomic.Int64 // of the clock, nanoseconds
	requestIDs atomic.Int64
	lots       atomic.Int64 // drawn
	doors      atomic.Int64 // connections
	closed     chan struct{}
	closeOnce  sync.Once

	mu   sync.RWMutex
	apps map[string]*App
}

// New makes a simulator, with what its data file holds. The error names every
// wrong setting, or what is wrong with the file. Close it.
func New(cfg Config) (*Simulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("gateway simulator: %w", err)
	}
	s := &Simulator{
		cfg:    &cfg,
		ledger: newLedger(&cfg),
		rules:  newRules(cfg.Seed),
		quota:  quota{limits: cfg.Quotas},
		tally:  newTally(),
		closed: make(chan struct{}),
		apps:   make(map[string]*App, len(cfg.Apps)),
	}
	for key, app := range cfg.Apps {
		s.apps[key] = &app
	}
	if cfg.DataFile != "" {
		if err := s.ledger.open(cfg.DataFile); err != nil {
			return nil, fmt.Errorf("gateway simulator: %w", err)
		}
	}
	s.Run(cfg.Script)
	return s, nil
}

// Format hides secrets and members from every verb.
func (s *Simulator) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "simulator %v", *s.cfg) }

var errClosed = errors.New("the simulator is closed")

// Close ends every delay and closes the data file. What is called afterwards is
// granted nothing new if there is a data file. It does not end connections:
// close the server first. The ledger stays readable.
func (s *Simulator) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closed)
		err = s.ledger.close()
	})
	return err
}

// On prepares a rule; Once, Times or Always puts it in force. Of several rules
// that match a call the oldest strikes, and rules come before the script.
func (s *Simulator) On(m Match, b Behaviour) *Rule { return s.rules.add(m, b) }

// Run starts a script from now on, in the place of the one before. An empty one
// ends it.
func (s *Simulator) Run(script Script) { s.rules.run(script, s.cfg.Clock()) }

// Ledger is what was granted.
func (s *Simulator) Ledger() *Ledger { return s.ledger }

// Stats are the counts so far.
func (s *Simulator) Stats() Stats {
	out := s.tally.read()
	s.ledger.count(&out)
	return out
}

// SetApp makes an app known or changes it, as when a secret is rotated or a
// session expires. It holds from the next call on.
func (s *Simulator) SetApp(appKey string, app App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[appKey] = &app
}

// RemoveApp makes an app key unknown.
func (s *Simulator) RemoveApp(appKey string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, appKey)
}

// SetClockOffset puts the gateway's clock ahead of, or behind, its Clock.
func (s *Simulator) SetClockOffset(d time.Duration) { s.offset.Store(int64(d)) }

func (s *Simulator) now() time.Time { return s.cfg.Clock().Add(time.Duration(s.offset.Load())) }

func (s *Simulator) app(key string) (App, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if app, ok := s.apps[key]; ok {
		return *app, true
	}
	return App{}, false
}

// anyApp says whether the session is some app's.
func (s *Simulator) anyApp(session string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, app := range s.apps {
		if _, ok := app.Sessions[session]; ok {
			return true
		}
	}
	return false
}

// maxBody is more than any call needs. The real limit is not documented.
const maxBody = 1 << 20

// handle takes a call from its arrival to its answer, by whichever road it came.
// The only error is that the caller left, or Close.
func (s *Simulator) handle(ctx context.Context, in inbound) (reply, error) {
	switch {
	case in.path != routerPath:
		s.tally.reject(http.StatusNotFound)
		return edgeReply(http.StatusNotFound), nil
	case len(in.body) > maxBody && in.isRouted():
		s.tally.reject(http.StatusRequestEntityTooLarge)
		return edgeReply(http.StatusRequestEntityTooLarge), nil
	}
	c := &call{in: in, now: s.now(), xml: true}
	if p := s.check(c); p != nil {
		s.tally.reject(p.code)
		return s.answer(ctx, c, outcome{problem: p}, Behaviour{})
	}
	rule := s.pick(c, false)
	if rule == nil {
		return s.answer(ctx, c, s.ledger.grant(c), Behaviour{})
	}
	return s.misbehave(ctx, c, rule.behaviour)
}

// atTheDoor says whether a rule refuses the connection. It is asked before a
// byte of the call is read, so only rules without a word about calls match.
func (s *Simulator) atTheDoor() cut {
	if len(s.rules.all()) == 0 {
		return cutNone
	}
	rule := s.pick(&call{now: s.now(), number: s.doors.Add(1)}, true)
	if rule == nil {
		return cutNone
	}
	return rule.behaviour.door
}

// pick is the rule that strikes the call. A script goes by the clock without its
// offset: moving that is one of the things a test does while a script runs.
func (s *Simulator) pick(c *call, door bool) *Rule {
	rule := s.rules.pick(c, door, s.cfg.Clock, s.ledger.Member)
	if rule != nil {
		s.tally.fault()
	}
	return rule
}

// misbehave grants before or after the delay, or not at all.
func (s *Simulator) misbehave(ctx context.Context, c *call, b Behaviour) (reply, error) {
	var out outcome
	if b.after {
		out = s.ledger.grant(c)
	}
	if err := s.wait(ctx, b.delay); err != nil {
		return reply{}, err
	}
	c.now = s.now()
	switch {
	case b.after:
	case b.delays:
		out = s.ledger.grant(c)
	default:
		out = outcome{problem: &problem{code: 15, subCode: "isp.remote-service-error", subMsg: "服务不可用"}}
	}
	if b.says != nil {
		out = b.says(c.now)
	}
	return s.answer(ctx, c, out, b)
}

// answer turns an outcome into bytes.
func (s *Simulator) answer(ctx context.Context, c *call, out outcome, b Behaviour) (reply, error) {
	doc := s.newDocument(c, out)
	if b.edit != nil {
		b.edit(doc, c)
	}
	r := newReply(doc)
	if b.alter != nil {
		b.alter(&r)
	}
	if c.in.gzip && len(r.body) > 0 && r.header.Get("Content-Encoding") == "" { // a lie stays one
		r.zip()
	}
	if b.wire != nil {
		b.wire(&r)
	}
	if err := s.wait(ctx, s.latency()); err != nil {
		return reply{}, err
	}
	if c.entry != nil && r.isWhole() {
		c.entry.answers.Add(1)
	}
	return r, nil
}

func (s *Simulator) latency() time.Duration {
	if s.cfg.Spread == 0 {
		return s.cfg.Latency
	}
	return s.cfg.Latency + time.Duration(s.lot()%uint64(s.cfg.Spread+1))
}

// lot is the next random number of the seed.
func (s *Simulator) lot() uint64 { return mix(mix(s.cfg.Seed) + uint64(s.lots.Add(1))) }

// wait is over early with an error when the caller leaves or the simulator is
// closed.
func (s *Simulator) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errClosed
	}
}
