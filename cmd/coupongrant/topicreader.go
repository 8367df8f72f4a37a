package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// topicReader reads the topics for a person: `request`, `dead-letters`, `tail`, `report`,
// and the console's search.
type topicReader struct {
	*proof.Reader
	cfg    Config
	topics processor.Topics
}

func newTopicReader(cfg Config, kafka []kgo.Opt) (*topicReader, error) {
	source, err := newSource(cfg, kafka)
	if err != nil {
		return nil, err
	}
	source.Patience = clusterPatience
	return &topicReader{Reader: proof.NewReader(source), cfg: cfg, topics: cfg.Processor.Topics}, nil
}

func (t *topicReader) close() { t.Registry.Close() }

// ranges is what can be read of topics now, from a time on if one is given.
func (t *topicReader) ranges(ctx context.Context, since time.Time, topics ...string) ([]proof.Range, error) {
	ranges, err := t.Stable(ctx, topics...)
	if err == nil && !since.IsZero() {
		ranges, err = t.Since(ctx, ranges, since)
	}
	return ranges, withoutTopic(err)
}

// withoutTopic is err, which says what to do about a topic that is not there.
func withoutTopic(err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: check the settings topics.*, or run `coupongrant topics create`", err)
	}
	return err
}

// missingTopic names the setting too, which may be what is wrong.
func missingTopic(cfg Config, topic string) *mendableError {
	key := topicKeys(cfg)[topic]
	return &mendableError{fmt.Sprintf("the topic %s (%s) is missing", topic, key), "run `coupongrant topics create`; if it has another name, set " + key}
}

// request reads the value of a request record, a parked copy or a dead letter.
// bad says that it is none, or breaks a rule.
func (t *topicReader) request(ctx context.Context, value []byte) (q schemas.Request, bad, err error) {
	q, bad, err = t.Request(ctx, value)
	return q, bad, registryError(t.cfg, err)
}

func (t *topicReader) outcome(ctx context.Context, value []byte) (o schemas.Outcome, bad, err error) {
	o, bad, err = t.Outcome(ctx, value)
	return o, bad, registryError(t.cfg, err)
}

// view reads a record of a result topic. An error says that the registry gave no
// answer, after some seconds.
func (t *topicReader) view(ctx context.Context, r *kgo.Record) (view, error) {
	v := viewOf(r)
	if r.Topic == t.topics.DeadLetter {
		v.deadLetter(r)
		return v, nil
	}
	outcome, bad, err := t.outcome(ctx, r.Value)
	if bad != nil {
		v.Kind, v.Error = kindUnreadable, bad.Error()
	} else if err == nil {
		v.outcome(outcome)
	}
	return v, err
}

// idFilter finds records that may be about a request id by their bytes, whatever
// their schema: Avro writes a string as its length and its UTF-8. To decode all
// of them would take some ten times as long.
type idFilter struct {
	id     string
	needle []byte
}

// tellingID is the length from which on an id is hardly in other bytes by chance.
const tellingID = 8

func newIDFilter(id string) (idFilter, error) {
	if n := len([]rune(id)); n < 1 || n > schemas.MaxRequestID {
		return idFilter{}, fmt.Errorf("the request id has %d characters: use one of 1 to %d", n, schemas.MaxRequestID)
	}
	return idFilter{id: id, needle: slices.Concat(binary.AppendVarint(nil, int64(len(id))), []byte(id))}, nil
}

func (f idFilter) mayBeIn(value []byte) bool { return bytes.Contains(value, f.needle) }

// names says whether a value is about the id, where decoding gave q or bad. What
// cannot be read is taken for it when its bytes can hardly be there by chance.
func (f idFilter) names(q schemas.Request, bad error) bool {
	if bad != nil && q.RequestID == "" {
		return len(f.id) >= tellingID
	}
	return q.RequestID == f.id
}
