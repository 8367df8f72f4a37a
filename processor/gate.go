package processor

import (
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// gate is closed to all calls while the gateway bans the app, and while there is
// trouble that only a person can mend, with the app or with what we send: then
// one call now and then probes whether it is mended. It outlives sessions, so that
// one that is built anew does not let through what the one before had stopped: a
// call for each slot, to an app that is refused or banned. The scheduler goroutine
// of the moment owns it.
type gate struct {
	bannedUntil time.Time

	trouble   *topclient.Error // with the app; nil: none
	guard     *guard
	nextProbe time.Time
	renewed   time.Time // when credentials changed last
}

// open says whether a call may start now, else how long to wait.
func (g *gate) open(now time.Time, inFlight int) (wait time.Duration, ok bool) {
	switch {
	case now.Before(g.bannedUntil):
		return g.bannedUntil.Sub(now), false
	case !g.probes():
		return 0, true
	case now.Before(g.nextProbe):
		return g.nextProbe.Sub(now), false
	case inFlight > 0: // the probe, or a call from before
		return time.Second, false // the answer wakes the scheduler earlier
	default:
		return 0, true
	}
}

// probes says that a call is a probe.
func (g *gate) probes() bool { return g.trouble != nil || g.guard.shut }

// closed says that nobody may call, but to probe.
func (g *gate) closed(now time.Time) bool { return g.probes() || now.Before(g.bannedUntil) }

// troubles are the kinds of what it is closed for; empty: none.
func (g *gate) troubles() (kinds [2]string) {
	if g.trouble != nil {
		kinds[0] = troubleOf(g.trouble).kind
	}
	if g.guard.shut {
		kinds[1] = troubleRefusals
	}
	return kinds
}

// tell states all that it is closed for, to a new session.
func (g *gate) tell(holds *holds) {
	if g.trouble != nil {
		holds.Set(holdApp, "", appMend(g.trouble))
	}
	if now := time.Now(); now.Before(g.bannedUntil) {
		holds.Set(holdGateway, whereBan, banMend(now, g.bannedUntil))
	}
	g.tellGuard(nil, holds)
}

func (g *gate) ban(until time.Time, holds *holds) {
	if until.After(g.bannedUntil) {
		g.bannedUntil = until
		holds.Set(holdGateway, whereBan, banMend(time.Now(), until))
	}
}

// pause closes the gate until a probe finds the trouble gone. A call that began
// before the credentials changed tells nothing of the new ones.
func (g *gate) pause(trouble *topclient.Error, began, nextProbe time.Time, holds *holds) {
	g.trouble, g.nextProbe = trouble, nextProbe
	if began.Before(g.renewed) {
		g.nextProbe = time.Time{}
	}
	holds.Set(holdApp, "", appMend(trouble))
}

// started notes a call; while there is trouble, it is the probe, and the next
// one is due when this one finds nothing.
func (g *gate) started(now time.Time) {
	if g.probes() {
		g.nextProbe = now.Add(probeApp)
	}
}

// look ends the hold of a ban that is over, also where there is nobody left to call.
func (g *gate) look(now time.Time, holds *holds) {
	if !now.Before(g.bannedUntil) {
		holds.Clear(holdGateway, whereBan)
	}
}

// ended notes an answer: a grant, or one about the request, shows that the app is
// accepted again.
func (g *gate) ended(answer *topclient.Error, holds *holds) {
	g.watch(answer, holds)
	if unsent(answer) { // if it was to be the probe, another is
		if g.probes() {
			g.nextProbe = time.Time{}
		}
		return
	}
	if g.trouble != nil && (answer == nil || answer.About == topclient.AboutRequest) {
		g.trouble = nil
		holds.Clear(holdApp, "")
	}
}

// watch has the guard note an answer. A probe that is answered well is followed
// by the next at once.
func (g *gate) watch(answer *topclient.Error, holds *holds) {
	before := g.guard.shut
	g.guard.note(answer)
	switch {
	case !g.guard.shut:
		if before {
			holds.Clear(holdApp, troubleRefusals)
		}
	case !before:
		g.nextProbe = time.Now().Add(probeApp)
		g.tellGuard(answer, holds)
	case g.guard.keeps(answer):
		g.tellGuard(answer, holds)
	case answer == nil || answer.About == topclient.AboutRequest:
		g.nextProbe = time.Time{}
	}
}

// tellGuard states the guard's hold, where it is shut.
func (g *gate) tellGuard(answer *topclient.Error, holds *holds) {
	if g.guard.shut {
		holds.Set(holdApp, troubleRefusals, g.guard.mend(answer))
	}
}

// credentialsChanged probes at once: a person has just acted. The guard's probes
// have nothing to do with it.
func (g *gate) credentialsChanged(now time.Time) {
	g.renewed = now
	if g.trouble != nil {
		g.nextProbe = time.Time{}
	}
}
