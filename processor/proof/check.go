package proof

import (
	"cmp"
	"errors"
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
	Start     int64   // first offset that still exists
	End       int64   // offset that reading stops before
	Committed int64   // the group's watermark; -1: none
	Finished  []int64 // offsets above it that are committed as finished, in order
}

type topicPartition struct {
	topic     string
	partition int32
}

// ClockMargin is how far the clocks of machines may be apart that write to one
// system. Brokers of Kafka 4 take no record that is further ahead of theirs, if
// nobody told them otherwise (message.timestamp.after.max.ms).
const ClockMargin = time.Hour

// Checker recomputes the promises. It reads no clock, and of what it is given it
// keeps half a byte for each record, about 150 bytes for each that has no end
// yet, and fingerprints on disk, in a file that has no name (see spool). Not
// safe for concurrent use.
//
// The order of the calls is part of its soundness: every AddRange first, then
// every request record, then parked records, outcomes and dead letters in any
// order, then the ledger. It may be given more and more of a system in this
// order, as long as every end comes after its request. Read says in which order
// to look at a system that runs, so that no half-seen transaction looks like a
// breach.
type Checker struct {
	topics  Topics
	inputs  map[topicPartition]*partition
	retry   map[topicPartition]Range
	read    map[topicPartition]int64 // of every topic: the offset that reading goes on at
	digest  digest
	report  Report
	trimmed time.Time // ends written before may be deleted already
	now     time.Time // when the look began; zero: nobody said

	facts   *spool // of records that ended; kept from look to look
	waiting *spool // facts of records that were only counted
	ledger  *spool // nil: there is none
	totals  LedgerTotals
	waits   unfinished     // of the records that were only counted
	state   *state         // nil: nothing is kept
	before  map[Kind]int64 // breaches of the report that was saved; nil: none was
	places  places         // of the breaches that Report has judged
	err     error          // the first of Report
}

// NewChecker returns a Checker that has seen nothing.
func NewChecker(topics Topics) *Checker {
	return &Checker{
		topics:  topics,
		inputs:  map[topicPartition]*partition{},
		retry:   map[topicPartition]Range{},
		read:    map[topicPartition]int64{},
		digest:  newDigest(),
		report:  newReport(),
		facts:   newSpool(factSize),
		waiting: newSpool(factSize),
		places:  newPlaces(nil),
	}
}

// Close gives back what is on disk, but for the state.
func (c *Checker) Close() error {
	err := errors.Join(c.facts.close(), c.waiting.close())
	if c.ledger != nil {
		err = errors.Join(err, c.ledger.close())
	}
	return err
}

// Err is the first error of keeping fingerprints on disk: what fails for one file
// fails for the others. A Report is worth nothing if there is one.
func (c *Checker) Err() error {
	err := cmp.Or(c.facts.err, c.waiting.err, c.err)
	if c.ledger != nil {
		err = cmp.Or(err, c.ledger.err)
	}
	return err
}

// AddRange tells of a partition of an input or the retry topic, or what is new
// of it; others are ignored.
func (c *Checker) AddRange(r Range) {
	tp := topicPartition{r.Topic, r.Partition}
	if r.Topic == c.topics.Retry {
		c.retry[tp] = r
	}
	topic := slices.Index(c.topics.Inputs, r.Topic)
	switch {
	case topic < 0:
	case c.inputs[tp] == nil:
		c.inputs[tp] = newPartition(r, topic)
	default:
		c.inputs[tp].Range = r
	}
}

// Trimmed tells that a topic of ends has lost what was written before t, so
// that a missing end of an older request proves nothing (see mayHaveEnded).
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
	if p == nil || r.Offset < 0 || r.Offset >= p.End || p.mark(r.Offset)&seen != 0 {
		return // written after the look began, or known
	}
	c.report.Requests++
	rec := c.record(r, &req, err)
	if rec.is(replay) {
		c.report.Replays++
	}
	p.add(r.Offset, seen)
	p.open[r.Offset] = rec
}

// AddWaiting is AddRequest for a record behind all that has an end or is
// committed as finished: it is counted and not remembered, so that a backlog
// takes no memory. No end may be added after the first of these.
func (c *Checker) AddWaiting(r *kgo.Record, req schemas.Request, err error) {
	p := c.inputs[topicPartition{r.Topic, r.Partition}]
	rec := c.record(r, &req, err)
	c.waits.add(&rec, true)
	if rec.is(replay) {
		c.waits.replays++
	}
	c.waiting.addFact(rec.fact(p, r.Offset, seen))
}

