package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// requestTrace is what the topics tell of one request id, and the JSON of
// `request --json`. Nothing of a payload is in it but what an outcome carries.
type requestTrace struct {
	RequestID string        `json:"request_id"`
	State     string        `json:"state"`
	Verdict   string        `json:"verdict"` // one sentence
	Records   []traceRecord `json:"records"` // oldest first
	More      int           `json:"more_records,omitempty"`
	Since     *time.Time    `json:"since,omitempty"`
	Read      int64         `json:"records_read"`
}

// The states of a request record, besides the kinds of its ends.
const (
	stateNotFound     = "not-found"
	stateWaits        = "waits"
	stateParked       = "parked"
	stateUnaccounted  = "unaccounted" // committed as finished, and no end is in view
	stateDoubled      = "doubled"     // two ends: a broken promise
	stateGrantedTwice = "granted-twice"
)

// traceRecord is one request record of the id, and what became of it.
type traceRecord struct {
	Source     string         `json:"source"` // topic/partition/offset
	Written    *time.Time     `json:"written,omitempty"`
	ReplayOf   string         `json:"replay_of,omitempty"`
	InDoubt    bool           `json:"in_doubt,omitempty"` // said by its own header
	OccurredAt *time.Time     `json:"occurred_at,omitempty"`
	ExpiresAt  *time.Time     `json:"expires_at,omitempty"`
	CouponCode string         `json:"coupon_code,omitempty"`
	Note       string         `json:"note,omitempty"`
	State      string         `json:"state"`
	Parked     []traceParking `json:"parked"` // the newest, oldest first
	MoreParked int            `json:"more_parked,omitempty"`
	Ends       []view         `json:"ends"` // as those
	MoreEnds   int            `json:"more_ends,omitempty"`

	partition int32
	committed int64 // of its partition; -1: none
	offset    int64
	topic     string
}

// traceParking is a copy of a request on the retry topic.
type traceParking struct {
	Topic          string     `json:"topic"`
	Partition      int32      `json:"partition"`
	Offset         int64      `json:"offset"`
	Written        time.Time  `json:"written"`
	Attempts       *int       `json:"attempts,omitempty"`
	InDoubt        bool       `json:"in_doubt,omitempty"`
	FirstAttemptAt *time.Time `json:"first_attempt_at,omitempty"`
	NextAt         *time.Time `json:"next_at,omitempty"`
}

func parkingOf(r *kgo.Record) traceParking {
	return traceParking{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Written: r.Timestamp.UTC(),
		Attempts: headerCount(r, headerAttempts), InDoubt: header(r, headerInDoubt) == "true",
		FirstAttemptAt: headerTime(r, headerFirstAttempt), NextAt: headerTime(r, headerNextAt),
	}
}

// found notes the request record itself.
func (t *traceRecord) found(r *kgo.Record, q schemas.Request, bad error) {
	written := r.Timestamp.UTC()
	t.Written, t.ReplayOf = &written, header(r, headerReplayOf)
	t.InDoubt = header(r, headerInDoubt) == "true"
	t.topic, t.partition, t.offset = r.Topic, r.Partition, r.Offset
	if bad != nil {
		t.Note = beginning(bad.Error())
	}
	if q.RequestID == "" {
		t.Note = "its bytes hold the id, but cannot be read as a request: " + t.Note
		return
	}
	t.OccurredAt, t.ExpiresAt, t.CouponCode = told(q.OccurredAt), told(q.ExpiresAt), beginning(q.CouponCode)
}

// told is nil for no time, and for one of years that JSON has no words for: a time of
// the wrong unit is often what makes a request none.
func told(at time.Time) *time.Time {
	if year := at.UTC().Year(); at.IsZero() || year < 0 || year > 9999 {
		return nil
	}
	return &at
}

const (
	maxTold  = 100       // parkings, or ends, that are kept of one record
	maxExtra = maxTraced // of all records, besides the newest of each
)

func (t *traceRecord) addParking(p traceParking, extra *int) {
	t.Parked = keepNewest(t.Parked, p, &t.MoreParked, extra)
}

func (t *traceRecord) addEnd(v view, extra *int) {
	v.shorten()
	t.Ends = keepNewest(t.Ends, v, &t.MoreEnds, extra)
}

func (p traceParking) written() time.Time { return p.Written }
func (v view) written() time.Time         { return v.Written }

// keepNewest puts one in its place among those that are kept. It counts what it drops,
// and what it keeps besides the newest.
func keepNewest[T interface{ written() time.Time }](kept []T, one T, dropped, extra *int) []T {
	at, _ := slices.BinarySearchFunc(kept, one.written(), func(t T, at time.Time) int {
		if t.written().After(at) {
			return 1
		}
		return -1 // of one time, what comes later stays behind
	})
	kept = slices.Insert(kept, at, one)
	switch {
	case len(kept) == 1:
		return kept
	case len(kept) <= maxTold && *extra < maxExtra:
		*extra++
		return kept
	default:
		*dropped++
		return slices.Delete(kept, 0, 1)
	}
}

// settle says what became of the record.
func (t *traceRecord) settle(commits proof.Commits) {
	t.committed = commits.At(t.topic, t.partition)
	switch {
	case len(t.Ends)+t.MoreEnds > 1:
		t.State = stateDoubled
	case len(t.Ends) == 1:
		t.State = t.Ends[0].Kind
	case len(t.Parked) > 0:
		t.State = stateParked
		if last := t.Parked[len(t.Parked)-1]; commits.Finished(last.Topic, last.Partition, last.Offset) {
			t.State = stateUnaccounted
		}
	case commits.Finished(t.topic, t.partition, t.offset):
		t.State = stateUnaccounted
	default:
		t.State = stateWaits
	}
}

