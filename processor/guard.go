package processor

import (
	"fmt"
	"strings"

	"github.com/coupongrant/coupongrant/topclient"
)

// guard is against a mistake of our own: when most of what we send is refused as
// wrong, it is not the members who are wrong, and none may fail for it. It then
// shuts the gate, which it is a part of, but for a probe now and then.
//
// It shuts above one half and opens at a quarter: probes are not failed either,
// and one after the other must be answered well until most of the last answers
// are. What comes and goes, or is half wrong, therefore stays shut instead of
// failing some in each round.
type guard struct {
	accept bool // a person has said that the refusals are right
	shut   bool

	last  [guardAnswers]bool // a ring of answers; true: refused as wrong
	seen  int                // so far
	wrong int                // of those in the ring
}

const (
	guardAnswers = 100
	guardShuts   = guardAnswers / 2 // more than so many are wrong
	guardOpens   = guardAnswers / 4 // no more than so many are wrong
)

// refusedAsWrong says that an answer refuses what we send, and neither the
// member nor our app: arguments, and words of the service for a mistake of the
// caller's that are none of its business codes.
func refusedAsWrong(answer *topclient.Error) bool {
	if answer == nil || answer.Business != "" || answer.Canceled || answer.Throttled {
		return false
	}
	switch answer.About {
	case topclient.AboutRequest:
		return true // all refusals of the request that are no business code
	case topclient.AboutUnknown:
		return strings.HasPrefix(answer.SubCode, "isv.")
	case topclient.AboutGateway, topclient.AboutApp:
	}
	return false
}

// note counts an answer. Only what the service says of a request counts: silence,
// limits and refusals of the app tell nothing of what we send.
func (g *guard) note(answer *topclient.Error) {
	wrong := refusedAsWrong(answer)
	if g.accept || !wrong && answer != nil && answer.About != topclient.AboutRequest {
		return
	}
	place := &g.last[g.seen%guardAnswers]
	if *place {
		g.wrong--
	}
	if *place = wrong; wrong {
		g.wrong++
	}
	g.seen++
	if g.shut {
		g.shut = g.wrong > guardOpens
	} else {
		g.shut = g.seen >= guardAnswers && g.wrong > guardShuts
	}
}

// keeps says that a request is not to end by an answer.
func (g *guard) keeps(answer *topclient.Error) bool { return g.shut && refusedAsWrong(answer) }

func (g *guard) mend(answer *topclient.Error) string {
	last := ""
	if refusedAsWrong(answer) {
		last = ", the last with code " + answer.Code
		if answer.SubCode != "" {
			last += " (" + answer.SubCode + ")"
		}
	}
	return fmt.Sprintf("%d of the last %d answers refuse what we send as wrong%s: that points to a mistake of this program or of who fills the requests, not of the members; no request fails meanwhile, one call every %s tries again, and all go on by themselves when the answers are good again; update coupongrant or have the requests mended, or, if they are right to be refused, start once with --accept-refusals",
		g.wrong, guardAnswers, last, short(probeApp))
}