func (c *Checker) record(r *kgo.Record, req *schemas.Request, err error) record {
	rec := record{
		Value:   c.digest.bytes(r.Value),
		Key:     c.digest.bytes(r.Key),
		Seconds: ceilSeconds(r.Timestamp),
	}
	if headerCount(r, replayOfHeader) > 0 {
		rec.Flags |= replay
	}
	switch reasonOf(err) {
	case "", schemas.InvalidRequest: // the rules are configuration, so an outcome of old is no breach
	case schemas.UnknownSchema:
		rec.Flags |= unjudged // the schema may have been there once
		return rec
	default:
		return rec
	}
	rec.ID = c.digest.id(req.RequestID)
	rec.Copied = c.digest.copied(req.OccurredAt, req.BizCode, req.Channel, req.CouponCode, req.CouponType)
	rec.Trigger = c.digest.trigger(req.Trigger)
	rec.Content = c.digest.content(req)
	rec.Asked = c.digest.asked(req.CouponCode, req.CouponType)
	return rec
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

// AddParked takes a record of the retry topic. A copy that is read after the end
// of its request is not compared with it any more.
func (c *Checker) AddParked(r *kgo.Record) {
	log, ok := c.retry[topicPartition{r.Topic, r.Partition}]
	if !ok || r.Offset >= log.End {
		return
	}
	a := c.source(r)
	if a == nil || a.mark.end() != notEnded {
		return
	}
	if a.record.is(parked) && log.covers(r.Offset) && c.parkedWaits(&a.record) {
		return // the order between partitions is that of reading
	}
	a.record.Flags |= parked
	a.record.ParkedIn, a.record.ParkedAt = r.Partition, r.Offset
	a.partition.open[a.offset] = a.record
	c.sameBytes(r, a, "parked copy")
}

// parkedWaits says that the parked copy of a record is not finished.
func (c *Checker) parkedWaits(rec *record) bool {
	log := c.retry[topicPartition{c.topics.Retry, rec.ParkedIn}]
	return !log.covers(rec.ParkedAt)
}

// AddDeadLetter takes a record of the dead-letter topic.
func (c *Checker) AddDeadLetter(r *kgo.Record) {
	reason := header(r, reasonHeader)
	if !slices.Contains(schemas.DeadLetterReasons(), schemas.DeadLetterReason(reason)) {
		c.breach(Unreadable, found(r, "", "", "its reason is missing or unknown"))
		reason = "unknown"
	}
	c.report.DeadLetters[reason]++
	c.report.Attempts += attempts(r)
	a := c.source(r)
	if a == nil {
		return
	}
	if c.end(r, a, dead) && (reason != string(schemas.TooLarge) || len(r.Value) > 0) {
		c.sameBytes(r, a, "dead letter")
	}
	c.facts.addFact(a.fact())
}

// sameBytes: parked copies and dead letters keep the record as it was, for the
// retry and for a person's replay.
func (c *Checker) sameBytes(r *kgo.Record, a *answered, what string) {
	if a.mark&seen == 0 {
		return
	}
	if a.record.Value != c.digest.bytes(r.Value) {
		c.breach(Altered, found(r, a.source, "", "the "+what+" has another value than its request record"))
	}
	if a.record.Key != c.digest.bytes(r.Key) {
		c.breach(Altered, found(r, a.source, "", "the "+what+" has another key than its request record"))
	}
}

// end notes that a record has its end; a second one is a breach, and there is
// nothing left to compare it with.
func (c *Checker) end(r *kgo.Record, a *answered, kind ended) (first bool) {
	if was := a.mark.end(); was != notEnded {
		c.breach(Doubled, found(r, a.source, "", kind.String()+" after "+was.String()))
		a.record = record{}
		return false
	}
	if a.mark&seen == 0 {
		c.report.Gone++
	}
	a.partition.add(a.offset, mark(kind))
	delete(a.partition.open, a.offset)
	return true
}

func (c *Checker) breach(k Kind, f Finding) { c.report.Violations[k] = c.report.Violations[k].with(f) }
