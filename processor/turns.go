package processor

import (
	"container/heap"
	"slices"
	"time"
)

// turns are the tasks that could be called at once, a queue an input topic, and
// say whose turn it is when a call can start. Two things can be scarce:
//
//   - Leave to call (the quota, a breaker that probes): the topics that have a
//     task start calls in turn, by weight.
//   - Slots: a topic that holds its share of them yields to those that do not.
//     The share is by weight, among the topics that have a task or a call in
//     flight. Without that, slow calls of one topic would come to hold all slots,
//     since they give them back least often.
//
// A slot that nobody else wants is nobody's share: a topic alone gets all. Calls
// in flight are not taken back, so that a topic that comes back to a full house
// gets every slot that comes free until it holds its share: the first one with
// the first call that ends, the share after gateway.timeout at the latest.
type turns struct {
	slots    int
	inFlight int
	topics   []*turn
	now      float64 // the pass at which the newest call started
}

// turn is what one topic has to call, and had.
type turn struct {
	topic    string
	weight   float64
	queue    []*task
	inFlight int
	pass     float64 // grows by 1/weight a call; the least is next
}

func newTurns(slots int, topics Topics) *turns {
	q := &turns{slots: slots}
	for _, topic := range topics.Inputs() {
		q.topics = append(q.topics, &turn{topic: topic, weight: topics.weight(topic)})
	}
	return q
}

func (q *turns) of(topic string) *turn {
	i := slices.IndexFunc(q.topics, func(t *turn) bool { return t.topic == topic })
	return q.topics[i]
}

func (q *turns) push(t *task) {
	of := q.of(t.topic)
	if len(of.queue) == 0 {
		of.pass = max(of.pass, q.now) // no credit for the time in which it had nothing to call
	}
	of.queue = append(of.queue, t)
}

// free says that there is a slot.
func (q *turns) free() bool { return q.inFlight < q.slots }

// peek returns the task whose turn it is, nil if there is none.
func (q *turns) peek() *task {
	if next := q.next(); next != nil {
		return next.queue[0]
	}
	return nil
}

// next is the topic whose turn it is: the one with the least pass of those below
// their share; if there are none, the one that one more slot takes least above it.
func (q *turns) next() *turn {
	var next *turn
	below := false
	for _, t := range q.topics {
		switch {
		case len(t.queue) == 0:
		case q.belowShare(t):
			if !below || t.pass < next.pass {
				next, below = t, true
			}
		case !below && (next == nil || t.withOneMore() < next.withOneMore()):
			next = t
		}
	}
	return next
}

// belowShare says that one more slot would not be above the share of a topic,
// which is one slot at the least.
func (q *turns) belowShare(t *turn) bool {
	weights := 0.0
	for _, other := range q.topics {
		if len(other.queue) > 0 || other.inFlight > 0 {
			weights += other.weight
		}
	}
	return t.inFlight == 0 || t.withOneMore()*weights <= float64(q.slots)
}

func (t *turn) withOneMore() float64 { return float64(t.inFlight+1) / t.weight }

// drop takes out the task that peek returned: it needs no call.
func (q *turns) drop() { q.next().pop() }

func (t *turn) pop() {
	t.queue[0] = nil
	t.queue = t.queue[1:]
}

// start takes out the task that peek returned: its call begins.
func (q *turns) start() {
	next := q.next()
	q.now = next.pass
	for _, t := range q.topics {
		if t != next && !q.belowShare(t) {
			t.pass = max(t.pass, q.now) // it yields: that is no credit either
		}
	}
	next.pop()
	next.pass += 1 / next.weight
	next.inFlight++
	q.inFlight++
}

// ended gives back the slot of a call.
func (q *turns) ended(topic string) {
	q.of(topic).inFlight--
	q.inFlight--
}

// remove takes out every task that is so.
func (q *turns) remove(so func(*task) bool) {
	for _, t := range q.topics {
		t.queue = slices.DeleteFunc(t.queue, so)
	}
}

// timers are the tasks that are due later, the earliest first.
type timers struct{ tasks taskHeap }

func (q *timers) push(t *task) { heap.Push(&q.tasks, t) }

// next is when the first task is due.
func (q *timers) next() (time.Time, bool) {
	if len(q.tasks) == 0 {
		return time.Time{}, false
	}
	return q.tasks[0].due, true
}

// due takes out the tasks whose time has come.
func (q *timers) due(now time.Time) []*task {
	var due []*task
	for len(q.tasks) > 0 && !q.tasks[0].due.After(now) {
		due = append(due, heap.Pop(&q.tasks).(*task)) //nolint:forcetypeassert // the heap holds nothing else
	}
	return due
}

// remove takes out every task that is so.
func (q *timers) remove(so func(*task) bool) {
	before := len(q.tasks)
	q.tasks = slices.DeleteFunc(q.tasks, so)
	if len(q.tasks) < before {
		heap.Init(&q.tasks)
	}
}

// taskHeap implements heap.Interface by due time, and by offset where it is the
// same, so that parked requests come back in order.
type taskHeap []*task

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].offset < h[j].offset
}
func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *taskHeap) Push(x any)   { *h = append(*h, x.(*task)) } //nolint:forcetypeassert // only push calls it
func (h *taskHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
