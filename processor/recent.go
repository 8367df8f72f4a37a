package processor

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// recent remembers what became of the newest request records of this replica, so
// that a question about one is answered at once: the windows forget what is
// committed. It outlives sessions. Safe for concurrent use: session and scheduler
// tell of ends, the session of commits, and anybody asks.
type recent struct {
	topics []string // the inputs
	retry  string   // of them

	mu      sync.Mutex
	pasts   ring
	letters ring           // dead letters once more, which are few and looked for longest
	chains  chains         // of pasts
	ended   map[*task]*end // not committed yet
}

const (
	recentPasts   = 100_000
	recentLetters = 1_000
	atATime       = 256 // ends of a transaction: the scheduler wants the lock too
)

// past is what became of one record, kept small: there are many. Times are in
// milliseconds of Unix; 0: none.
type past struct {
	id                            string
	more                          *pastMore // nil: it was granted by the only attempt, as most are
	offset                        int64
	written, taken, ended, called int64 // called: of that attempt
	partition, attempts           int32
	older                         link // in its chain
	topic                         uint8
	kind                          endKind
	moved, inDoubt                bool
}

// pastMore is what few have.
type pastMore struct {
	source         string // where it is not the record itself
	reason, detail string
	log            []schemas.Attempt
	due            int64
}

// chains lead to the pasts of an id, the newest first: those whose ids have the same
// hash are one chain. Unlike in a map of ids nothing has to be taken out of them when a
// past is overwritten, and there is nothing in them for the garbage collector to read.
type chains struct {
	seed  maphash.Seed
	heads []link
}

// link is the place of a past, plus 1; 0: there is none. What it leads to may have
// been overwritten since: it is then newer than what led there.
type link int32

func newChains(n int) chains { return chains{seed: maphash.MakeSeed(), heads: make([]link, n)} }

func (c *chains) head(id string) *link {
	return &c.heads[maphash.String(c.seed, id)%uint64(len(c.heads))]
}

// ring keeps the newest and grows only as it fills.
type ring struct {
	values []past
	most   int
	next   int // the place of the next value, which is where the oldest is once it is full
}

// put returns where the value is.
func (r *ring) put(v past) link {
	if len(r.values) < r.most {
		r.values = append(r.values, v)
	} else {
		r.values[r.next] = v
	}
	at := link(r.next + 1) //nolint:gosec // most is far below that
	r.next = (r.next + 1) % r.most
	return at
}

// at is where a link leads, and how many are newer.
func (r *ring) at(l link) (p *past, age int) {
	return &r.values[l-1], (r.next - int(l) + r.most) % r.most
}

// newest returns up to so many that have not moved, the newest first.
func (r *ring) newest(limit int) []past {
	var found []past
	for i := range r.values {
		if len(found) >= limit {
			break
		}
		v := &r.values[(r.next-1-i+2*r.most)%r.most]
		if !v.moved {
			found = append(found, *v)
		}
	}
	return found
}

func newRecent(topics Topics, pasts int) *recent {
	return &recent{
		topics: topics.Inputs(), retry: topics.Retry, chains: newChains(pasts), ended: map[*task]*end{},
		pasts: ring{most: pasts}, letters: ring{most: recentLetters},
	}
}

// end notes an end that is not committed yet.
func (r *recent) end(e *end) {
	r.mu.Lock()
	r.ended[e.task] = e
	r.mu.Unlock()
}

// committed notes that ends are visible to readers.
func (r *recent) committed(ends []*end) {
	for len(ends) > 0 {
		n := min(len(ends), atATime)
		r.mu.Lock()
		for _, e := range ends[:n] {
			delete(r.ended, e.task)
			r.keep(r.past(e.task, e))
		}
		r.mu.Unlock()
		ends = ends[n:]
	}
}

// moved notes that a task, or with it an end that is not committed, has left us
// with its partition.
func (r *recent) moved(tasks []*task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tasks {
		p := r.past(t, nil)
		p.moved = true
		r.keep(p)
	}
}

