package topsim

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Behaviour is how the gateway treats a call that passed every check. The zero
// value is as it should be.
//
// It strikes before the grant, and nothing is granted, or after it. Each
// constructor and fault says which; AfterGrant makes one of the other kind.
type Behaviour struct {
	name   string
	after  bool
	delays bool                         // it only takes time: the call then goes on as usual
	delay  time.Duration                // before the answer, and before the grant unless after
	door   cut                          // before a byte of the call is read, instead of everything else
	rate   int                          // calls a second that are spared; 0: none
	says   func(now time.Time) outcome  // instead of the truth; nil: the truth
	edit   func(doc *document, c *call) // of the answer
	alter  func(r *reply)               // of its bytes, before they are packed
	wire   func(r *reply)               // of what leaves
}

// String is its name, which Parse reads.
func (b Behaviour) String() string { return b.name }

// AfterGrant is the same behaviour after the grant: the coupon is the member's,
// whatever the caller then sees.
func (b Behaviour) AfterGrant() Behaviour {
	if b.after {
		return b
	}
	verb, argument, hasArgument := strings.Cut(b.name, " ")
	b.name = verb + afterSuffix
	if hasArgument {
		b.name += " " + argument
	}
	b.after = true
	return b
}

// Stall is silence for d before the grant. A caller that is still there then is
// served as usual; one that has left was granted nothing. After the grant the
// coupon is given first, and the answer comes d later.
func Stall(d time.Duration) Behaviour {
	return Behaviour{name: "stall " + d.String(), delays: true, delay: d}
}

// LoseAnswer grants, and resets the connection instead of answering.
func LoseAnswer() Behaviour {
	return Behaviour{name: "lost-answers", after: true, wire: func(r *reply) { r.cut = cutReset }}
}

// Error refuses with a platform code before the grant. Empty texts are left out
// of the answer.
func Error(code int, subCode, subMsg string) Behaviour {
	name := "error " + strconv.Itoa(code)
	if subCode != "" {
		name += " " + subCode
	}
	return problemBehaviour(name, problem{code: code, subCode: subCode, subMsg: subMsg})
}

// Ban refuses with code 7 and a ban of d, rounded up to seconds.
func Ban(d time.Duration) Behaviour {
	return problemBehaviour("ban "+d.String(), *ban("app-api-access-count", d))
}

// Throttle lets some calls a second pass, by the gateway's clock, and refuses
// the others with code 7 until the next second.
func Throttle(perSecond int) Behaviour {
	b := problemBehaviour("throttle "+strconv.Itoa(perSecond)+"/s", *ban("app-api-access-count", time.Second))
	b.rate = max(perSecond, 1)
	return b
}

// Business refuses with one of the service's own codes in a form. Empty is F1.
func Business(code int, form Form) Behaviour {
	form = cmp.Or(form, formDefault)
	out := outcome{business: code, form: form}
	return Behaviour{
		name: "business " + strconv.Itoa(code) + " " + string(form),
		says: func(time.Time) outcome { return out },
	}
}

func problemBehaviour(name string, p problem) Behaviour {
	return Behaviour{name: name, says: func(time.Time) outcome { return outcome{problem: &p} }}
}

// edgeBehaviour answers with a page of the machines before the gateway.
func edgeBehaviour(name string, status int) Behaviour {
	return Behaviour{name: name, alter: func(r *reply) { *r = edgeReply(status) }}
}

// cutBehaviour ends the connection.
func cutBehaviour(name string, how cut) Behaviour {
	return Behaviour{name: name, wire: func(r *reply) { r.cut = how }}
}

// editBehaviour changes a true answer, and so strikes after the grant.
func editBehaviour(name string, edit func(doc *document, c *call)) Behaviour {
	return Behaviour{name: name, after: true, edit: edit}
}
