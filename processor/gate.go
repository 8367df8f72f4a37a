package processor

import (
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// gate is closed to all calls while the gateway bans the app, and while the app
// is in trouble that only a person can mend: then one call now and then probes
// whether it is mended. The scheduler goroutine owns it.
type gate struct {
	bannedUntil time.Time

	trouble   *topclient.Error // nil: none
	nextProbe time.Time
}

// open says whether a call may start now, else how long to wait.
func (g *gate) open(now time.Time, inFlight int) (wait time.Duration, ok bool) {
	switch {
	case now.Before(g.bannedUntil):
		return g.bannedUntil.Sub(now), false
	case g.trouble == nil:
		return 0, true
	case now.Before(g.nextProbe):
		return g.nextProbe.Sub(now), false
	case inFlight > 0: // the probe, or a call from before
		return time.Second, false // the answer wakes the scheduler earlier
	default:
		return 0, true
	}
}

// closed says that nobody may call, but to probe.
func (g *gate) closed(now time.Time) bool { return g.trouble != nil || now.Before(g.bannedUntil) }

func (g *gate) ban(until time.Time, holds *holds) {
	if until.After(g.bannedUntil) {
		g.bannedUntil = until
		holds.Set(holdGateway, "limit", "the gateway limits our calls until "+until.UTC().Format(time.RFC3339)+
			": calls wait; raise the app's quota or lower gateway.rate if this comes often")
	}
}

// pause closes the gate until a probe finds the trouble gone.
func (g *gate) pause(trouble *topclient.Error, nextProbe time.Time, holds *holds) {
	g.trouble, g.nextProbe = trouble, nextProbe
	holds.Set(holdApp, "", appMend(trouble))
}

// started notes a call; while there is trouble, it is the probe, and the next
// one is due when this one finds nothing.
func (g *gate) started(now time.Time) {
	if g.trouble != nil {
		g.nextProbe = now.Add(probeApp)
	}
}

// ended notes an answer: any that does not refuse the app shows that it is
// accepted again, and any at all that the ban is over.
func (g *gate) ended(answer *topclient.Error, holds *holds) {
	if answer != nil && (answer.Canceled || answer.Throttled || answer.About == topclient.AboutApp) {
		return
	}
	if time.Now().After(g.bannedUntil) {
		holds.Clear(holdGateway, "limit")
	}
	if g.trouble != nil && (answer == nil || answer.About == topclient.AboutRequest) {
		g.trouble = nil
		holds.Clear(holdApp, "")
	}
}

// credentialsChanged probes at once: a person has just acted.
func (g *gate) credentialsChanged() { g.nextProbe = time.Time{} }

// appMend says which trouble it is and what a person can do.
func appMend(e *topclient.Error) string {
	mend := "see the gateway's documentation of the code"
	switch e.Code {
	case "no-credentials":
		mend = "check gateway.app_key, gateway.app_secret_file and gateway.session_file"
	case "24", "25":
		mend = "check gateway.app_secret_file and gateway.sign_method"
	case "26", "27", "44", "53":
		mend = "the session is missing, invalid or expired: authorise again and replace the content of gateway.session_file"
	case "28", "29":
		mend = "check gateway.app_key, and that gateway.url is of the environment it belongs to"
	case "30", "31":
		mend = "check this host's clock: the gateway takes timestamps within 10 minutes"
	case "11", "12", "13":
		mend = "the app lacks the permission for this API, or this host's address is not on its white list: ask for it in the app's console"
	case "21", "22":
		mend = "the API may be withdrawn: check that the app is subscribed to it"
	case "40", "41":
		mend = "the gateway does not accept what this version sends: update coupongrant"
	}
	sub := ""
	if e.SubCode != "" {
		sub = " (" + e.SubCode + ")"
	}
	return fmt.Sprintf("the gateway refuses our app with code %s%s: %s; no request fails meanwhile", e.Code, sub, mend)
}
