// Package breaker decides when the gateway may be called and when to wait.
package breaker

import "time"

// State of a breaker.
type State uint8

// The states.
const (
	Closed State = iota
	HalfOpen
	Open
)

func (s State) String() string { panic("unwritten") }

// Result of one call, as the breaker counts it.
type Result uint8

// What a call tells of the gateway's health.
const (
	Success  Result = iota // the gateway works: a grant, or an answer about the request
	Failure                // gateway trouble
	Excluded               // tells nothing: throttled, app trouble, unlisted code, our own cancellation
)

// Config of a Breaker.
type Config struct {
	Interval     time.Duration // over which failures are counted; at least 5 x the call timeout
	MinCalls     uint32
	FailureRatio float64
	OpenFor      time.Duration
	Probes       uint32
}

// Breaker: never blocks, safe for concurrent use.
type Breaker struct{}

// New returns a closed breaker; onChange (may be nil) is called outside any lock, in order.
func New(cfg Config, onChange func(from, to State)) *Breaker { panic("unwritten") }

// Allow asks for leave to call. ok: call, then done(result) exactly once. Not ok: ask again after wait.
func (b *Breaker) Allow() (done func(Result), wait time.Duration, ok bool) { panic("unwritten") }

// State now.
func (b *Breaker) State() State { panic("unwritten") }
