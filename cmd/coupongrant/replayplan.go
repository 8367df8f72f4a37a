package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// planned is what is to be done with a chosen dead letter, and its JSON.
type planned struct {
	letter
	Action     string    `json:"action"`
	Why        string    `json:"why,omitempty"` // it is left
	To         string    `json:"to,omitempty"`  // topic/partition
	Replays    []earlier `json:"replays"`       // of earlier times
	ReplayedAs string    `json:"replayed_as,omitempty"`

	source  position
	doubtAt time.Time // from which on it is in doubt; zero: it is not
}

const (
	actionReplay = "replay"
	actionLeave  = "leave"
)

// earlier is a record that put the same dead letter back.
type earlier struct {
	Source  string    `json:"source"`
	Written time.Time `json:"written"`
}

// replayPlan decides what is put back.
type replayPlan struct {
	again  bool
	window time.Duration // gateway.idempotency_window
	inputs []proof.Range // what stands in the input topics, in open transactions too
	known  map[string][]earlier
	unsure map[string]bool // by source: retention may have taken an earlier replay
	now    time.Time
}

// planReplays decides for every chosen dead letter, oldest first.
func (l *letters) planReplays(ctx context.Context, again bool) ([]planned, error) {
	var found []letter
	if err := l.all(ctx, func(one letter) { found = append(found, one) }); err != nil {
		return nil, err
	}
	slices.SortFunc(found, compareLetters)
	p := replayPlan{
		again: again, window: l.cfg.Processor.IdempotencyWindow, now: time.Now(),
		known: map[string][]earlier{}, unsure: map[string]bool{},
	}
	var err error
	if p.inputs, err = l.Written(ctx, l.topics.Store, l.topics.Loyalty); err != nil {
		return nil, withoutTopic(err)
	}
	if err := l.findReplays(ctx, &p, found); err != nil {
		return nil, err
	}
	var plan []planned
	replays := 0
	for _, one := range found {
		if l.filter.limit > 0 && replays == l.filter.limit {
			break
		}
		decided := p.decide(one)
		if decided.Action == actionReplay {
			replays++
		}
		plan = append(plan, decided)
	}
	return plan, nil
}

