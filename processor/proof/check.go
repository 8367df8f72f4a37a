package proof

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// Topics of one system.
type Topics struct {
	Inputs                             []string
	Retry, Granted, Failed, DeadLetter string
}

// Range is what the brokers said of one partition.
type Range struct {
	Topic     string
	Partition int32
	Start     int64 // first offset that still exists
	End       int64 // offset that reading stops before
	Committed int64 // the group's watermark; -1: none
}

type topicPartition struct {
	topic     string
	partition int32
}

// Checker recomputes the promises. It is pure: it does no I/O and knows no
// clock, and it never keeps what it is given. Not safe for concurrent use.
//
// The order of the calls is part of its soundness: every AddRange first, then
// every request record, then parked records, outcomes and dead letters in any
// order, then the ledger. Read says in which order to look at a system that
// runs, so that no half-seen transaction looks like a breach.
type Checker struct {
	topics  Topics
	inputs  map[topicPartition]*partition
	retry   map[topicPartition]Range
	ids     map[uint64]identity
	digest  digest
	report  Report
	trimmed time.Time // ends written before may be deleted already
}

// NewChecker returns a Checker that has seen nothing.
func NewChecker(topics Topics) *Checker {
	return &Checker{
		topics: topics,
		inputs: map[topicPartition]*partition{},
		retry:  map[topicPartition]Range{},
		ids:    map[uint64]identity{},
		report: newReport(),
	}
}

// AddRange tells of a partition of an input or the retry topic; others are
// ignored. Adding one again moves its start, as retention does.
func (c *Checker) AddRange(r Range) {
	tp := topicPartition{r.Topic, r.Partition}
	switch {
	case r.Topic == c.topics.Retry:
		c.retry[tp] = r
	case !c.isInput(r.Topic):
		return
	case c.inputs[tp] != nil:
		c.inputs[tp].Start = r.Start
		return
	default:
		c.inputs[tp] = &partition{Range: r, pages: map[int64]*[pageSize]record{}}
	}
	if r.Committed > r.End {
		c.breach(CommittedBeyondEnd, Finding{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Committed,
			Detail: fmt.Sprintf("the log ends at %d", r.End),
		})
	}
}

// Trimmed tells that a topic of ends has lost what was written before t, so
// that a missing end of an older request proves nothing.
func (c *Checker) Trimmed(t time.Time) {
	if t.After(c.trimmed) {
		c.trimmed = t
	}
}

// Unread tells of a partition that could not be read to its end. Nothing is
// called lost then, and the verdict is Unfinished at best.
func (c *Checker) Unread(u Unread) { c.report.Unread = append(c.report.Unread, u) }

// AddRequest takes a record of an input topic and what schemas.Codec.Decode
// made of it: with InvalidRequest, that is a request as well.
func (c *Checker) AddRequest(r *kgo.Record, req schemas.Request, err error) {
	p := c.inputs[topicPartition{r.Topic, r.Partition}]
	if p == nil || r.Offset < 0 || r.Offset >= p.End {
		return // written after the look began
	}
	rec := p.at(r.Offset, true)
	if rec.is(seen) {
		return
	}
	c.report.Requests++
	replay := headerCount(r, replayOfHeader) > 0
	if replay {
		c.report.Replays++
	}
	*rec = record{
		value:   c.digest.bytes(r.Value),
		key:     c.digest.bytes(r.Key),
		seconds: ceilSeconds(r.Timestamp),
		flags:   seen,
	}
	switch reasonOf(err) {
	case "", schemas.InvalidRequest: // the rules are configuration, so an outcome of old is no breach
	case schemas.UnknownSchema:
		rec.flags |= unjudged // the schema may have been there once
		return
	default:
		return
	}
	rec.flags |= readable
	rec.id = c.digest.id(req.RequestID)
	rec.copied = c.digest.copied(req.OccurredAt, req.BizCode, req.Channel, req.CouponCode, req.CouponType)
	rec.trigger = c.digest.trigger(req.Trigger)
	c.addIdentity(r, rec.id, &req, replay)
}

func reasonOf(err error) schemas.DeadLetterReason {
	if err == nil {
		return ""
	}
	if d, ok := errors.AsType[*schemas.DecodeError](err); ok {
		return d.Reason
	}
	return schemas.UnknownSchema
}

// addIdentity counts repeats and conflicts of a request id. Neither is a breach
// of ours: the producer owns its ids.
func (c *Checker) addIdentity(r *kgo.Record, id uint64, req *schemas.Request, replay bool) {
	content := c.digest.content(req)
	known := c.ids[id]
	switch {
	case known.records == 0:
		known.content = content
		known.asked = c.digest.asked(req.CouponCode, req.CouponType)
	case known.content != content:
		known.flags |= conflicting
		c.report.Conflicts = c.report.Conflicts.with(found(r, "", req.RequestID, "its content differs from an earlier request of this id"))
	}
	if known.records > 0 && !replay {
		c.report.Repeats++
	}
	known.records = max(known.records+1, known.records) // not past its maximum
	c.ids[id] = known
}

// AddParked takes a record of the retry topic.
func (c *Checker) AddParked(r *kgo.Record) {
	log, ok := c.retry[topicPartition{r.Topic, r.Partition}]
	if !ok || r.Offset >= log.End {
		return
	}
	rec, source := c.source(r)
	if rec == nil {
		return
	}
	if r.Offset >= log.Committed {
		rec.flags |= parkedWaiting
	} else {
		rec.flags |= parkedPast
	}
	c.sameBytes(r, rec, source, "parked copy")
}

// AddDeadLetter takes a record of the dead-letter topic.
func (c *Checker) AddDeadLetter(r *kgo.Record) {
	reason := header(r, reasonHeader)
	if !knownReason(reason) {
		c.breach(Unreadable, found(r, "", "", "its reason is missing or unknown"))
		reason = "unknown"
	}
	c.report.DeadLetters[reason]++
	c.report.Attempts += attempts(r)
	rec, source := c.source(r)
	if rec == nil {
		return
	}
	c.end(r, rec, source, dead)
	if reason != string(schemas.TooLarge) || len(r.Value) > 0 {
		c.sameBytes(r, rec, source, "dead letter")
	}
}

// sameBytes: parked copies and dead letters keep the record as it was, for the
// retry and for a person's replay.
func (c *Checker) sameBytes(r *kgo.Record, rec *record, source, what string) {
	if !rec.is(seen) {
		return
	}
	if rec.value != c.digest.bytes(r.Value) {
		c.breach(Altered, found(r, source, "", "the "+what+" has another value than its request record"))
	}
	if rec.key != c.digest.bytes(r.Key) {
		c.breach(Altered, found(r, source, "", "the "+what+" has another key than its request record"))
	}
}

// end notes that a record has its end; a second one is a breach.
func (c *Checker) end(r *kgo.Record, rec *record, source string, kind flags) {
	if rec.is(ended) {
		rec.flags |= doubled
		c.breach(Doubled, found(r, source, "", endName(kind)+" after "+endName(rec.flags)))
		return
	}
	rec.flags |= kind
}

func endName(f flags) string {
	switch {
	case f&granted != 0:
		return "granted"
	case f&failed != 0:
		return "failed"
	default:
		return "dead letter"
	}
}

func (c *Checker) isInput(topic string) bool {
	return slices.Contains(c.topics.Inputs, topic)
}

func (c *Checker) breach(k Kind, f Finding) { c.report.Violations[k] = c.report.Violations[k].with(f) }
