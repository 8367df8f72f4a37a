package processor

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
)

// waitingScheduler has n tasks that wait for their time, or for a turn.
func waitingScheduler(n int, due time.Time) *scheduler {
	cfg := DefaultConfig()
	s := &scheduler{
		gate: &gate{guard: new(guard)},
		cfg:  cfg, policy: policy{cfg: cfg}, turns: newTurns(cfg.MaxInFlight, cfg.Topics), breaker: breaker.New(breaker.DefaultConfig(), nil),
		supplies: map[assignment]*supply{}, lanes: lanes{}, answered: time.Now(), quota: new(quota), callers: newCallers(cfg.MaxInFlight, nil),
	}
	a := assignment{partition{cfg.Topics.Retry, 0}, 1}
	s.supplies[a] = newSupply(a, int64(n))
	for offset := range int64(n) {
		s.enqueue(&task{
			assignment: a, offset: offset, record: &kgo.Record{Timestamp: time.Now()}, due: due,
			firstCall: time.Now(), inDoubt: true, request: schemas.Request{OccurredAt: time.Now()},
		})
	}
	return s
}

// BenchmarkSweep is the look that the scheduler takes, once a second, at everyone
// who waits.
func BenchmarkSweep(b *testing.B) {
	for name, due := range map[string]time.Time{"for their time": time.Now().Add(time.Hour), "for a turn": {}} {
		b.Run(name, func(b *testing.B) {
			s := waitingScheduler(100_000, due)
			now := time.Now()
			for b.Loop() {
				now = now.Add(idle)
				s.sweep(now)
			}
		})
	}
}

// BenchmarkDueBurst is what it takes to bring up requests that are all due at
// once, where the ceiling has to be raised for them.
func BenchmarkDueBurst(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		s := waitingScheduler(n, time.Now().Add(time.Hour))
		sup := s.supplies[assignment{partition{s.cfg.Topics.Retry, 0}, 1}]
		sup.ceiling = 0
		b.StartTimer()
		for _, t := range s.timers.due(time.Now().Add(2 * time.Hour)) {
			t.due = time.Time{}
			s.enqueue(t)
		}
		for called := 0; called < n; {
			ceiling, ok := sup.wish(s.cfg.MaxInFlight)
			if !ok {
				b.Fatal("nobody asks for a ceiling")
			}
			for _, t := range sup.raise(ceiling) {
				s.enqueue(t)
			}
			for s.turns.peek() != nil {
				t := s.turns.peek()
				s.turns.start()
				sup.firstCall(t)
				s.turns.ended(t.topic)
				called++
			}
		}
	}
}
