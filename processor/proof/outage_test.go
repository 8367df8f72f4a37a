//go:build chaos

package proof_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/processor/proof"
)

const (
	outageLasts  = time.Minute
	outageRate   = 100 // events a second
	outageQuiet  = 15 * time.Second
	openFor      = 2 * time.Second
	mostCalls    = 64 // in flight of each replica
	breakerLooks = 100 * time.Millisecond

	paceAfter = "0.9 of the pace before after s"
)

// untroubled is a gateway that does nothing wrong of its own accord, and
// everyoneGets a load of requests that it grants: whatever else they end in is
// the program's doing.
const untroubled = "# in good order\n"

func everyoneGets(e *proof.Event) (wanted bool) {
	e.Flaw, e.Request.CouponCode = proof.Flawless, "for-everyone"
	return !e.Repeat
}

// TestOutageOnKafka has the gateway hang up on everybody for a minute, and then
// fall silent for another.
func TestOutageOnKafka(t *testing.T) {
	c, dir := prepare(t, form{
		name: "outage on Kafka", real: true, brokers: 1, rate: outageRate, drain: shortDrain,
		gateway: gatewaySetup{Script: untroubled}, shape: everyoneGets,
		settings: map[string]string{"breaker.open_for": openFor.String(), "retry.give_up_after": "10m"},
	})
	looks := &breakerLooksOf{crew: c.crew, states: map[*member][]breakerLook{}}
	looking, stop := context.WithCancel(t.Context())
	looked := inBackground(looking, looks.run)
	var outages []outage
	c.underLoad(func() {
		require.NoError(t, within(readyToStrike, "no load", func() bool { return c.witness.ended() > outageRate*5 }))
		for _, fault := range []string{"refuse", "stall"} {
			outages = append(outages, c.outage(fault))
		}
	})
	stop()
	require.NoError(t, looked())
	r := c.judge()
	t.Log(r.summary())

	var runs []caseRun
	var measures []caseMeasure
	for i, o := range outages {
		runs = append(runs, caseRun{Pair: i + 1, Kind: o.fault, Began: o.during.from.UTC(), Figures: c.outageFigures(o, looks)})
		measures = append(measures, outageMeasures(o.fault)...)
	}
	runs = append(runs, caseRun{Pair: len(runs) + 1, Kind: together, Began: c.began.UTC(), Figures: map[string]float64{
		"violations": float64(total(r.Violations)), "failed": float64(totalOf(r.Ends.Failed)), "dead letters": float64(totalOf(r.Ends.DeadLetters)),
		"granted": float64(r.Ends.Granted), "requests": float64(r.Load.Requests),
	}})
	measures = append(measures,
		highest("promises broken", "violations").in(together).atMost(0),
		highest("requests failed", "failed").in(together).atMost(0),
		highest("dead letters", "dead letters").in(together).atMost(0),
		lowest("requests granted", "granted").in(together).atLeast(float64(r.Load.Requests)))
	c.conclude(c.troubled("outage", r, runs), measures, dir)
}

func totalOf(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// outage is one that happened.
type outage struct {
	fault  string
	before float64 // calls a second
	during span
	struck float64 // calls that arrived at the gateway
}

func (c *chaos) outage(fault string) outage {
	c.t.Helper()
	began := time.Now()
	time.Sleep(outageQuiet)
	o := outage{fault: fault, before: rateIn(c.calls.begun(nil), span{began, time.Now()})}
	o.during.from = time.Now()
	imposed, err := c.gateway.impose(map[string]any{"fault": fault})
	require.NoError(c.t, err)
	c.journal.write("%s begins", fault)
	time.Sleep(outageLasts)
	struck, err := imposed.struck()
	require.NoError(c.t, err)
	require.NoError(c.t, imposed.end())
	o.during.to, o.struck = time.Now(), float64(struck)
	c.journal.write("%s is over", fault)
	time.Sleep(2 * outageQuiet) // what has waited is worked off
	return o
}

// begun is when each call left its process, of one or of all.
func (l *callLog) begun(by *member) (times []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if by == nil || c.caller == by {
			times = append(times, c.began)
		}
	}
	return times
}

