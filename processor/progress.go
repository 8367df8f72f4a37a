package processor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// progress sees that nothing moves although something could, whatever the reason:
// a replica that beats its heart and does nothing is not ready. It looks every
// lookEvery, from the watchdog's goroutine, which depends on nobody it looks at.
//
// Four things must go on, each within a bound of its own:
//
//   - Answers, while a request is called, or could be: within gateway.timeout, by
//     when a call that began has its answer or is given up. An answer that says
//     only that nobody can be called now, or not our app, is none; those are holds
//     as soon as they are certain.
//   - Transactions, while results wait, or requests wait for a ceiling: within
//     kafka.session_timeout, which is what the group takes to get over the loss of
//     a member. A transaction by itself takes milliseconds.
//   - The passes of session and of scheduler. The first waits for the brokers for
//     as long as a transaction, the second for nobody.
//
// What another hold explains is not told again, and does not count: it is counted
// anew from its end. Time in which this process was stopped does not count either.
// What waits for its share of gateway.rate moves by itself, however slowly.
type progress struct {
	holds   *holds
	bounds  [stallKinds]time.Duration
	waiting [stallKinds]stall
	looked  time.Time
}

// What can stall.
const (
	stallAnswers = iota
	stallCommits
	stallSession
	stallScheduler
	stallKinds
)

// slack is how much later than the bound it is said: views are up to a second
// old, and a call that was given up is a moment on its way.
const slack = 2 * time.Second

func newProgress(cfg Config, h *holds) *progress {
	return &progress{holds: h, bounds: [stallKinds]time.Duration{
		stallAnswers: cfg.CallTimeout + slack, stallCommits: cfg.SessionTimeout + slack,
		stallSession: cfg.SessionTimeout + slack, stallScheduler: longestTick + slack,
	}}
}

// stall is since when something waits and nothing comes of it.
type stall struct {
	since time.Time
	count int64 // of what should come
}

// look states or ends the hold. answers and commits are how many have come.
func (g *progress) look(m *moment, answers, commits int64) {
	stopped := m.now.Sub(g.looked) > longestTick
	g.looked = m.now
	explained := slices.ContainsFunc(m.holds, func(h Hold) bool { return h.Kind != holdStalled })
	work, counts := m.work(), [stallKinds]int64{answers, commits, m.session.at.UnixNano(), m.scheduler.at.UnixNano()}
	var told []string
	for kind := range stallKinds {
		w := &g.waiting[kind]
		if stopped || explained || !work[kind] || counts[kind] != w.count {
			w.since, w.count = m.now, counts[kind]
		}
		if lasts := m.now.Sub(w.since); lasts >= g.bounds[kind] {
			told = append(told, m.stalled(kind, lasts))
		}
	}
	if len(told) == 0 {
		g.holds.Clear(holdStalled, "")
		return
	}
	g.holds.Set(holdStalled, "", strings.Join(told, "; "))
}

// work says what should go on. Without a session nothing should, and a hold says
// what it waits for.
func (m *moment) work() (work [stallKinds]bool) {
	results := slices.ContainsFunc(m.session.partitions, func(p partitionView) bool { return p.results > 0 && !p.withheld })
	work[stallAnswers] = m.scheduler.callable > 0 && m.scheduler.barrier != barrierQuota
	work[stallCommits] = results || m.scheduler.blocked > 0
	work[stallSession], work[stallScheduler] = true, m.scheduler.supplies != nil
	return work
}

func (m *moment) stalled(kind int, lasts time.Duration) string {
	switch kind {
	case stallAnswers:
		return fmt.Sprintf("nothing has moved for %s although %d requests could be called: %s; calls go on by themselves, check gateway.url and the gateway if this lasts", spell(lasts), m.scheduler.callable, m.longest())
	case stallCommits:
		return fmt.Sprintf("no transaction has committed for %s although some should: %s; check the brokers and the group if this lasts", spell(lasts), m.longest())
	case stallSession:
		return fmt.Sprintf("the session has not passed for %s (it waits for the brokers, or is stuck): check the brokers; this process ends by itself if it stays so", spell(lasts))
	default:
		return fmt.Sprintf("the scheduler has not passed for %s: no call starts; restart this replica if it stays so", spell(lasts))
	}
}

// longest is the sentence of the partition whose oldest record has waited longest.
func (m *moment) longest() string {
	var oldest time.Time
	sentence := "no partition says why"
	for i := range m.session.partitions {
		p := &m.session.partitions[i]
		why, t := m.why(p), m.oldest(p)
		if why != "" && t != nil && (oldest.IsZero() || t.written.Before(oldest)) {
			oldest, sentence = t.written, "in "+p.String()+" "+why
		}
	}
	return sentence
}
