package processor

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Random histories of tasks and calls. Whatever happened before:
//
//   - no slot is free while a task could be called;
//   - once every call in flight began under the present contention, inputs that
//     wait hold the same number of slots, give or take one, and the retry topic
//     holds its share;
//   - a topic that waits and holds less than its share is passed over for no
//     longer than its weight says.
func TestTurnsAreFairInRandomHistories(t *testing.T) {
	var steady, waits int
	for seed := range uint64(400) {
		m := newTurnsModel(t, rand.New(rand.NewPCG(seed, 1)))
		for range 1000 {
			m.step()
		}
		steady += m.steady
		waits += m.waits
	}
	require.Greater(t, steady, 50_000, "steady contention was seen")
	require.Greater(t, waits, 10_000, "waiting topics were seen")
}

// turnsModel remembers when each call began and who wanted to call.
type turnsModel struct {
	t      *testing.T
	random *rand.Rand
	q      *turns

	steps   int
	calls   map[string][]int // in flight, by topic: the step in which each began
	want    [3][2]bool       // which topics wait, and which hold slots
	since   int              // the step from which on that is so
	passed  map[string]float64
	arrival map[string]int // how likely tasks come, of 100
	pace    map[string]int // fewer calls than this end in a step

	steady, waits int
}

func newTurnsModel(t *testing.T, random *rand.Rand) *turnsModel {
	return &turnsModel{
		t: t, random: random, q: newTurns(1+random.IntN(40), twoInputs),
		calls: map[string][]int{}, passed: map[string]float64{}, arrival: map[string]int{},
		pace: map[string]int{"store": 4, "loyalty": 4, "retry": 4},
	}
}

func (m *turnsModel) step() {
	m.steps++
	for _, topic := range twoInputs.Inputs() {
		if m.random.IntN(200) == 0 {
			m.arrival[topic] = []int{0, 0, 30, 100}[m.random.IntN(4)]
			m.pace[topic] = []int{2, 4, 20}[m.random.IntN(3)]
		}
		if m.random.IntN(100) < m.arrival[topic] {
			pushed(m.q, topic, 1+m.random.IntN(8))
		}
		for i := m.random.IntN(m.pace[topic]); i > 0 && len(m.calls[topic]) > 0; i-- {
			at := m.random.IntN(len(m.calls[topic]))
			m.calls[topic] = slices.Delete(m.calls[topic], at, at+1)
			m.q.ended(topic)
		}
	}
	for m.q.free() && m.q.peek() != nil {
		m.start()
	}
	m.checkWork()
	m.checkShares()
}

// start starts a call and counts, in turns of theirs, how long others that are
// entitled to it are passed over.
func (m *turnsModel) start() {
	next := m.q.peek().topic
	for _, other := range m.q.topics {
		if other.topic == next || len(other.queue) == 0 || !m.q.belowShare(other) {
			m.passed[other.topic] = 0
			continue
		}
		m.waits++
		m.passed[other.topic] += other.weight
		most := 1.0 // of each other topic, what it may have begun before our turn came up
		for _, t := range m.q.topics {
			most += t.weight
		}
		if m.passed[other.topic] > most {
			m.t.Fatalf("%s is passed over", other.topic)
		}
	}
	m.q.start()
	m.calls[next] = append(m.calls[next], m.steps)
}

func (m *turnsModel) checkWork() {
	total := 0
	for _, t := range m.q.topics {
		total += len(m.calls[t.topic])
	}
	if total != m.q.inFlight || total > m.q.slots {
		m.t.Fatalf("%d calls in %d of %d slots", total, m.q.inFlight, m.q.slots)
	}
	if total < m.q.slots && m.q.peek() != nil {
		m.t.Fatal("a slot is free and a task waits")
	}
}

func (m *turnsModel) checkShares() {
	var want [3][2]bool
	weights, oldest := 0.0, m.steps
	for i, t := range m.q.topics {
		want[i] = [2]bool{len(t.queue) > 0, t.inFlight > 0}
		if len(t.queue) > 0 || t.inFlight > 0 {
			weights += t.weight
		}
		for _, began := range m.calls[t.topic] {
			oldest = min(oldest, began)
		}
	}
	if want != m.want {
		m.want, m.since = want, m.steps
	}
	if oldest <= m.since {
		return
	}
	m.steady++
	store, loyalty, retry := m.q.topics[0], m.q.topics[1], m.q.topics[2]
	if apart := store.inFlight - loyalty.inFlight; len(store.queue) > 0 && len(loyalty.queue) > 0 && max(apart, -apart) > 1 {
		m.t.Fatalf("store holds %d slots, loyalty %d", store.inFlight, loyalty.inFlight)
	}
	if share := int(float64(m.q.slots) * retryWeight / weights); len(retry.queue) > 0 && retry.inFlight < share {
		m.t.Fatalf("the retry topic holds %d slots of %d", retry.inFlight, share)
	}
}
