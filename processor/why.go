package processor

import (
	"fmt"
	"strings"
	"time"
)

// moment is what all say of one moment, put together by who looks.
type moment struct {
	now        time.Time
	holds      []Hold
	session    *sessionView
	scheduler  *schedulerView
	committing time.Duration // how long a transaction has been under way; 0: none is

	maxInFlight int
	fleetRate   float64
}

// moment looks. Where no session runs nothing is held, and what is known is the
// last sign of life of who builds the next.
func (p *Processor) moment() *moment {
	now := time.Now()
	m := &moment{
		now: now, holds: p.holds.Current(), session: p.sight.session.Load(), scheduler: p.sight.scheduler.Load(),
		maxInFlight: p.cfg.MaxInFlight, fleetRate: p.cfg.Rate,
	}
	if began := p.sight.committing.Load(); began != 0 {
		m.committing = now.Sub(time.Unix(0, began))
	}
	if m.session == nil {
		m.session = &sessionView{at: p.watchdog.lastPass()}
	}
	if m.scheduler == nil {
		m.scheduler = &schedulerView{at: m.session.at}
	}
	return m
}

// patience is how long something may take before it is said that it waits:
// calls, transactions and fetches end well within it.
const patience = time.Second

// fetched is how long records can be at the brokers and not here: what has not
// come in this time is markers, and records of aborted transactions.
const fetched = 10 * fetchMaxWait

// hold is the reason of the first hold of a kind, where one is given: there. Where none is
// given, it is about partitions that are open.
func (m *moment) hold(kind string, where ...string) string {
	for _, h := range m.holds {
		if h.Kind == kind && (len(where) == 0 && h.Where != whereOffsets || len(where) > 0 && h.Where == where[0]) {
			return h.Reason
		}
	}
	return ""
}

// supplyOf is what the scheduler knows of a partition, nil: nothing.
func (m *moment) supplyOf(p *partitionView) *supplyView {
	if sup, ok := m.scheduler.supplies[p.partition]; ok && sup.epoch == p.epoch {
		return &sup
	}
	return nil
}

// oldest is the oldest record of a partition that has no committed end, nil if
// there is none or it is on its way between two that know it.
func (m *moment) oldest(p *partitionView) *taskView {
	if p.live == 0 {
		return nil
	}
	if p.ended != nil {
		return p.ended
	}
	if p.undecoded != nil && p.undecoded.offset == p.oldest {
		return p.undecoded
	}
	if sup := m.supplyOf(p); sup != nil && sup.oldest != nil && sup.oldest.offset == p.oldest {
		return sup.oldest
	}
	return nil
}

// untaken is how many records are known to be at the brokers only.
func (m *moment) untaken(p *partitionView) int64 {
	held := p.full || p.withheld || m.heldAt(p.partition) != "" || m.hold(holdKafka) != ""
	if p.logEnd <= p.next || !held && m.now.Sub(p.newest) > fetched {
		return 0
	}
	return p.logEnd - p.next
}

// heldAt is why a partition by itself is held, or its outcomes are.
func (m *moment) heldAt(p partition) string {
	where, results := p.String(), whereResultsOf(p)
	for _, h := range m.holds {
		if h.Where == where || h.Where == results {
			return h.Reason
		}
	}
	return ""
}

// why is the sentence for one partition: why its oldest record has no committed
// end, or why nothing more is taken in. Empty: nothing waits.
func (m *moment) why(p *partitionView) string {
	if reason := m.heldAt(p.partition); reason != "" {
		return "held: " + reason
	}
	if p.live == 0 && m.untaken(p) == 0 {
		return ""
	}
	if reason := m.hold(holdKafka); reason != "" {
		return reason
	}
	why := m.whyOldest(p)
	if p.full {
		return strings.TrimSuffix(fmt.Sprintf("window full (%d unfinished, %d KiB), nothing more is taken in until half of it has ended: %s", p.live, p.bytes>>10, why), ": ")
	}
	return why
}

func (m *moment) whyOldest(p *partitionView) string {
	t := m.oldest(p)
	switch {
	case p.live == 0:
		return "" // it is being fetched
	case p.ended != nil:
		return m.whyUncommitted("its results wait", p.endedAt)
	case t == nil: // it has ended, and the session has not heard of it yet
		return m.whyUncommitted("its results wait", m.session.at)
	case t == p.undecoded:
		if m.now.Sub(t.taken) < patience {
			return ""
		}
		return fmt.Sprintf("its oldest record (offset %d) waits to be decoded", t.offset)
	}
	name := fmt.Sprintf("its oldest request %s (offset %d)", t.id, t.offset)
	if t.id == "" {
		name = fmt.Sprintf("its oldest record (offset %d)", t.offset)
	}
	return m.whyTask(t, name)
}

