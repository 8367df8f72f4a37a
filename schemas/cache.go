package schemas

import (
	"container/list"
	"fmt"
	"sync"
	"time"
)

const (
	// cacheSize is how many schema ids are remembered, own ones not counted.
	// Whoever can write to an input topic can make up ids.
	cacheSize = 1000

	// maxCachedText bounds the texts of the accepted schemas among them: 250 of the
	// size of ours, 16 of the largest.
	maxCachedText = 16 * maxSchemaBytes

	// An id is absent once the registry has denied it this often, each time
	// this much later: a follower that lags behind its leader denies an id that
	// a producer has just registered.
	absentAfter   = 3
	absentSpacing = time.Second

	// absentFor is how long an absence is believed. An id may be registered
	// later, and what is denied here becomes a dead letter.
	absentFor = 30 * time.Second
)

// entry is what the registry has said of one schema id.
type entry struct {
	id      int
	writer  *writer   // nil while the id is denied, refused, or not settled
	refusal error     // why no value of this schema is read; nil: accepted or not settled
	until   time.Time // when an absence is no longer believed; zero: a settled id stays so
	denials int
	denied  time.Time // when the last denial counted
}

// settled says whether Decode gives an answer for the id.
func (e *entry) settled(now time.Time) bool {
	return e.writer != nil || e.refusal != nil && (e.until.IsZero() || now.Before(e.until))
}

// text is how much of maxCachedText the entry takes.
func (e *entry) text() int {
	if e.writer == nil {
		return 0
	}
	return e.writer.size
}

// ownKey names one of the program's own schemas. Outcomes have no topic, since
// there is one topic for each.
type ownKey struct{ event, topic string }

// cache holds what is known of schema ids: the most recently used ones, and the
// program's own for good.
type cache struct {
	mu      sync.Mutex
	entries map[int]*list.Element // of *entry
	recent  *list.List            // newest first
	text    int                   // of all entries
	own     map[ownKey]int
	pinned  map[int]*writer
}

func newCache() *cache {
	return &cache{
		entries: map[int]*list.Element{},
		recent:  list.New(),
		own:     map[ownKey]int{},
		pinned:  map[int]*writer{},
	}
}

// writer returns the schema of an id, *NotFetchedError, or *DecodeError with
// UnknownSchema.
func (c *cache) writer(id int) (*writer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w, ok := c.pinned[id]; ok {
		return w, nil
	}
	e := c.touch(id)
	switch {
	case e == nil || !e.settled(time.Now()):
		return nil, &NotFetchedError{ID: id}
	case e.writer == nil:
		return nil, &DecodeError{Reason: UnknownSchema, Err: e.refusal}
	}
	return e.writer, nil
}

// has says whether Decode gives an answer for the id.
func (c *cache) has(id int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.pinned[id]; ok {
		return true
	}
	e := c.touch(id)
	return e != nil && e.settled(time.Now())
}

// settle remembers the gate's answer, at the cost of the oldest schemas if there is
// no room for another.
func (c *cache) settle(id int, w *writer, refusal error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(id)
	c.text -= e.text() // another goroutine's, of the same id
	*e = entry{id: id, writer: w, refusal: refusal}
	c.text += e.text()
	for at := c.recent.Back(); c.text > maxCachedText; {
		older := at
		at = at.Prev()
		if older.Value.(*entry).text() > 0 { // what is denied takes no room, and its count has to last
			c.drop(older)
		}
	}
}

// deny counts one denial and returns how many count so far, up to absentAfter:
// then the id is absent.
func (c *cache) deny(id int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(id)
	now := time.Now()
	if e.settled(now) {
		return absentAfter // settled by another goroutine meanwhile
	}
	if e.refusal != nil {
		*e = entry{id: id} // an absence that is no longer believed
	}
	if e.denials == 0 || now.Sub(e.denied) >= absentSpacing {
		e.denials++
		e.denied = now
	}
	if e.denials >= absentAfter {
		e.refusal = fmt.Errorf("the registry does not know schema %d", id)
		e.until = now.Add(absentFor)
	}
	return e.denials
}

// touch returns the entry of an id as the newest, or nil. mu is held.
func (c *cache) touch(id int) *entry {
	at, ok := c.entries[id]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(at)
	return at.Value.(*entry)
}

// entry returns the entry of an id, made if need be at the cost of the oldest.
// mu is held.
func (c *cache) entry(id int) *entry {
	if e := c.touch(id); e != nil {
		return e
	}
	for c.recent.Len() >= cacheSize {
		c.drop(c.recent.Back())
	}
	e := &entry{id: id}
	c.entries[id] = c.recent.PushFront(e)
	return e
}

// drop forgets an entry. mu is held.
func (c *cache) drop(at *list.Element) {
	e := c.recent.Remove(at).(*entry)
	delete(c.entries, e.id)
	c.text -= e.text()
}

// setOwn remembers under which id one of our own schemas is registered.
func (c *cache) setOwn(key ownKey, id int, w *writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own[key] = id
	c.pinned[id] = w
}

func (c *cache) ownID(key ownKey) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.own[key]
	return id, ok
}
