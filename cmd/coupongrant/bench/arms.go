package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// baseline is what the arms loop and tx share.
type baseline struct {
	order order
	codec *schemas.Codec
	close func()
}

func newBaseline(ctx context.Context, o order) (*baseline, error) {
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: o.Registry})
	if err != nil {
		return nil, err
	}
	if err := registry.FetchOwn(ctx, o.Topics.schemas()); err != nil {
		registry.Close()
		return nil, err
	}
	return &baseline{order: o, codec: schemas.NewCodec(registry, schemas.Rules{}), close: registry.Close}, nil
}

func (b *baseline) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(b.order.Brokers...), kgo.ConsumerGroup(b.order.Topics.Store),
		kgo.ConsumeTopics(b.order.Topics.Store, b.order.Topics.Loyalty),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
	}
}

// outcome is the record that the engine would publish.
func (b *baseline) outcome(r *kgo.Record, q schemas.Request, c topclient.Coupon, at time.Time) (*kgo.Record, error) {
	requestID := c.RequestID
	value, err := b.codec.EncodeOutcome(&schemas.Granted{
		Ending: schemas.Ending{
			RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: time.Now().UTC(), BizCode: q.BizCode, Channel: q.Channel,
			CouponCode: q.CouponCode, CouponType: q.CouponType, Trigger: q.Trigger,
			Attempts: 1, AttemptLog: []schemas.Attempt{{At: at.UTC()}}, GatewayRequestID: &requestID,
		},
		Coupon: schemas.Coupon{
			InstanceID: c.InstanceID, TemplateID: c.TemplateID, Discount: c.Discount, StartFee: c.StartFee,
			StartTime: c.StartTime, EndTime: c.EndTime, Name: c.Name,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding an outcome: %w", err)
	}
	source := r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
	return &kgo.Record{
		Topic: b.order.Topics.Granted, Key: r.Key, Value: value,
		Headers: []kgo.RecordHeader{{Key: headerSource, Value: []byte(source)}},
	}, nil
}

const pollRecords = 1000

// loop consumes, calls and produces, and promises nothing: of each poll as many
// are called for at once as may be, and what becomes of a record nobody waits
// for.
func loop(ctx context.Context, o order) error {
	b, err := newBaseline(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	sender, err := topclient.New(topclient.Config{URL: o.Gateway, Timeout: 2 * stuckCall, IdleConns: o.InFlight}, nil)
	if err != nil {
		return err
	}
	defer sender.CloseIdleConnections()
	client, err := kgo.NewClient(b.options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	var failed atomic.Pointer[error]
	fail := func(err error) {
		if err != nil && ctx.Err() == nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	var working sync.WaitGroup
	defer working.Wait()
	slots := make(chan struct{}, o.InFlight)
	for ctx.Err() == nil && failed.Load() == nil {
		client.PollRecords(ctx, pollRecords).EachRecord(func(r *kgo.Record) {
			slots <- struct{}{}
			working.Go(func() {
				defer func() { <-slots }()
				fail(b.callFor(ctx, client, sender, r, fail))
			})
		})
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *baseline) callFor(ctx context.Context, client *kgo.Client, sender *topclient.Client, r *kgo.Record, fail func(error)) error {
	request, err := b.decode(ctx, r)
	if err != nil {
		return err
	}
	began := time.Now()
	coupon, err := sender.Send(ctx, credentials(), topclient.Grant{
		BizCode: request.BizCode, OpenID: request.OpenID.Reveal(), Channel: request.Channel,
		OutID: request.RequestID, UUID: request.CouponCode, CouponType: request.CouponType,
	})
	if err != nil {
		return err
	}
	record, err := b.outcome(r, request, coupon, began)
	if err != nil {
		return err
	}
	client.Produce(ctx, record, func(_ *kgo.Record, err error) { fail(err) })
	return nil
}

func (b *baseline) decode(ctx context.Context, r *kgo.Record) (schemas.Request, error) {
	request, err := b.codec.Decode(r.Value)
	if err != nil {
		return request, fmt.Errorf("decoding a request: %w", err)
	}
	return request, ctx.Err()
}

// transactions consumes and produces in one transaction a poll, as the client
// library's own example does, without any call.
func transactions(ctx context.Context, o order) error {
	b, err := newBaseline(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	session, err := kgo.NewGroupTransactSession(append(b.options(), kgo.TransactionalID(o.Topics.Store+".tx"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerLinger(0))...)
	if err != nil {
		return err
	}
	defer session.Close()
	for ctx.Err() == nil {
		fetches := session.PollRecords(ctx, pollRecords)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := b.transaction(ctx, session, fetches); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (b *baseline) transaction(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	number := int64(2760000)
	name := "测试券"
	coupon := topclient.Coupon{
		InstanceID: 1<<53 + 1, TemplateID: &number, Discount: &number, StartFee: &number, StartTime: &number, EndTime: &number,
		Name: &name, RequestID: "none",
	}
	var failed kgo.FirstErrPromise
	var wrong error
	fetches.EachRecord(func(r *kgo.Record) {
		request, err := b.decode(ctx, r)
		var record *kgo.Record
		if err == nil {
			record, err = b.outcome(r, request, coupon, time.Now())
		}
		if err != nil {
			wrong = err
			return
		}
		session.Produce(ctx, record, failed.Promise())
	})
	// One that was aborted, by a rebalance, is polled again.
	_, err := session.End(ctx, kgo.TransactionEndTry(wrong == nil && failed.Err() == nil))
	return errors.Join(wrong, err)
}
