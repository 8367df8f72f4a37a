package topsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxControlBody   = 64 << 10
	defaultPageLimit = 1000
	maxPageLimit     = 10_000
)

// Control is the HTTP interface for whoever tests with a simulator in another
// process; doc.go has its table. It changes what the gateway does and shows the
// ledger, and asks for no password: bind it to loopback.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"GET /control/ledger":        s.controlLedger,
		"GET /control/stats":         func(*http.Request) (any, error) { return s.Stats(), nil },
		"GET /control/faults":        func(*http.Request) (any, error) { return Faults(), nil },
		"GET /control/rules":         func(*http.Request) (any, error) { return s.rules.read(), nil },
		"POST /control/rules":        s.controlAddRule,
		"DELETE /control/rules/{id}": s.controlRemoveRule,
		"POST /control/script":       s.controlScript,
		"POST /control/clock":        s.controlClock,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answerControl(w, r, handle) })
	}
	// A page in a browser on this machine could reach loopback too.
	return http.NewCrossOriginProtection().Handler(mux)
}

// controlError is a caller's mistake; any other error is ours.
type controlError struct {
	status int
	text   string
}

func (e *controlError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &controlError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func answerControl(w http.ResponseWriter, r *http.Request, handle func(*http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
	answer, err := handle(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusInternalServerError
		if mine, ok := errors.AsType[*controlError](err); ok {
			status = mine.status
		}
		w.WriteHeader(status)
		answer = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer) // an error means that the caller left
}

func (s *Simulator) controlLedger(r *http.Request) (any, error) {
	limit := defaultPageLimit
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPageLimit {
			return nil, badRequest("limit is %q: 1 to %d", text, maxPageLimit)
		}
		limit = n
	}
	page, ok := s.ledger.Page(r.FormValue("after"), limit)
	if !ok {
		return nil, badRequest("after is %q: not the next of a page", r.FormValue("after"))
	}
	return page, nil
}

// askedRule is a rule as it is asked for.
type askedRule struct {
	Fault string `json:"fault"`           // as Parse takes it
	Times *int64 `json:"times,omitempty"` // how often, or how often still; absent: always
	Match
}

// shownRule is a rule as it is shown.
type shownRule struct {
	ID     int64  `json:"id"`
	Count  int64  `json:"count"` // calls it struck
	Script bool   `json:"script,omitempty"`
	From   string `json:"from,omitempty"` // of a script's line
	To     string `json:"to,omitempty"`
	askedRule
}

func (s *rules) read() []shownRule {
	out := []shownRule{}
	for _, r := range s.all() {
		shown := shownRule{
			ID: r.id, Count: r.Count(), Script: r.scripted,
			askedRule: askedRule{Fault: r.behaviour.name, Match: *r.match},
		}
		if left := r.left.Load(); left != always {
			shown.Times = &left
		}
		if r.scripted {
			shown.From = r.from.String()
		}
		if r.to != 0 {
			shown.To = r.to.String()
		}
		out = append(out, shown)
	}
	return out
}

func (s *Simulator) controlAddRule(r *http.Request) (any, error) {
	var asked askedRule
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	b, err := Parse(asked.Fault)
	switch {
	case err != nil:
		return nil, badRequest("%s", err)
	case !(asked.Probability >= 0 && asked.Probability <= 1):
		return nil, badRequest("probability is %g: 0 to 1", asked.Probability)
	case asked.Times != nil && *asked.Times < 1:
		return nil, badRequest("times is %d: 1 or more", *asked.Times)
	}
	rule := s.On(asked.Match, b)
	if asked.Times == nil {
		rule.Always()
	} else {
		rule.Times(int(*asked.Times))
	}
	return map[string]int64{"id": rule.id}, nil
}

func (s *Simulator) controlRemoveRule(r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || !s.rules.remove(func(rule *Rule) bool { return rule.id == id && !rule.scripted }) {
		return nil, &controlError{http.StatusNotFound, "no such rule; lines of the script end with the script, by posting another or an empty one"}
	}
	return struct{}{}, nil
}

func (s *Simulator) controlScript(r *http.Request) (any, error) {
	script, err := ParseScript(r.Body)
	if err != nil {
		return nil, badRequest("%s", err)
	}
	s.Run(script)
	return map[string]int{"lines": len(script.lines)}, nil
}

func (s *Simulator) controlClock(r *http.Request) (any, error) {
	var asked struct {
		Offset string `json:"offset"`
	}
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	offset, err := time.ParseDuration(asked.Offset)
	if err != nil {
		return nil, badRequest("offset is %q: a duration such as 11m or -11m", asked.Offset)
	}
	s.SetClockOffset(offset)
	return map[string]string{"now": s.now().Format(time.RFC3339Nano)}, nil
}

// readJSON refuses what it does not know: a misspelt limit would strike every
// call.
func readJSON(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequest("the body is not the JSON that is asked for: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body has more than one JSON value")
	}
	return nil
}
