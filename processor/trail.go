package processor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// Trail is what became of one request record, as far as this replica saw.
type Trail struct {
	RequestID string            `json:"request_id"` // empty: it could not be decoded, or is not yet
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Source    string            `json:"source"` // the original record, where this one was parked
	Written   time.Time         `json:"written"`
	TakenAt   time.Time         `json:"taken_at"`
	State     string            `json:"state"` // waits, called, ended (not yet visible), committed, moved (its partition left us)
	InDoubt   bool              `json:"in_doubt"`
	Attempts  int               `json:"attempts"`
	Log       []schemas.Attempt `json:"log"`           // the last 10
	End       string            `json:"end,omitempty"` // granted, failed, dead-letter, parked
	Reason    string            `json:"reason,omitempty"`
	Detail    string            `json:"detail,omitempty"` // of a dead letter: one line, no payload
	EndedAt   *time.Time        `json:"ended_at,omitempty"`
	NextAt    *time.Time        `json:"next_at,omitempty"` // when it is due, parked or between two attempts
	Why       string            `json:"why,omitempty"`     // one sentence, while it has no committed end
}

// The states of a Trail.
const (
	stateWaits     = "waits"
	stateCalled    = "called"
	stateEnded     = "ended"
	stateCommitted = "committed"
	stateMoved     = "moved"
)

// Recent returns what this replica has committed of late, the newest first.
func (p *Processor) Recent(limit int) []Trail {
	return p.recent.newest(&p.recent.pasts, limit)
}

// DeadLetters returns the newest of this replica, the newest first.
func (p *Processor) DeadLetters(limit int) []Trail {
	return p.recent.newest(&p.recent.letters, limit)
}

func (r *recent) newest(of *ring, limit int) []Trail {
	r.mu.Lock()
	defer r.mu.Unlock()
	pasts := of.newest(limit)
	trails := make([]Trail, 0, len(pasts))
	for i := range pasts {
		trails = append(trails, r.trail(&pasts[i]))
	}
	return trails
}

// Find returns what this replica knows of the records of a request id, the oldest
// record first; empty: it has seen none of late. What is not decoded yet is found by
// its bytes.
func (p *Processor) Find(requestID string) []Trail {
	if requestID == "" {
		return []Trail{}
	}
	trails := slices.Concat(p.notDecoded(requestID), p.waiting(requestID), p.recent.of(requestID)) // newest knowledge first
	m := p.moment()
	type place struct {
		partition
		offset int64
	}
	seen := map[place]bool{}
	found := []Trail{}
	for _, t := range trails {
		at := place{partition{t.Topic, t.Partition}, t.Offset}
		if seen[at] {
			continue // a record that came back to us is known from both times
		}
		seen[at] = true
		switch held := m.heldAt(at.partition); {
		case t.State == stateEnded:
			t.Why = m.whyUncommitted("its end waits", *t.EndedAt)
		case t.State == stateMoved && held != "": // let go of, and ours all the same
			t.State, t.Why = stateWaits, "held: "+held
		}
		found = append(found, t)
	}
	slices.SortStableFunc(found, func(a, b Trail) int {
		return cmp.Or(a.Written.Compare(b.Written), a.TakenAt.Compare(b.TakenAt))
	})
	return found
}

// notDecoded looks through what the scheduler has not heard of yet.
func (p *Processor) notDecoded(requestID string) (trails []Trail) {
	q := p.sight.undecoded.Load()
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, queue := range q.queues {
		for _, t := range queue {
			if t.mayBe(requestID) {
				past := p.recent.past(t, nil)
				trail := p.recent.trail(&past)
				trail.Why = "it waits to be decoded"
				trails = append(trails, trail)
			}
		}
	}
	return trails
}

// mayBe says that a task is of a request id, or that its bytes hold it where it is
// not decoded yet: Avro writes a string as its length and its UTF-8.
func (t *task) mayBe(requestID string) bool {
	if t.request.RequestID != "" {
		return t.request.RequestID == requestID
	}
	return bytes.Contains(t.record.Value, append(binary.AppendVarint(nil, int64(len(requestID))), requestID...))
}

// askWait is how long the scheduler may take to answer: it never waits itself,
// so that only one that has ended, or is wedged, does not.
const askWait = time.Second

// waiting asks the scheduler for what has no end yet.
func (p *Processor) waiting(requestID string) []Trail {
	s := p.sight.waiting.Load()
	if s == nil {
		return nil
	}
	answer := make(chan []waitingTask, 1)
	s.inbox.put(func() { answer <- s.tasksOf(requestID) })
	var tasks []waitingTask
	select {
	case tasks = <-answer:
	case <-time.After(askWait):
	}
	m := p.moment()
	var trails []Trail
	for i := range tasks {
		t := tasks[i].trail
		t.Why = m.whyTask(tasks[i].view, "it")
		trails = append(trails, t)
	}
	return trails
}

// waitingTask is a task as the scheduler sees it.
type waitingTask struct {
	trail Trail
	view  *taskView
}

// tasksOf describes the tasks of a request id, the newest record first.
func (s *scheduler) tasksOf(requestID string) []waitingTask {
	now := time.Now()
	var found []waitingTask
	for _, sup := range s.supplies {
		for _, t := range sup.roll.tasks {
			if t == nil || !t.mayBe(requestID) {
				continue
			}
			view, past := s.see(t, now), s.recent.past(t, nil)
			trail := s.recent.trail(&past)
			if view.state == taskCalled {
				trail.State = stateCalled
			}
			if t.due.After(now) {
				due := t.due.UTC()
				trail.NextAt = &due
			}
			found = append(found, waitingTask{trail, view})
		}
	}
	return found
}
