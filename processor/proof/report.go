package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kind of a breach.
type Kind string

// The breaches.
const (
	Lost               Kind = "lost"                 // P1: below the watermark, without an end and not parked
	Doubled            Kind = "doubled"              // P2: two ends for one record
	NoSource           Kind = "no-source"            // an end or a parked copy of a record that does not exist
	MalformedSource    Kind = "malformed-source"     // an end or a parked copy that names no record
	Mismatch           Kind = "mismatch"             // an outcome that does not speak of its request
	Altered            Kind = "altered"              // a dead letter or parked copy with other bytes than its record
	Unreadable         Kind = "unreadable"           // an end that breaks its own format
	Untrue             Kind = "untrue"               // P3: granted without a grant, failed with one
	GrantedTwice       Kind = "granted-twice"        // P2: more than one coupon for a request id
	CommittedBeyondEnd Kind = "committed-beyond-end" // a watermark past the end of its partition
)

// MaxNamed is how many findings of a kind a Report names; all are counted.
const MaxNamed = 20

// Finding names one record. It holds no open_id and nothing of a value but the
// request id.
type Finding struct {
	Topic     string `json:"topic,omitempty"` // empty where the ledger alone knows
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Source    string `json:"source,omitempty"` // of an end: the request record it answers
	RequestID string `json:"request_id,omitempty"`
	Detail    string `json:"detail"`
}

// Findings of one kind.
type Findings struct {
	Total int64     `json:"total"`
	Named []Finding `json:"named"` // the first MaxNamed
}

func (f Findings) with(one Finding) Findings {
	f.Total++
	if len(f.Named) < MaxNamed {
		f.Named = append(slices.Clip(f.Named), one)
	}
	return f
}

// Unread is a partition that could not be read to its end.
type Unread struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	End       int64  `json:"end"`
	Why       string `json:"why"`
}

// LedgerTotals sums up a gateway's ledger.
type LedgerTotals struct {
	OutIDs  int64 `json:"out_ids"`
	Calls   int64 `json:"calls"`
	Coupons int64 `json:"coupons"`
	Foreign int64 `json:"foreign"` // grants for ids that no request record has; retention may have taken it
}

// Report is what a Checker found.
type Report struct {
	Requests         int64             `json:"requests"` // request records, replays among them
	Granted          int64             `json:"granted"`
	Failed           map[string]int64  `json:"failed"`       // by reason
	DeadLetters      map[string]int64  `json:"dead_letters"` // by reason
	Unfinished       int64             `json:"unfinished"`
	OldestUnfinished *time.Time        `json:"oldest_unfinished,omitempty"` // Kafka timestamp, rounded up to the second
	Parked           int64             `json:"parked"`                      // of the unfinished
	Attempts         int64             `json:"attempts"`                    // that ends tell of: a lower bound
	Repeats          int64             `json:"repeats"`                     // records whose request id an earlier one has
	Replays          int64             `json:"replays"`
	Gone             int64             `json:"gone"`          // ends whose request record retention took
	NotCheckable     int64             `json:"not_checkable"` // requests whose end retention may have taken
	Conflicts        Findings          `json:"conflicts"`     // producers' breaches, not ours
	Unread           []Unread          `json:"unread,omitempty"`
	Ledger           *LedgerTotals     `json:"ledger,omitempty"`
	Violations       map[Kind]Findings `json:"violations"`
	New              *int64            `json:"new_violations,omitempty"` // of them, since the look that was saved before
}

// Verdict on a system.
type Verdict string

// The verdicts.
const (
	Balanced   Verdict = "balanced"
	Violated   Verdict = "violated"
	Unfinished Verdict = "unfinished"
)

// Verdict: a breach outweighs everything; otherwise all must be ended and read.
func (r Report) Verdict() Verdict {
	switch {
	case len(r.Violations) > 0:
		return Violated
	case r.Unfinished > 0 || len(r.Unread) > 0:
		return Unfinished
	default:
		return Balanced
	}
}

func newReport() (r Report) {
	r.fill()
	return r
}

// fill makes what is empty an empty map or list, as which JSON shows it.
func (r *Report) fill() {
	if r.Failed == nil {
		r.Failed = map[string]int64{}
	}
	if r.DeadLetters == nil {
		r.DeadLetters = map[string]int64{}
	}
	if r.Conflicts.Named == nil {
		r.Conflicts.Named = []Finding{}
	}
	if r.Violations == nil {
		r.Violations = map[Kind]Findings{}
	}
}

