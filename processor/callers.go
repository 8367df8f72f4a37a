package processor

import (
	"context"

	"github.com/coupongrant/coupongrant/breaker"
)

// callers are goroutines that make calls, one each. One whose call has ended waits
// for the next: its stack has grown to what a call needs, and to grow that of a new
// goroutine for each call costs more than all that the scheduler does for it. The
// scheduler goroutine owns them, and ends them.
type callers struct {
	call  func(context.Context, call)
	calls chan call // as many places as calls in flight: a hand-over never waits
	idle  int
	spare int // of the idle, those that had no call since the last look
}

// call is one to make, and who is told how it went.
type call struct {
	task *task
	done func(breaker.Result)
}

func newCallers(most int, do func(context.Context, call)) *callers {
	return &callers{call: do, calls: make(chan call, most)}
}

// start has one more call made. ctx is the same for all: a caller keeps its first.
func (c *callers) start(ctx context.Context, next call) {
	if c.idle > 0 {
		c.idle--
		c.spare = min(c.spare, c.idle)
		c.calls <- next
		return
	}
	go c.work(ctx, next)
}

// work makes a call, and then those that are handed over. Between two of them it
// holds on to neither.
func (c *callers) work(ctx context.Context, first call) {
	c.call(ctx, first)
	for next := range c.calls {
		if next.task == nil {
			return
		}
		c.call(ctx, next)
	}
}

// look, once a second, lets those go that had no call since the last: what one burst
// took is not kept for good.
func (c *callers) look() {
	for range c.spare {
		c.calls <- call{}
	}
	c.idle -= c.spare
	c.spare = c.idle
}

// ended says that the answer to a call has come.
func (c *callers) ended() { c.idle++ }

// dismiss lets everybody go who has no call; nothing may be started after it.
func (c *callers) dismiss() { close(c.calls) }
