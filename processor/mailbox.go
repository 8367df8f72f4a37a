package processor

import (
	"context"
	"sync"
)

// mailbox carries values to the one goroutine that owns it. Putting never
// blocks: session and scheduler write to each other, and two bounded channels
// in a circle can wait for each other for ever. What bounds it is the windows:
// ends come of what was admitted, and the rest are a few an assignment.
type mailbox[T any] struct {
	mu     sync.Mutex
	items  []T
	taken  []T // what the last take returned, to be used again
	notify bell
}

// bell wakes the owner of one or more mailboxes: something may have come.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// awaited returns a context that ends with ctx or when the bell rings, which
// uses the ring up. The caller must call the returned function.
func (b bell) awaited(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-b:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}

func newMailbox[T any](notify bell) *mailbox[T] { return &mailbox[T]{notify: notify} }

func (m *mailbox[T]) put(items ...T) {
	if len(items) == 0 {
		return
	}
	m.mu.Lock()
	m.items = append(m.items, items...)
	m.mu.Unlock()
	m.notify.ring()
}

// take returns all that came since the last take, oldest first. It is the owner's
// until the next take.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.taken)
	m.items, m.taken = m.taken[:0], m.items
	return m.taken
}