// Report judges what was added so far. It may be called more than once. See Err.
func (c *Checker) Report() Report {
	r := c.report
	r.Failed, r.DeadLetters, r.Violations = maps.Clone(r.Failed), maps.Clone(r.DeadLetters), maps.Clone(r.Violations)
	r.Unread = slices.SortedFunc(slices.Values(r.Unread), func(a, b Unread) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	if c.ledger != nil {
		totals := c.totals
		r.Ledger = &totals
	}
	c.places = newPlaces(c.places.known)
	open := newSpool(factSize) // facts of records without an end: judged, and kept where those are
	defer func() { _ = open.close() }()
	all := c.waits
	partitions := slices.SortedFunc(maps.Values(c.inputs), func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, p := range partitions {
		c.committedInside(&r, &p.Range)
		p.eachOpen(func(offset int64, rec *record) {
			open.addFact(rec.fact(p, offset, p.mark(offset)))
			c.judge(&r, &all, p, offset, rec)
		})
	}
	for _, log := range c.retry {
		c.committedInside(&r, &log)
	}
	r.Requests += c.waits.records
	r.Replays += c.waits.replays
	r.Unfinished = all.records
	if all.records > 0 && all.oldest > 0 {
		oldest := time.Unix(int64(all.oldest), 0).UTC()
		r.OldestUnfinished = &oldest
	}
	c.err = c.judgeFacts(&r, open)
	r.New = c.countNew(&r)
	return r
}

// countNew counts the breaches that the look before did not have, kind by kind.
// What was found while reading is there for ever, so its total tells. What was
// judged may be none any more, so its places do, but for those of the look before
// that were too many to be remembered: they may all be among these.
func (c *Checker) countNew(r *Report) *int64 {
	if c.before == nil {
		return nil
	}
	n := int64(0)
	for kind, f := range r.Violations {
		forgotten := c.before[kind] - int64(len(c.places.known[kind]))
		n += max(f.Total-c.before[kind], c.places.fresh[kind]-forgotten, 0)
	}
	return &n
}

func (c *Checker) committedInside(r *Report, log *Range) {
	if log.Committed > log.End {
		topic := slices.Index(c.topics.Inputs, log.Topic) // -1: the retry topic
		c.judged(r, CommittedBeyondEnd, c.digest.place(int64(topic), int64(log.Partition)), Finding{
			Topic: log.Topic, Partition: log.Partition, Offset: log.Committed,
			Detail: fmt.Sprintf("the log ends at %d", log.End),
		})
	}
}

// judge looks at a record that has no end.
func (c *Checker) judge(r *Report, all *unfinished, p *partition, offset int64, rec *record) {
	isSeen := p.mark(offset)&seen != 0
	lost := func(detail string) {
		c.judged(r, Lost, c.digest.place(int64(p.topic), int64(p.Partition), offset),
			Finding{Topic: p.Topic, Partition: p.Partition, Offset: offset, Detail: detail})
	}
	switch {
	case rec.is(parked) && c.parkedWaits(rec):
		r.Parked++
		all.add(rec, isSeen)
	case !isSeen: // a past parked copy of a record that is gone
		r.NotCheckable++
	case !p.covers(offset) || len(r.Unread) > 0:
		all.add(rec, true)
	case c.mayHaveEnded(rec):
		r.NotCheckable++
	case rec.is(parked):
		lost("its parked copy is committed as finished, and it has no end")
	case offset < p.Committed:
		lost("below the watermark, without an end and not parked")
	default:
		lost("committed as finished above the watermark, without an end and not parked")
	}
}

// mayHaveEnded says that retention may have taken the end of a record. When the
// record was written its producer's clock says, which may be ahead of the clock
// that the ends have their time from; and a time that has not come yet says
// nothing.
func (c *Checker) mayHaveEnded(rec *record) bool {
	written := int64(rec.Seconds)
	isOld := written <= c.trimmed.Add(ClockMargin).Unix()+1
	isAhead := !c.now.IsZero() && written > c.now.Unix()+1
	return !c.trimmed.IsZero() && (isOld || isAhead)
}

// unfinished sums up records without an end.
type unfinished struct {
	records, replays int64
	oldest           uint32 // seconds; 0: none of them was read
}

func (u *unfinished) add(rec *record, isSeen bool) {
	u.records++
	if isSeen && (u.oldest == 0 || rec.Seconds < u.oldest) {
		u.oldest = rec.Seconds
	}
}
