package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
)

// intervalPerCall is how many call timeouts the window must hold. A call that
// outlives the window is not counted: with slow calls and a short window the
// breaker would never open.
const intervalPerCall = 5

// LeastInterval is the shortest Interval that Validate takes for calls of that timeout.
func LeastInterval(callTimeout time.Duration) time.Duration { return intervalPerCall * callTimeout }

// Config of a Breaker.
type Config struct {
	Interval     time.Duration // the moving window that calls are counted over
	MinCalls     uint32        // counted calls in the window before the ratio is looked at; as many failures in a row open it whatever the ratio
	FailureRatio float64       // of failures among counted calls that opens it; above 0, at most 1
	SlowCall     time.Duration // a call that lasts longer is a failure, whatever it comes to; 0: none is, but by its deadline
	OpenFor      time.Duration // how long nobody calls; lengthened by up to a fifth, drawn once for each Breaker
	Probes       uint32        // calls at once when half-open; as many successes close it, one failure opens it again
}

// DefaultConfig suits call timeouts of up to 12 s. No call that ends before its
// deadline is slow: how fast the gateway is in good health, only its users know.
// OpenFor is short, so that calls go on within 5 s of the end of an outage: it takes
// OpenFor and its spread, one call, and SlowCall, or without it the deadline of a call,
// if the probes hang.
func DefaultConfig() Config {
	return Config{
		Interval:     time.Minute,
		MinCalls:     20,
		FailureRatio: 0.5,
		OpenFor:      2 * time.Second,
		Probes:       3,
	}
}

// Validate joins everything that is wrong, each as one sentence with the
// setting, its value and the mend. callTimeout is the longest one call can take.
func (c Config) Validate(callTimeout time.Duration) error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Interval < time.Millisecond,
		"breaker.interval is %s: set at least 1ms", c.Interval)
	refuse(c.Interval >= time.Millisecond && c.Interval/intervalPerCall < callTimeout,
		"breaker.interval is %s, but calls may take gateway.timeout (%s) and would outlive what is counted: set at least %s, %d times that",
		c.Interval, callTimeout, LeastInterval(callTimeout), intervalPerCall)
	refuse(c.MinCalls < 1, "breaker.min_calls is %d: set at least 1", c.MinCalls)
	refuse(!(c.FailureRatio > 0 && c.FailureRatio <= 1),
		"breaker.failure_ratio is %v: set it above 0 and at most 1", c.FailureRatio)
	refuse(c.SlowCall < 0, "breaker.slow_call is %s: set how long a call may take, or 0 for gateway.timeout", c.SlowCall)
	refuse(callTimeout > 0 && c.SlowCall >= callTimeout,
		"breaker.slow_call is %s, but no call takes longer than gateway.timeout (%s): set it below that, or 0", c.SlowCall, callTimeout)
	refuse(c.OpenFor <= 0, "breaker.open_for is %s: set it above 0", c.OpenFor)
	refuse(c.Probes < 1, "breaker.probes is %d: set at least 1", c.Probes)
	return errors.Join(errs...)
}

// trips says whether what was counted opens a closed breaker. It runs under
// gobreaker's mutex. The rule of failures in a row is there because after a
// long good spell the ratio takes half a window to notice a full outage.
func (c Config) trips(n gobreaker.Counts) bool {
	counted := n.TotalSuccesses + n.TotalFailures
	if n.ConsecutiveFailures >= c.MinCalls {
		return true
	}
	return counted >= c.MinCalls && float64(n.TotalFailures) >= c.FailureRatio*float64(counted)
}