func outageMeasures(fault string) []caseMeasure {
	return []caseMeasure{
		lowest(fault+": breakers seen open", "breakers seen open").in(fault).atLeast(baseReplicas),
		highest(fault+": calls of a replica before its breaker was seen open, most", "calls before open, most").in(fault).atMost(mostCalls + 40),
		highest(fault+": calls beyond the probes while a breaker was not closed, most of a replica", "calls beyond probes").in(fault).atMost(0),
		highest(fault+": s until the fleet calls at 0.9 of the pace before, from its end", paceAfter).in(fault).atMost(5),
		highest(fault+": s until every breaker was seen closed, from its end", "all closed after s").in(fault).atMost(5),
		lowest(fault+": calls that it struck", "struck").in(fault).atLeast(1),
	}
}

func (c *chaos) outageFigures(o outage, looks *breakerLooksOf) map[string]float64 {
	c.t.Helper()
	after := span{o.during.to, o.during.to.Add(2 * outageQuiet)}
	calls := c.calls.begun(nil)
	figures := map[string]float64{
		"struck": o.struck, "calls a second before": o.before, "calls during": float64(len(o.during.among(calls))),
		"calls a second after, most": float64(mostWithin(after.among(calls), time.Second)), "breakers seen open": 0,
		"breakers seen half-open": 0, "calls before open, most": 0, "calls beyond probes": 0, "all closed after s": 0,
	}
	fast, ok := reaches(calls, o.during.to, 0.9*o.before)
	require.True(c.t, ok, "the pace before was never reached again")
	figures[paceAfter] = fast.Seconds()
	for _, m := range c.crew.living("") {
		c.breakerFigures(m, o, looks.of(m), after, figures)
	}
	return figures
}

// breakerFigures of one replica: how many it called before its breaker opened,
// and whether it called more often than it may probe from then on.
func (c *chaos) breakerFigures(m *member, o outage, looks []breakerLook, after span, figures map[string]float64) {
	var opened, closed time.Time
	var halfOpen bool
	for _, l := range looks {
		switch {
		case o.during.holds(l.at) && l.state == breaker.Open && opened.IsZero():
			opened = l.at
		case (o.during.holds(l.at) || after.holds(l.at)) && l.state != breaker.Closed:
			closed = l.at // no earlier
		}
		halfOpen = halfOpen || o.during.holds(l.at) && l.state == breaker.HalfOpen
	}
	if opened.IsZero() {
		return
	}
	figures["breakers seen open"]++
	figures["breakers seen half-open"] += indicator(halfOpen)
	calls := c.calls.begun(m)
	open := span{opened, o.during.to}
	before := float64(len(span{o.during.from, opened}.among(calls)))
	probes := float64(breaker.DefaultConfig().Probes) * float64(1+int(open.seconds()/openFor.Seconds()))
	made := float64(len(open.among(calls)))
	figures["calls before open, most"] = max(figures["calls before open, most"], before)
	figures["probes, most of a replica"] = max(figures["probes, most of a replica"], made)
	figures["probes allowed, each replica"] = probes
	figures["calls beyond probes"] = max(figures["calls beyond probes"], made-probes)
	figures["all closed after s"] = max(figures["all closed after s"], closed.Sub(o.during.to).Seconds())
}

// breakerLook is what a process showed of its breaker.
type breakerLook struct {
	at    time.Time
	state breaker.State
}

// breakerLooksOf looks at the breakers of all processes all the time.
type breakerLooksOf struct {
	crew *crew

	mu     sync.Mutex
	states map[*member][]breakerLook
}

func (b *breakerLooksOf) run(ctx context.Context) error {
	return every(ctx, breakerLooks, func() {
		for _, m := range b.crew.living("") {
			if text, _, err := m.get("/metrics"); err == nil && strings.Contains(string(text), "coupongrant_breaker_state ") {
				b.note(m, breaker.State(gaugeOf(text, "coupongrant_breaker_state")))
			}
		}
	})
}

func (b *breakerLooksOf) note(m *member, state breaker.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states[m] = append(b.states[m], breakerLook{time.Now(), state})
}

func (b *breakerLooksOf) of(m *member) []breakerLook {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states[m]
}