// findReplays looks for what earlier replays have written. A replay goes to the
// partition of its request, behind it, and is written after the dead letter, if
// maybe by a clock that is behind the other: so no more than that is read.
func (l *letters) findReplays(ctx context.Context, p *replayPlan, found []letter) error {
	wanted := map[string]bool{}
	from := map[position]int64{} // of each partition, by its position 0
	since := p.now
	for _, one := range found {
		at, ok := parsePosition(one.Source)
		if !ok || p.rangeOf(at) == nil {
			continue
		}
		wanted[one.Source] = true
		since = earliest(since, one.Written)
		partition := position{at.topic, at.partition, 0}
		if first, ok := from[partition]; !ok || at.offset+1 < first {
			from[partition] = at.offset + 1
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	recent, err := l.Since(ctx, p.inputs, since.Add(-proof.ClockMargin))
	if err != nil {
		return err
	}
	var ranges []proof.Range
	for i, r := range recent {
		first, ok := from[position{r.Topic, r.Partition, 0}]
		if !ok {
			continue
		}
		p.markUnsure(found, p.inputs[i], r.Start)
		if r.Start = max(r.Start, first); r.Start < r.End {
			ranges = append(ranges, r)
		}
	}
	return l.Scan(ctx, ranges, func(r *kgo.Record) error {
		if of := header(r, headerReplayOf); wanted[of] {
			p.known[of] = append(p.known[of], earlier{positionOf(r).String(), r.Timestamp.UTC()})
		}
		return nil
	})
}

// markUnsure notes whose replay can have been in the topic and be gone: the log
// begins behind the request, and with something younger than the dead letter.
func (p *replayPlan) markUnsure(found []letter, kept proof.Range, recent int64) {
	if recent > kept.Start {
		return // what is kept reaches back beyond every dead letter
	}
	for _, one := range found {
		at, ok := parsePosition(one.Source)
		if ok && at.topic == kept.Topic && at.partition == kept.Partition && at.offset+1 < kept.Start {
			p.unsure[one.Source] = true
		}
	}
}

func (p *replayPlan) rangeOf(at position) *proof.Range {
	i := slices.IndexFunc(p.inputs, func(r proof.Range) bool { return r.Topic == at.topic && r.Partition == at.partition })
	if i < 0 {
		return nil
	}
	return &p.inputs[i]
}

// decide says whether a dead letter is put back, and in how much doubt.
//
// An earlier replay may have been granted. So one that is put back again is in
// doubt since then: no refusal fails it, and once Tmall may have forgotten the
// id it is not called any more.
func (p *replayPlan) decide(one letter) planned {
	d := planned{letter: one, Action: actionLeave, Replays: p.known[one.Source]}
	if d.Replays == nil {
		d.Replays = []earlier{}
	}
	at, ok := parsePosition(one.Source)
	if !ok || p.rangeOf(at) == nil {
		d.Why = "its source is no partition of an input topic of this configuration: put it back with the configuration under which it was read"
		return d
	}
	d.source, d.To = at, fmt.Sprintf("%s/%d", at.topic, at.partition)
	d.doubtAt = doubtSince(one, d.Replays)
	switch {
	case one.Reason == string(schemas.ConflictingRequest):
		// Tmall may answer with the coupon of the other request: no replay can know.
		d.Why = "its request_id asked for something else before, or Tmall refuses it for its id: its producer must send it anew with an id of its own"
	case one.ValueLost:
		d.Why = fmt.Sprintf("its value of %d bytes fitted no topic and is not there: only its producer can send it again, smaller", one.ValueBytes)
	case one.ValueBytes == 0:
		d.Why = "it has no value, so there is nothing to grant"
	case one.ValueBytes > schemas.MaxValueBytes:
		d.Why = fmt.Sprintf("its value takes %d bytes, and no more than %d are read: it would come back", one.ValueBytes, schemas.MaxValueBytes)
	case len(d.Replays) > 0 && !p.again:
		last := d.Replays[len(d.Replays)-1]
		d.Why = fmt.Sprintf("it was put back already, as %s at %s: see `coupongrant request` for what became of that; --again does it once more", last.Source, clock(last.Written))
	case p.unsure[one.Source] && !p.again:
		d.Why = fmt.Sprintf("whether it was put back before cannot be seen any more, as %s does not reach back to it; if you know that it was not, use --again", d.To)
	case !d.doubtAt.IsZero() && p.now.Sub(d.doubtAt) > p.window:
		d.Why = fmt.Sprintf("it may have been granted since %s, longer ago than gateway.idempotency_window (%v): a repeat might grant again, so it would come back; ask Tmall, or raise that setting here and in `run` if Tmall is known to remember longer", clock(d.doubtAt), p.window)
	default:
		d.Action = actionReplay
	}
	return d
}

// doubtSince is the earliest time at which a coupon may have been granted that
// nobody knows of; zero: there is none.
func doubtSince(one letter, replays []earlier) (at time.Time) {
	if one.InDoubt {
		at = one.Written
		if one.FirstAttemptAt != nil {
			at = *one.FirstAttemptAt
		}
	}
	for _, r := range replays {
		at = earliest(at, r.Written)
	}
	return at
}

// earliest ignores the zero time.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// record is the new request.
func (d *planned) record(dead *kgo.Record) *kgo.Record {
	headers := []kgo.RecordHeader{{Key: headerReplayOf, Value: []byte(d.Source)}}
	if !d.doubtAt.IsZero() {
		headers = append(headers,
			kgo.RecordHeader{Key: headerInDoubt, Value: []byte("true")},
			kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(rfc3339(d.doubtAt))})
	}
	for _, h := range dead.Headers { // the outcome should be found under the trace of the request
		if h.Key == "traceparent" || h.Key == "tracestate" {
			headers = append(headers, h)
		}
	}
	return &kgo.Record{Topic: d.source.topic, Partition: d.source.partition, Key: dead.Key, Value: dead.Value, Headers: headers}
}

func (d *planned) line() string {
	if d.Action == actionLeave {
		return fmt.Sprintf("leave   %s  %s: %s", d.position(), printable(d.Reason), printable(d.Why))
	}
	text := fmt.Sprintf("replay  %s  %s", d.position(), printable(d.Reason))
	if d.RequestID != "" {
		text += "  request " + printable(d.RequestID)
	}
	text += "  to " + d.To
	if d.ReplayedAs != "" {
		text += ", as " + d.ReplayedAs
	}
	if !d.doubtAt.IsZero() {
		text += doubt(true, &d.doubtAt)
	}
	return text
}