// whyUncommitted says why something has waited for a transaction since then.
func (m *moment) whyUncommitted(what string, since time.Time) string {
	for _, reason := range []string{m.hold(holdTransaction), m.hold(holdTopic, whereResults), m.hold(holdMetadata, ""), m.hold(holdKafka)} {
		if reason != "" {
			return what + ": " + reason
		}
	}
	switch v := m.session; {
	case m.committing >= patience:
		return fmt.Sprintf("%s for a transaction that has been under way for %s: the brokers are slow to answer", what, spell(m.committing))
	case m.now.Sub(since) < patience:
		return ""
	case v.joining:
		return what + " until the group is joined anew: a rebalance is under way"
	case v.failures > 0:
		return fmt.Sprintf("%s for the next transaction: %d in a row did not commit", what, v.failures)
	default:
		return what + " for the next transaction"
	}
}

// whyTask says why a request that is with the scheduler has no end.
func (m *moment) whyTask(t *taskView, name string) string {
	switch t.state {
	case taskCalled:
		if m.now.Sub(t.since) < patience {
			return ""
		}
		return fmt.Sprintf("%s is being called for %s, attempt %d%s", name, spell(m.now.Sub(t.since)), t.attempts+1, lastAnswer(t))
	case taskReleased:
		return name + " waits for its next owner: the partition moves to another replica"
	case taskBehind:
		return m.whyBehind(t, name)
	case taskParked:
		return fmt.Sprintf("%s is parked after %d attempts, and due at %s (in %s)", name, t.attempts, t.due.UTC().Format(time.RFC3339), spell(t.due.Sub(m.now)))
	case taskLater:
		if m.now.Sub(t.taken) < patience {
			return ""
		}
		if v := m.scheduler; v.trouble[0] != "" || v.bannedUntil.After(m.now) { // it stepped back behind all the others
			return name + " waits, as all do: " + m.whyGate()
		}
		return fmt.Sprintf("%s is called again in %s, after %d attempts%s", name, spell(t.due.Sub(m.now)), t.attempts, lastAnswer(t))
	case taskSchema:
		why := fmt.Sprintf("%s waits for schema %d from the registry", name, t.need)
		if reason := m.hold(holdRegistry, whereSchemas); reason != "" {
			return why + ": " + reason
		}
		return m.ifLong(t, why)
	case taskCeiling:
		return m.whyUncommitted(name+" may be called when a transaction has raised the ceiling: it waits", t.taken)
	case taskTurn:
		return m.whyBarrier(t, name)
	default:
		return ""
	}
}

func (m *moment) whyBehind(t *taskView, name string) string {
	ahead := "the request " + t.ahead.id
	if t.ahead.id == "" {
		ahead = "the record"
	}
	why := fmt.Sprintf("%s waits for %s (offset %d), which is before it in the order of its key", name, ahead, t.ahead.offset)
	if reason := m.whyTask(t.ahead, ahead); reason != "" {
		why += ": " + reason
	}
	return why
}

// whyBarrier says why no call starts for a request whose time has come.
func (m *moment) whyBarrier(t *taskView, name string) string {
	v := m.scheduler
	switch v.barrier {
	case barrierSlots:
		return m.ifLong(t, fmt.Sprintf("%s waits for a call slot: all %d of gateway.max_in_flight are in use", name, m.maxInFlight))
	case barrierGate:
		return name + " waits, as all do: " + m.whyGate()
	case barrierQuota:
		for _, reason := range []string{m.hold(holdKafka, whereQuota), m.hold(holdGateway, whereBudget)} {
			if reason != "" {
				return name + " waits for quota: " + reason
			}
		}
		return m.ifLong(t, fmt.Sprintf("%s waits for quota: this replica may make %.3g calls a second, its share of gateway.rate (%.3g)", name, v.rate, m.fleetRate))
	case barrierBreaker:
		return fmt.Sprintf("%s waits for the gateway: the breaker is not closed, next probe in %s", name, spell(v.until.Sub(m.now)))
	case barrierStopping:
		return name + " waits for its next owner: this replica stops"
	case barrierNone:
	}
	return m.ifLong(t, name+" waits for its turn to be called")
}

// whyGate says why all calls are stopped.
func (m *moment) whyGate() string {
	if reason := m.hold(holdGateway, whereBan); reason != "" && m.scheduler.bannedUntil.After(m.now) {
		return reason
	}
	reason := m.hold(holdApp)
	if reason == "" {
		return "the gate has just been opened"
	}
	if left := m.scheduler.nextProbe.Sub(m.now); left > 0 {
		return fmt.Sprintf("all calls are stopped, next probe in %s: %s", spell(left), reason)
	}
	return "all calls are stopped, a probe is under way: " + reason
}

// ifLong says it of what has waited for long enough to be said.
func (m *moment) ifLong(t *taskView, why string) string {
	if m.now.Sub(t.taken) < patience {
		return ""
	}
	return why
}

func lastAnswer(t *taskView) string {
	if t.lastAnswer == "" {
		return ""
	}
	return ", last answer " + t.lastAnswer
}
