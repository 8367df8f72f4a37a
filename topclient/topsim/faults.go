package topsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Groups of faults, in the order of Faults.
const (
	GroupConnection  = "connection"
	GroupHTTP        = "http"
	GroupEnvelope    = "envelope"
	GroupPlatform    = "platform"
	GroupBackend     = "backend"
	GroupBusiness    = "business"
	GroupCredentials = "credentials"
)

// afterSuffix is of a fault that exists before the grant too.
const afterSuffix = "-after-grant"

// Fault is a Behaviour with a name, for tests, scripts, the control API and the
// documentation.
type Fault struct {
	Name       string    `json:"name"`
	Group      string    `json:"group"`
	AfterGrant bool      `json:"after_grant"` // false: nothing is granted, or not yet
	Text       string    `json:"text"`        // what a caller sees, in one sentence
	Behaviour  Behaviour `json:"-"`
}

// Faults is everything that can go wrong here, by group.
func Faults() []Fault {
	return slices.Concat(
		connectionFaults(), httpFaults(), envelopeFaults(),
		platformFaults(), backendFaults(), businessFaults(), credentialFaults(),
	)
}

func newFault(group, text string, b Behaviour) Fault {
	return Fault{Name: b.name, Group: group, AfterGrant: b.after, Text: text, Behaviour: b}
}

// both is a fault before the grant, and the same after it.
func both(group, text string, b Behaviour) []Fault {
	return []Fault{newFault(group, text, b), newFault(group, text, b.AfterGrant())}
}

func named(name string, b Behaviour) Behaviour {
	b.name = name
	return b
}

// Parse reads a fault's name, or one of these, whose argument is free:
//
//	stall DURATION        silence, then as usual (default: stall for an hour)
//	throttle N/s          code 7 beyond N calls a second
//	ban DURATION          code 7
//	error CODE [SUB_CODE] any platform code
//	business CODE [FORM]  any code of the service, in one of Forms
//	http STATUS           a page of the machines before the gateway
//
// Each may end in -after-grant, as in "stall-after-grant 5s".
func Parse(text string) (Behaviour, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Behaviour{}, fmt.Errorf("no fault is named")
	}
	if f, ok := faultNamed(words[0]); ok && len(words) == 1 {
		return f.Behaviour, nil
	}
	verb, after := strings.CutSuffix(words[0], afterSuffix)
	if _, known := faultNamed(verb); known && after && len(words) == 1 {
		return Behaviour{}, fmt.Errorf("%q has no second kind after the grant", verb)
	}
	b, err := parseVerb(verb, words[1:])
	if err != nil {
		return Behaviour{}, err
	}
	if after {
		b = b.AfterGrant()
	}
	return b, nil
}

func faultNamed(name string) (Fault, bool) {
	for _, f := range Faults() {
		if f.Name == name {
			return f, true
		}
	}
	return Fault{}, false
}

// MustParse is Parse for texts in code: it panics on a wrong one.
func MustParse(text string) Behaviour {
	b, err := Parse(text)
	if err != nil {
		panic("topsim: " + err.Error())
	}
	return b
}

func parseVerb(verb string, args []string) (Behaviour, error) {
	parse, known := map[string]func([]string) (Behaviour, error){
		"stall":    parseStall,
		"ban":      parseBan,
		"throttle": parseThrottle,
		"error":    parseError,
		"business": parseBusiness,
		"http":     parseStatus,
	}[verb]
	if !known && len(args) > 0 {
		return Behaviour{}, fmt.Errorf("%q takes no %q", verb, args[0])
	}
	if !known {
		return Behaviour{}, fmt.Errorf("no fault %q%s", verb, suggestion(verb))
	}
	if len(args) == 0 || len(args) > 2 {
		return Behaviour{}, fmt.Errorf("%s takes an argument, as in %q", verb, verbExample(verb))
	}
	b, err := parse(args)
	if err != nil {
		return Behaviour{}, fmt.Errorf("%s: %w, as in %q", verb, err, verbExample(verb))
	}
	return b, nil
}

func verbExample(verb string) string {
	return map[string]string{
		"stall": "stall 3s", "ban": "ban 71s", "throttle": "throttle 50/s",
		"error": "error 15 isp.system-busy", "business": "business -7 F4-code", "http": "http 503",
	}[verb]
}

// suggestion names a fault that contains the word.
func suggestion(word string) string {
	for _, f := range Faults() {
		if strings.Contains(f.Name, word) {
			return fmt.Sprintf("; is it %q?", f.Name)
		}
	}
	return ""
}

func parseStall(args []string) (Behaviour, error) {
	d, err := positive(args)
	return Stall(d), err
}

func parseBan(args []string) (Behaviour, error) {
	d, err := positive(args)
	return Ban(d), err
}

func positive(args []string) (time.Duration, error) {
	d, err := time.ParseDuration(args[0])
	if err != nil || d <= 0 || len(args) > 1 {
		return 0, fmt.Errorf("%q is no duration above 0", strings.Join(args, " "))
	}
	return d, nil
}

func parseThrottle(args []string) (Behaviour, error) {
	number, hasUnit := strings.CutSuffix(args[0], "/s")
	n, err := strconv.Atoi(number)
	if err != nil || !hasUnit || n < 1 || len(args) > 1 {
		return Behaviour{}, fmt.Errorf("%q is no rate", strings.Join(args, " "))
	}
	return Throttle(n), nil
}

func parseError(args []string) (Behaviour, error) {
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return Behaviour{}, fmt.Errorf("%q is no code", args[0])
	}
	return Error(code, strings.Join(args[1:], ""), ""), nil
}

func parseBusiness(args []string) (Behaviour, error) {
	code, err := strconv.Atoi(args[0])
	if err != nil || code == 0 {
		return Behaviour{}, fmt.Errorf("%q is no code", args[0])
	}
	form := Form(strings.Join(args[1:], ""))
	if form != "" && !knownForm(form) {
		return Behaviour{}, fmt.Errorf("%q is none of the forms", form)
	}
	return Business(code, form), nil
}

func parseStatus(args []string) (Behaviour, error) {
	status, err := strconv.Atoi(args[0])
	if err != nil || status < 200 || status > 599 || len(args) > 1 {
		return Behaviour{}, fmt.Errorf("%q is no status from 200 to 599", strings.Join(args, " "))
	}
	return edgeBehaviour("http "+args[0], status), nil
}
