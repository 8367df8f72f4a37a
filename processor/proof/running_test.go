package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	t.Run("each look at everything", func(t *testing.T) { lookWhileRunning(t, newLive(t, 0)) })
	t.Run("each look at what is new, in small rounds", func(t *testing.T) {
		l := newLive(t, 0)
		l.source.State, l.source.round = t.TempDir(), 37
		lookWhileRunning(t, l)
	})
}

func lookWhileRunning(t *testing.T, l *live) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var engine sync.WaitGroup
	engine.Go(func() { l.endInTransactions(ctx, t) })
	var producer sync.WaitGroup
	look := func() (r Report) {
		checker, err := Read(t.Context(), l.source)
		require.NoError(t, err)
		r = checker.Report()
		require.NoError(t, checker.Save(r))
		require.NoError(t, checker.Close())
		require.Empty(t, r.Violations, text(t, r))
		return r
	}
	const burst = 150
	var n int64
	for unfinished := 0; unfinished < 4; { // looks that met something under way
		producer.Go(func() { l.produceRequests(t, burst) })
		unfinished += map[Verdict]int{Unfinished: 1}[look().Verdict()]
		producer.Wait()
		n += burst
	}
	last := look()
	for last.Requests < n || last.Verdict() != Balanced {
		last = look()
	}
	require.Equal(t, n, last.Granted)
	stop()
	engine.Wait()
}

func (l *live) produceRequests(t *testing.T, n int) {
	load := NewLoad(LoadConfig{Seed: rand.Uint64(), Store: "store", Loyalty: "loyalty", From: start, Every: time.Second, Keys: 5})
	for range n {
		e := load.Next()
		value, err := e.Value(l.codec)
		if err == nil {
			err = l.client.ProduceSync(t.Context(), &kgo.Record{Topic: e.Topic, Key: e.Key, Value: value}).FirstErr()
		}
		if err != nil {
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
