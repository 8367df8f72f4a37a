package topclient

import "time"

// About says whom an answer is about.
type About uint8

// Whom an answer can be about.
const (
	AboutUnknown About = iota // not understood: treated as in doubt, stops nothing
	AboutRequest              // this request: refused, or to be tried again for its own sake
	AboutGateway              // Tmall or the way to it: down, slow, throttling
	AboutApp                  // our app: credentials, permission, clock, our own bug
)

func (a About) String() string { panic("unwritten") }

// Error is the answer of an attempt that granted nothing we know of.
type Error struct {
	About          About
	MayHaveGranted bool          // a grant may have happened all the same
	Throttled      bool          // a limit was hit: wait RetryAfter
	Canceled       bool          // the caller's context ended it, not the gateway
	Code           string        // the gateway's code, or a word (timeout, refused, http-502, bad-body ...) where it gave none
	SubCode        string        // as answered; empty if none
	Business       string        // "-3", "-6", "-7", "-11", "-9999", or empty: not a business code of the API
	Message        string        // the gateway's text, cut and cleaned; never holds what we sent
	RequestID      string        // the gateway's id of the call
	RetryAfter     time.Duration // of a throttle: how long the ban lasts; 0 if it does not say
	Sent           bool          // request bytes were written
	err            error
}

func (e *Error) Error() string { panic("unwritten") }
func (e *Error) Unwrap() error { return e.err }
