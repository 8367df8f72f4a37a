package proof

import (
	"cmp"
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

// ExitCode of the audit command.
func (v Verdict) ExitCode() int {
	switch v {
	case Balanced:
		return 0
	case Unfinished:
		return 4
	default:
		return 3
	}
}

func newReport() Report {
	return Report{
		Failed:      map[string]int64{},
		DeadLetters: map[string]int64{},
		Conflicts:   Findings{Named: []Finding{}},
		Violations:  map[Kind]Findings{},
	}
}

// Report judges what was added so far. It may be called more than once.
func (c *Checker) Report() Report {
	r := c.report
	r.Failed, r.DeadLetters, r.Violations = maps.Clone(r.Failed), maps.Clone(r.DeadLetters), maps.Clone(r.Violations)
	r.Unread = slices.SortedFunc(slices.Values(r.Unread), func(a, b Unread) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	partitions := slices.SortedFunc(maps.Values(c.inputs), func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, p := range partitions {
		p.each(func(offset int64, rec *record) { c.judge(&r, p, offset, rec) })
	}
	return r
}

func (c *Checker) judge(r *Report, p *partition, offset int64, rec *record) {
	breach := func(k Kind, detail string) {
		r.Violations[k] = r.Violations[k].with(Finding{Topic: p.Topic, Partition: p.Partition, Offset: offset, Detail: detail})
	}
	switch {
	case rec.is(ended):
		if !rec.is(seen) {
			r.Gone++
		}
	case rec.is(parkedWaiting):
		r.Parked++
		r.unfinished(rec)
	case !rec.is(seen): // a past parked copy of a record that is gone
		r.NotCheckable++
	case offset >= p.Committed || len(r.Unread) > 0:
		r.unfinished(rec)
	case !c.trimmed.IsZero() && int64(rec.seconds) <= c.trimmed.Unix()+1:
		r.NotCheckable++
	case rec.is(parkedPast):
		breach(Lost, "its parked copy is below the retry topic's watermark, and it has no end")
	default:
		breach(Lost, "below the watermark, without an end and not parked")
	}
	if r.Ledger != nil && rec.is(ended) {
		if what := c.untrue(rec); what != "" {
			breach(Untrue, what)
		}
	}
}

func (r *Report) unfinished(rec *record) {
	r.Unfinished++
	if !rec.is(seen) {
		return
	}
	at := time.Unix(int64(rec.seconds), 0).UTC()
	if r.OldestUnfinished == nil || at.Before(*r.OldestUnfinished) {
		r.OldestUnfinished = &at
	}
}