// dropped notes that an assignment has left us with the ends that were not
// committed.
func (r *recent) dropped(a assignment) {
	r.mu.Lock()
	var tasks []*task
	for t := range r.ended {
		if t.assignment == a {
			tasks = append(tasks, t)
			delete(r.ended, t)
		}
	}
	r.mu.Unlock()
	r.moved(tasks)
}

// over forgets what was not committed when a session ended: whoever gets the
// partitions reads the records again.
func (r *recent) over() {
	r.mu.Lock()
	clear(r.ended)
	r.mu.Unlock()
}

// keep puts what is known of a record in the place of the oldest.
func (r *recent) keep(p past) {
	if p.id == "" {
		r.pasts.put(p)
	} else {
		head := r.chains.head(p.id)
		p.older = *head
		*head = r.pasts.put(p)
	}
	if p.kind == endDeadLetter && !p.moved {
		r.letters.put(p)
	}
}

// past is what is known of a task with its end; nil: it has none.
func (r *recent) past(t *task, e *end) past {
	p := past{
		id: t.request.RequestID, offset: t.offset, partition: t.number,
		written: t.record.Timestamp.UnixMilli(), taken: t.taken.UnixMilli(),
		attempts: int32(min(t.attempts, 1<<30)), inDoubt: t.inDoubt, //nolint:gosec // bounded right here
	}
	for i, topic := range r.topics {
		if topic == t.topic {
			p.topic = uint8(i) //nolint:gosec // there are three
		}
	}
	if e != nil {
		p.kind, p.ended = e.kind, e.at.UnixMilli()
	}
	if e != nil && e.kind == endGranted && len(t.log) == 1 && t.attempts == 1 && t.topic != r.retry {
		p.called = t.log[0].At.UnixMilli()
		return p
	}
	p.more = &pastMore{log: t.log}
	if t.topic == r.retry {
		p.more.source = t.source
	}
	if e == nil {
		return p
	}
	switch e.kind {
	case endGranted:
	case endFailed:
		p.more.reason = string(e.failure)
	case endDeadLetter:
		p.more.reason, p.more.detail = string(e.reason), oneLine(e.detail)
	case endParked:
		p.more.due = e.next.UnixMilli()
	}
	return p
}

// of returns what is known of a request id, the newest first.
func (r *recent) of(id string) []Trail {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Trail
	for t, e := range r.ended {
		if t.request.RequestID == id {
			p := r.past(t, e)
			trail := r.trail(&p)
			trail.State = stateEnded
			found = append(found, trail)
		}
	}
	if id == "" {
		return found
	}
	for l, before := *r.chains.head(id), -1; l != 0; {
		p, age := r.pasts.at(l)
		if age <= before {
			break // another has its place by now
		}
		if p.id == id {
			found = append(found, r.trail(p))
		}
		l, before = p.older, age
	}
	return found
}

func (r *recent) trail(p *past) Trail {
	more := p.more
	if more == nil {
		more = &pastMore{log: []schemas.Attempt{{At: timeOf(p.called)}}}
	}
	t := Trail{
		RequestID: p.id, Topic: r.topics[p.topic], Partition: p.partition, Offset: p.offset, Source: more.source,
		Written: timeOf(p.written), TakenAt: timeOf(p.taken), State: stateCommitted,
		InDoubt: p.inDoubt, Attempts: int(p.attempts), Log: append([]schemas.Attempt{}, more.log...),
	}
	if t.Source == "" {
		t.Source = sourceOf(partition{t.Topic, t.Partition}, t.Offset)
	}
	switch {
	case p.moved:
		t.State = stateMoved
		return t
	case p.ended == 0:
		t.State = stateWaits
		return t
	}
	at := timeOf(p.ended)
	t.End, t.Reason, t.Detail, t.EndedAt = p.kind.String(), more.reason, more.detail, &at
	if more.due != 0 {
		due := timeOf(more.due)
		t.NextAt = &due
	}
	return t
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
