package bench

import (
	"time"
)

// The arms.
const (
	armHTTP   = "http"
	armLoop   = "loop"
	armTx     = "tx"
	armEngine = "engine"
)

// spec is one kind of run. What stands in no field is as the program has it by
// default.
type spec struct {
	Kind       string  `json:"kind"` // names it in measures
	Arm        string  `json:"arm"`
	Call       span    `json:"call"` // until the gateway answers
	InFlight   int     `json:"in_flight"`
	Partitions int32   `json:"partitions"` // of each topic
	Keys       int     `json:"keys"`
	Replicas   int     `json:"replicas"`
	Bytes      int     `json:"bytes,omitempty"`      // of a request's value at least; 0: as small as usual
	Stragglers float64 `json:"stragglers,omitempty"` // share of calls that take Slow
	Slow       span    `json:"slow,omitzero"`
	Hot        int     `json:"hot,omitempty"`   // more requests, all of one key and all at once
	Stuck      int     `json:"stuck,omitempty"` // and some that take Slow at every call
	Rate       float64 `json:"rate,omitempty"`  // requests a second; 0: a backlog
	Backlog    int     `json:"backlog,omitempty"`
	Lengths    int     `json:"lengths,omitempty"` // how many times --length it is measured for; 0: once
	idle       bool    // nothing to do at all
}

// span is a duration that JSON shows as Go writes it.
type span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

func (s span) seconds() float64 { return time.Duration(s).Seconds() }

// base is the run that most cases change one thing of.
func base(arm string, call time.Duration, inFlight int) spec {
	return spec{Kind: arm, Arm: arm, Call: span(call), InFlight: inFlight, Partitions: 8, Keys: 1000, Replicas: 1}
}

func (s spec) named(kind string) spec {
	s.Kind = kind
	return s
}

func (s spec) with(change func(*spec)) spec {
	change(&s)
	return s
}

// meanCall is how long a call takes.
func (s spec) meanCall() float64 {
	return (1-s.Stragglers)*s.Call.seconds() + s.Stragglers*s.Slow.seconds()
}

// ideal is how many calls a second there can be; 0: nothing but work limits them.
func (s spec) ideal() float64 {
	if s.Call == 0 {
		return 0
	}
	return s.slots() / s.meanCall()
}

// slots is how many calls there can be at once: one of a key.
func (s spec) slots() float64 { return float64(min(s.InFlight*s.Replicas, s.Keys)) }

// More a second than most machines do, with brokers and everything else on it: with a
// call for each, and without. One that does more is found to be `faster`.
const (
	fastest     = 10_000
	fastestBare = 8 * fastest
)

// enough is a backlog that lasts for a time.
func (s spec) enough(lasting time.Duration) int {
	perSecond := float64(fastest)
	if s.Arm == armTx {
		perSecond = fastestBare
	}
	if ideal := s.ideal(); ideal > 0 {
		perSecond = min(perSecond, 1.2*ideal)
	}
	return int(perSecond * lasting.Seconds())
}