func (t *traceRecord) seen() time.Time {
	switch {
	case t.Written != nil:
		return *t.Written
	case len(t.Parked) > 0:
		return t.Parked[0].Written
	default:
		return t.Ends[0].Written
	}
}

func compareRecords(a, b traceRecord) int {
	return cmp.Or(a.seen().Compare(b.seen()), cmp.Compare(a.Source, b.Source))
}

// verdict is of all records together: what is wrong first, then what waits, then
// the best that any of them came to.
func (s *search) verdict() (state, sentence string) {
	records := s.trace.Records
	for _, state := range []string{stateDoubled, stateUnaccounted, stateWaits, stateParked} {
		if at := slices.IndexFunc(records, func(t traceRecord) bool { return t.State == state }); at >= 0 {
			return state, s.unended(records[at])
		}
	}
	switch coupons := couponsOf(records); {
	case len(records) == 0:
		return stateNotFound, s.notFound()
	case len(coupons) > 1:
		return stateGrantedTwice, fmt.Sprintf("granted %d different coupons, which breaks the promise if Tmall honours a repeated out_id: run `coupongrant audit`, and ask Tmall", len(coupons))
	}
	for _, kind := range []string{kindGranted, kindFailed, kindDeadLetter, kindUnreadable} {
		if at := slices.IndexFunc(records, func(t traceRecord) bool { return t.State == kind }); at >= 0 {
			return kind, records[at].ended() + others(records, at)
		}
	}
	return stateNotFound, s.notFound()
}

// unended is the sentence for a record whose end is missing, or is one too many.
func (s *search) unended(t traceRecord) string {
	switch t.State {
	case stateDoubled:
		return fmt.Sprintf("%s has %d ends, which breaks the promise: run `coupongrant audit`, and keep the topics as they are", printable(t.Source), len(t.Ends)+t.MoreEnds)
	case stateUnaccounted:
		sentence := printable(t.Source) + " is committed as finished, and its end is not in view: it may become visible in a moment, so look again"
		if s.trimmed {
			return sentence + "; or it is older than what was read of the result topics (retention, --since)"
		}
		return sentence + "; if it stays so, it is lost: run `coupongrant audit`"
	case stateParked:
		return parkedSentence(t.Parked[len(t.Parked)-1])
	default:
		if t.committed < 0 {
			return fmt.Sprintf("waits: %s is written, and the group %s has not committed anything of its partition; does it run?", t.Source, s.cfg.Processor.Group)
		}
		return fmt.Sprintf("waits: %s is not finished, its partition is up to offset %d; /readyz of a replica says why something waits", t.Source, t.committed)
	}
}

func parkedSentence(p traceParking) string {
	sentence := "waits in the retry topic, " + attempts(p.Attempts) + " so far"
	if p.InDoubt {
		sentence += ", in doubt whether it was granted"
	}
	switch {
	case p.NextAt == nil:
		return sentence
	case time.Until(*p.NextAt) > 0:
		return fmt.Sprintf("%s; due at %s, in %s", sentence, clock(*p.NextAt), time.Until(*p.NextAt).Round(time.Second))
	default:
		return fmt.Sprintf("%s; due since %s: /readyz of a replica says why something waits", sentence, clock(*p.NextAt))
	}
}

func (s *search) notFound() string {
	if s.trace.Since != nil {
		return fmt.Sprintf("not found since %s: leave out --since to look at all that is kept", clock(*s.trace.Since))
	}
	return "not found: nothing that the topics keep holds this request id; it was not sent under it, or retention has deleted it"
}

// ended is the sentence for a record with its one end.
func (t *traceRecord) ended() string {
	e := t.Ends[0]
	switch e.Kind {
	case kindGranted:
		return fmt.Sprintf("granted once: coupon %s, %s, at %s", e.Coupon.InstanceID, attempts(e.Attempts), clock(*e.EndedAt))
	case kindFailed:
		return fmt.Sprintf("failed: %s%s, %s, at %s", printable(e.Reason), e.gatewaySays(), attempts(e.Attempts), clock(*e.EndedAt))
	case kindDeadLetter:
		return fmt.Sprintf("dead letter: %s: %s", printable(e.Reason), printable(e.Error))
	default:
		return fmt.Sprintf("its end at %s cannot be read: %s", e.position(), printable(e.Error))
	}
}

// others tells of the records that the sentence is not about.
func others(records []traceRecord, at int) string {
	if len(records) == 1 {
		return ""
	}
	counts := map[string]int{}
	for i, t := range records {
		if i == at {
			continue
		}
		what := "another record"
		if t.ReplayOf != "" {
			what = "a replay"
		}
		if t.State == kindGranted {
			what += " was told the same coupon"
		} else {
			what += " ended as " + t.State
		}
		counts[what]++
	}
	var parts []string
	for _, what := range sortedKeys(counts) {
		if n := counts[what]; n > 1 {
			what += fmt.Sprintf(" (%d times)", n)
		}
		parts = append(parts, what)
	}
	if records[at].ReplayOf != "" {
		return ", by a replay; " + strings.Join(parts, "; ")
	}
	return "; " + strings.Join(parts, "; ")
}

func couponsOf(records []traceRecord) map[string]bool {
	coupons := map[string]bool{}
	for _, t := range records {
		for _, e := range t.Ends {
			if e.Coupon != nil {
				coupons[e.Coupon.InstanceID] = true
			}
		}
	}
	return coupons
}
