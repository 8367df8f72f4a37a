package topsim

import (
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Match says which calls a rule is for. Every member that is set must fit; the
// zero value fits all.
type Match struct {
	OutID       string          `json:"out_id,omitempty"` // a * at the end stands for any text
	UUID        string          `json:"uuid,omitempty"`
	Member      string          `json:"member,omitempty"` // hash as in a LedgerEntry
	OpenID      string          `json:"-"`
	Probability float64         `json:"probability,omitempty"` // above 0, up to 1; 0: always
	If          func(Call) bool `json:"-"`
}

// Format hides OpenID from every verb.
func (m Match) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{out_id %q uuid %q probability %g}", m.OutID, m.UUID, m.Probability))
}

// Rule is a Behaviour in waiting. It is not in force until Once, Times or Always
// says how often. Safe for concurrent use.
type Rule struct {
	id        int64
	rules     *rules
	match     *Match
	behaviour Behaviour
	from, to  time.Duration // since the script's start; to 0: for ever. Not for rules of On
	scripted  bool
	left      atomic.Int64 // how often still; always: for ever
	count     atomic.Int64

	mu     sync.Mutex // of the two below
	second int64
	spared int
}

const always = -1

// Once puts the rule in force for the next call that matches.
func (r *Rule) Once() *Rule { return r.Times(1) }

// Times puts the rule in force for n calls.
func (r *Rule) Times(n int) *Rule {
	r.left.Store(int64(max(n, 0)))
	return r
}

// Always puts the rule in force until it is removed.
func (r *Rule) Always() *Rule {
	r.left.Store(always)
	return r
}

// Count is how many calls it struck. A test of a fault must read it: a fault
// that did not happen proves nothing.
func (r *Rule) Count() int64 { return r.count.Load() }

// Format hides OpenID from every verb.
func (r *Rule) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{%v %s, struck %d}", *r.match, r.behaviour, r.Count()))
}

// Remove ends the rule. Its count stays readable.
func (r *Rule) Remove() { r.rules.remove(func(other *Rule) bool { return other == r }) }

// rules is read by every call and rarely changed, so reading takes no lock.
type rules struct {
	seed uint64
	list atomic.Pointer[[]*Rule] // those of On in their order, then the script's

	mu     sync.Mutex // of changes
	lastID int64
	start  time.Time // of the script
}

func newRules(seed uint64) *rules {
	r := &rules{seed: seed}
	r.list.Store(&[]*Rule{})
	return r
}

func (s *rules) all() []*Rule { return *s.list.Load() }

func (s *rules) add(m Match, b Behaviour) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	r := &Rule{id: s.lastID, rules: s, match: &m, behaviour: b}
	firstScripted := slices.IndexFunc(s.all(), func(r *Rule) bool { return r.scripted })
	if firstScripted < 0 {
		firstScripted = len(s.all())
	}
	list := slices.Insert(slices.Clone(s.all()), firstScripted, r)
	s.list.Store(&list)
	return r
}

func (s *rules) remove(gone func(*Rule) bool) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.all()), gone)
	found = len(list) < len(s.all())
	s.list.Store(&list)
	return found
}

// run puts a script in the place of the one before.
func (s *rules) run(script Script, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = start
	list := slices.DeleteFunc(slices.Clone(s.all()), func(r *Rule) bool { return r.scripted })
	for _, line := range script.lines {
		s.lastID++
		r := &Rule{
			id: s.lastID, rules: s, match: &line.match, behaviour: line.behaviour,
			from: line.from, to: line.to, scripted: true,
		}
		r.left.Store(int64(line.times))
		list = append(list, r)
	}
	s.list.Store(&list)
}

// pick is the first rule in force that the call matches, with one of its times
// taken; nil: none. door asks for the rules that refuse connections, or for all
// others.
func (s *rules) pick(c *call, door bool, clock func() time.Time, hash func(openID string) string) *Rule {
	list := s.all()
	if len(list) == 0 {
		return nil
	}
	var since time.Duration // the script's start
	if list[len(list)-1].scripted {
		since = clock().Sub(s.startOfScript())
	}
	for _, r := range list {
		if door == (r.behaviour.door != cutNone) && r.inForce(since) &&
			r.match.fits(c, hash) && s.draw(r, c) && !r.spares(c.now) && r.take() {
			r.count.Add(1)
			return r
		}
	}
	return nil
}

func (s *rules) startOfScript() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start
}

func (r *Rule) inForce(since time.Duration) bool {
	return r.left.Load() != 0 && (!r.scripted || since >= r.from && (r.to == 0 || since < r.to))
}

func (r *Rule) take() bool {
	for {
		left := r.left.Load()
		if left == always {
			return true
		}
		if left == 0 {
			return false
		}
		if r.left.CompareAndSwap(left, left-1) {
			return true
		}
	}
}

// spares lets the first calls of each second pass.
func (r *Rule) spares(now time.Time) bool {
	if r.behaviour.rate == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Unix() != r.second {
		r.second, r.spared = now.Unix(), 0
	}
	if r.spared == r.behaviour.rate {
		return false
	}
	r.spared++
	return true
}

// draw decides by lot, drawn from the seed, the rule and the call: which calls
// are struck does not depend on the order in which they arrive.
func (s *rules) draw(r *Rule, c *call) bool {
	if r.match.Probability <= 0 {
		return true
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, c.dto.outID)
	lot := mix(mix(s.seed^uint64(r.id)) ^ mix(h.Sum64()) ^ uint64(c.number))
	return float64(lot>>11)/(1<<53) < r.match.Probability
}

// mix makes neighbours unlike each other; no two inputs have one output.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (m *Match) fits(c *call, hash func(openID string) string) bool {
	prefix, isPrefix := strings.CutSuffix(m.OutID, "*")
	switch {
	case isPrefix && !strings.HasPrefix(c.dto.outID, prefix),
		!isPrefix && m.OutID != "" && m.OutID != c.dto.outID,
		m.UUID != "" && m.UUID != c.dto.uuid,
		m.OpenID != "" && m.OpenID != c.dto.openID,
		m.Member != "" && m.Member != hash(c.dto.openID):
		return false
	}
	return m.If == nil || m.If(Call{
		AppKey: c.appKey, OutID: c.dto.outID, UUID: c.dto.uuid, OpenID: c.dto.openID, Number: c.number,
	})
}
