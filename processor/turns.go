package processor

import (
	"container/heap"
	"slices"
	"time"
)

// turns are the tasks that could be called at once, a queue an input topic: the
// topics take turns, so that a burst on one does not push out the other, and a
// topic alone gets everything.
type turns struct {
	topics []string
	queues map[string][]*task
	turn   int
}

func newTurns(topics []string) *turns {
	return &turns{topics: topics, queues: make(map[string][]*task, len(topics))}
}

func (q *turns) push(t *task) { q.queues[t.topic] = append(q.queues[t.topic], t) }

// peek returns the task whose turn it is, nil if there is none.
func (q *turns) peek() *task {
	for range q.topics {
		if queue := q.queues[q.topics[q.turn]]; len(queue) > 0 {
			return queue[0]
		}
		q.turn = (q.turn + 1) % len(q.topics)
	}
	return nil
}

// pop takes out the task that peek returned.
func (q *turns) pop() {
	topic := q.topics[q.turn]
	q.queues[topic][0] = nil
	q.queues[topic] = q.queues[topic][1:]
	q.turn = (q.turn + 1) % len(q.topics)
}

// remove takes out every task that is so.
func (q *turns) remove(so func(*task) bool) {
	for topic, queue := range q.queues {
		q.queues[topic] = slices.DeleteFunc(queue, so)
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
	q.tasks = slices.DeleteFunc(q.tasks, so)
	heap.Init(&q.tasks)
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
