//go:build apart

package proof_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// stream is requests at a constant rate, or all at once, whatever becomes of
// them: nobody waits for an answer before the next one is sent.
type stream struct {
	name  string // begins the request ids
	topic string
	parts []int32 // in turn; a key stays on its own
	keys  int     // in turn; 0: each request has one of its own
	count int
	rate  float64       // a second; 0: all at once
	after time.Duration // from the start of the load
	extra int           // bytes that make a request larger
}

// event is one request of a stream.
type event struct {
	id     string
	due    time.Time     // when it is meant to be sent: what its end is measured from
	late   time.Duration // how much later it was given to the producer
	source position      // known once it is written
	record *kgo.Record
}

// pouring is some streams on their way.
type pouring struct {
	stage  *stage
	events map[string][]*event // by stream
	done   sync.WaitGroup
}

// pour makes every request of some streams, then sends each at its time. They
// are made before, so that the rate does not wait for that.
func (s *stage) pour(streams ...stream) *pouring {
	s.t.Helper()
	p := &pouring{stage: s, events: map[string][]*event{}}
	for _, one := range streams {
		p.events[one.name] = s.make(one)
		s.sent += one.count
	}
	began := time.Now().Add(50 * time.Millisecond)
	for _, one := range streams {
		p.done.Go(func() { s.play(one, p.events[one.name], began.Add(one.after)) })
	}
	return p
}

// written waits until all are, and says where they are.
func (p *pouring) written() map[string][]*event {
	p.stage.t.Helper()
	p.done.Wait()
	ctx, cancel := context.WithTimeout(p.stage.t.Context(), settleLimit)
	defer cancel()
	require.NoError(p.stage.t, p.stage.feeder.Flush(ctx))
	for _, events := range p.events {
		for _, e := range events {
			require.NotEmpty(p.stage.t, e.source.topic, "%s was not written", e.id)
		}
	}
	return p.events
}

// ended waits until all have their end, too.
func (p *pouring) ended(limit time.Duration) map[string][]*event {
	p.stage.t.Helper()
	for _, events := range p.written() {
		require.NoError(p.stage.t, p.stage.arrivals.ended(events, limit))
	}
	return p.events
}

func (s *stage) make(one stream) []*event {
	s.t.Helper()
	events := make([]*event, one.count)
	for i := range events {
		id := fmt.Sprintf("%s-%06d", one.name, i)
		key, lane := id, i
		if one.keys > 0 {
			lane = i % one.keys
			key = fmt.Sprintf("%s-key-%d", one.name, lane)
		}
		request := schemas.Request{
			RequestID: id, OccurredAt: time.Now().UTC().Truncate(time.Millisecond), BizCode: "biz",
			OpenID: schemas.NewOpenID("AAF-" + id), Channel: "pos", CouponCode: "c0ffee", CouponType: 276,
		}
		if one.extra > 0 {
			padding := strings.Repeat("x", one.extra)
			request.Extra = &padding
		}
		value, err := s.codec.EncodeRequest(one.topic, request)
		require.NoError(s.t, err)
		events[i] = &event{id: id, record: &kgo.Record{
			Topic: one.topic, Partition: one.parts[lane%len(one.parts)], Key: []byte(key), Value: value,
		}}
	}
	return events
}

// play keeps to the times that are due: after a stall it sends at once all that
// has become due meanwhile, and each of them counts from when it was due.
func (s *stage) play(one stream, events []*event, began time.Time) {
	for i, e := range events {
		e.due = began
		if one.rate > 0 {
			e.due = began.Add(time.Duration(float64(i) / one.rate * float64(time.Second)))
		}
		if wait := time.Until(e.due); wait > 0 {
			time.Sleep(wait)
		}
		e.late = time.Since(e.due)
		s.feeder.Produce(context.Background(), e.record, func(r *kgo.Record, err error) {
			if err == nil { // else pour misses it
				e.source = position{topicPartition{r.Topic, r.Partition}, r.Offset}
			}
		})
		e.record = nil
	}
}

// upTo are the numbers of n partitions.
func upTo(n int32) (parts []int32) {
	for i := range n {
		parts = append(parts, i)
	}
	return parts
}
