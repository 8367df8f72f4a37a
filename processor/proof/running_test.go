package proof

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// TestReadOfARunningSystemFindsNoBreach looks again and again while requests
// come in and are ended in transactions: what is under way must look
// unfinished, never lost, doubled or without its request.
func TestReadOfARunningSystemFindsNoBreach(t *testing.T) {
	l := newLive(t, 0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var engine sync.WaitGroup
	engine.Go(func() { l.endInTransactions(ctx, t) })
	var producer sync.WaitGroup
	producer.Go(func() { l.produceRequests(t, 2000) })

	var last Report
	unfinished := 0
	for last.Requests < 2000 || last.Verdict() != Balanced {
		last = l.look()
		require.Empty(t, last.Violations, text(t, last))
		unfinished += map[Verdict]int{Unfinished: 1}[last.Verdict()]
	}
	require.Greater(t, unfinished, 3, "too few looks met anything under way")
	require.EqualValues(t, 2000, last.Granted)
	producer.Wait()
	stop()
	engine.Wait()
}

func (l *live) produceRequests(t *testing.T, n int) {
	load := NewLoad(LoadConfig{Seed: 1, Store: "store", Loyalty: "loyalty", From: start, Every: time.Second, Keys: 5})
	for range n {
		e := load.Next()
		value, err := e.Value(l.codec)
		if err != nil {
			t.Error(err)
			return
		}
		if err := l.client.ProduceSync(t.Context(), &kgo.Record{Topic: e.Topic, Key: e.Key, Value: value}).FirstErr(); err != nil {
			t.Error(err)
			return
		}
	}
}

// endInTransactions is the smallest engine there is: it grants all that it
// polls, with ends and offsets in one transaction.
func (l *live) endInTransactions(ctx context.Context, t *testing.T) {
	session, err := kgo.NewGroupTransactSession(append(l.opts, kgo.TransactionalID("engine"), kgo.ConsumerGroup("g"),
		kgo.ConsumeTopics("store", "loyalty"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		t.Error(err)
		return
	}
	defer session.Close()
	for ctx.Err() == nil {
		fetches := session.PollRecords(ctx, 50)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			t.Error(err)
			return
		}
		fetches.EachRecord(func(r *kgo.Record) { session.Produce(ctx, l.grantOf(t, r), nil) })
		if _, err := session.End(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
			t.Error(err)
			return
		}
	}
}

func (l *live) grantOf(t *testing.T, r *kgo.Record) *kgo.Record {
	q, err := l.codec.Decode(r.Value)
	if err != nil {
		t.Error(err)
	}
	value, err := l.codec.EncodeOutcome(&schemas.Granted{Ending: schemas.Ending{
		RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: q.OccurredAt, BizCode: q.BizCode, Channel: q.Channel,
		CouponCode: q.CouponCode, CouponType: q.CouponType, Trigger: q.Trigger, Attempts: 1, GatewayRequestID: ptr("g"),
	}, Coupon: schemas.Coupon{InstanceID: 1}})
	if err != nil {
		t.Error(err)
	}
	source := fmt.Appendf(nil, "%s/%d/%d", r.Topic, r.Partition, r.Offset)
	return &kgo.Record{Topic: "granted", Key: r.Key, Value: value, Headers: []kgo.RecordHeader{{Key: sourceHeader, Value: source}}}
}
