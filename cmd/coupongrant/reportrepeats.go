package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

func repeatsQuestion() question {
	return question{
		use: "repeats", short: "Request ids with more than one record, and what became of them",
		long: `Lists every request id that more than one record of the input topics has: how many
records, how many of these are replays of dead letters, whether all ask for the same
(biz_code, open_id, channel, coupon_code, coupon_type and extra) or conflict, how the
records ended, how many are not ended yet, and how many different coupons were granted for
the id: more than one is a double grant. An id is listed if one of its records was written
in the period; all its records count. Records whose request_id is empty are left out.`,
		answer: repeats,
	}
}

// Ends of a request record.
const (
	endGranted = iota
	endFailed
	endDeadLetter
	endKinds
)

// repeats joins the request records with their ends by place, then looks at all
// records of each id: both steps sort on disk.
func repeats(ctx context.Context, r *reporter) (*table, error) {
	var bySource, byID sorter
	defer bySource.close()
	defer byID.close()
	if err := r.gatherRecords(ctx, &bySource); err != nil {
		return nil, err
	}
	if err := joinEnds(&bySource, &byID); err != nil {
		return nil, err
	}
	bySource.close()
	t := &table{
		title: []string{"Request ids with more than one record"},
		columns: []column{
			{name: "request_id", label: "request"},
			{name: "records", right: true},
			{name: "replays", right: true},
			{name: "content"},
			{name: "granted", right: true},
			{name: "failed", right: true},
			{name: "dead_letters", right: true},
			{name: "unfinished", right: true},
			{name: "coupons", right: true},
			{name: "first_written"},
			{name: "last_written"},
		},
		empty: "No request id has more than one record.",
		notes: []string{"unfinished: records without an end so far; coupons: different coupons granted for the id."},
	}
	var of identity
	done := func() {
		if of.records > 1 && of.inPeriod {
			t.rows = append(t.rows, of.cells(r.period))
		}
	}
	err := byID.each(func(row *tupleReader) error {
		if id := row.text(); id != of.id {
			done()
			of = identity{id: id}
		}
		of.add(row, r.period)
		return nil
	})
	done()
	return t, err
}

// gatherRecords reads all request records and all ends.
func (r *reporter) gatherRecords(ctx context.Context, bySource *sorter) error {
	end := func(record *kgo.Record, kind, instance int64) error {
		return bySource.add(tuple(nil).text(header(record, headerSource)).number(isEnd).number(kind).number(instance))
	}
	prints := newFingerprints()
	request := func(ctx context.Context, record *kgo.Record) error {
		q, ok, err := r.asked(ctx, record)
		if err != nil || !ok || q.RequestID == "" {
			return err
		}
		replay := int64(0)
		if header(record, headerReplayOf) != "" {
			replay = 1
		}
		return bySource.add(tuple(nil).text(positionOf(record).String()).number(isRequest).
			text(q.RequestID).text(prints.of(&q)).number(record.Timestamp.UnixMilli()).number(replay))
	}
	return r.read(ctx, takers{
		r.topics.Store: request, r.topics.Loyalty: request,
		r.topics.Granted: func(ctx context.Context, record *kgo.Record) error {
			o, err := outcomeOf[*schemas.Granted](ctx, r, record)
			if err != nil || o == nil {
				return err
			}
			return end(record, endGranted, o.Coupon.InstanceID)
		},
		r.topics.Failed: func(ctx context.Context, record *kgo.Record) error {
			o, err := outcomeOf[*schemas.Failed](ctx, r, record)
			if err != nil || o == nil {
				return err
			}
			return end(record, endFailed, 0)
		},
		r.topics.DeadLetter: func(_ context.Context, record *kgo.Record) error { return end(record, endDeadLetter, 0) },
	})
}

// joinEnds makes of a request record and its ends rows by request id.
func joinEnds(bySource, byID *sorter) error {
	var place, id, content string // of the request record that was met last
	var written, replay, ends int64
	met := false
	done := func() error {
		if !met {
			return nil
		}
		return byID.add(tuple(nil).text(id).number(isRequest).text(content).number(written).number(replay).number(min(ends, 1)))
	}
	err := bySource.each(func(r *tupleReader) error {
		source, kind := r.text(), r.number()
		if kind == isEnd {
			if !met || source != place {
				return nil // retention has taken its request
			}
			ends++
			return byID.add(tuple(nil).text(id).number(isEnd).number(r.number()).number(r.number()))
		}
		if err := done(); err != nil {
			return err
		}
		place, met, ends = source, true, 0
		id, content, written, replay = r.text(), r.text(), r.number(), r.number()
		return nil
	})
	if err != nil {
		return err
	}
	return done()
}

// identity is what is known of one request id. Its rows come in order: records
// by content, then ends by kind and coupon.
type identity struct {
	id                         string
	records, replays, finished int64
	content                    string
	conflicting, inPeriod      bool
	ends                       [endKinds]int64
	coupons, instance          int64
	first, last                int64
}

func (i *identity) add(row *tupleReader, of period) {
	if row.number() == isEnd {
		kind, instance := row.number(), row.number()
		if kind == endGranted && (i.coupons == 0 || instance != i.instance) {
			i.coupons++
			i.instance = instance
		}
		i.ends[kind]++
		return
	}
	content, written := row.text(), row.number()
	if i.records == 0 {
		i.content, i.first, i.last = content, written, written
	}
	i.conflicting = i.conflicting || content != i.content
	i.first, i.last = min(i.first, written), max(i.last, written)
	i.inPeriod = i.inPeriod || of.has(written)
	i.records++
	i.replays += row.number()
	i.finished += row.number()
}

func (i *identity) cells(of period) []cell {
	content := "same"
	if i.conflicting {
		content = "conflicting"
	}
	return []cell{
		textCell(i.id), countCell(i.records), countCell(i.replays), textCell(content),
		countCell(i.ends[endGranted]), countCell(i.ends[endFailed]), countCell(i.ends[endDeadLetter]),
		countCell(i.records - i.finished), countCell(i.coupons), momentCell(i.first, of.zone), momentCell(i.last, of.zone),
	}
}

// fingerprints stand for what requests ask for, which holds the open_id: what is
// written to disk says nothing to whoever does not know the key, and nobody does.
type fingerprints struct{ key [16]byte }

func newFingerprints() (f fingerprints) {
	_, _ = rand.Read(f.key[:]) // never fails (crypto/rand)
	return f
}

func (f fingerprints) of(q *schemas.Request) string {
	sum := sha256.Sum256(proof.AppendContent(f.key[:], q))
	return string(sum[:])
}
