package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// slowMark begins the ids of requests whose calls take spec.Slow.
const slowMark = "slow"

// load makes the requests of a run. All of them go to the store's topic; a key
// has one partition, and the keys are spread evenly over them. One goroutine
// writes the usual ones, and another may disturb.
type load struct {
	spec   spec
	topic  string
	codec  *schemas.Codec
	client *kgo.Client
	rand   *rand.Rand // of the usual ones
	made   atomic.Int64
	seen   *arrivals

	mu      sync.Mutex
	refused error // the first that could not be written
}

func newLoad(s spec, c *cluster, seen *arrivals) (*load, error) {
	client, err := kgo.NewClient(append(c.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(0))...)
	if err != nil {
		return nil, fmt.Errorf("preparing the writer of requests: %w", err)
	}
	return &load{spec: s, topic: c.topics.Store, codec: c.codec, client: client, rand: rand.New(rand.NewPCG(1, 2)), seen: seen}, nil
}

// write sends a request that is due at a moment; zero: nobody asks how long it
// takes.
func (l *load) write(ctx context.Context, key int, slow bool, due time.Time) error {
	mark := "b"
	if slow {
		mark = slowMark
	}
	value, err := l.codec.EncodeRequest(l.topic, l.request(fmt.Sprintf("%s-%08d", mark, l.made.Add(1))))
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	record := &kgo.Record{
		Topic: l.topic, Partition: int32(key) % l.spec.Partitions, Key: fmt.Appendf(nil, "till-%06d", key), Value: value, //nolint:gosec // keys are few
	}
	l.client.Produce(ctx, record, func(r *kgo.Record, err error) {
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.refused = err
			return
		}
		if !due.IsZero() {
			l.seen.due(r.Partition, r.Offset, due)
		}
	})
	return nil
}

// request is a store checkout; what makes it large is copied to its outcome and
// not sent to the gateway.
func (l *load) request(id string) schemas.Request {
	const usual = 150 // bytes of a value without anything that makes it large
	store, receipt := "S042", "S042-20261126-00017"
	if more := l.spec.Bytes - usual; more > 0 {
		receipt += strings.Repeat("x", more)
	}
	return schemas.Request{
		RequestID: id, OccurredAt: time.Now().UTC().Truncate(time.Millisecond), BizCode: "store",
		OpenID: schemas.NewOpenID("AAEbenchBENCHbenchBENCH0123456789"), Channel: "pos",
		CouponCode: "c276-01", CouponType: 276,
		Trigger: &schemas.Trigger{Kind: "store-checkout", StoreID: &store, ReceiptID: &receipt},
	}
}

// anyone is the next of the usual requests.
func (l *load) anyone(ctx context.Context, due time.Time) error {
	slow := l.spec.Stragglers > 0 && l.rand.Float64() < l.spec.Stragglers
	return l.write(ctx, l.rand.IntN(l.spec.Keys), slow, due)
}

// flush waits until all is written.
func (l *load) flush(ctx context.Context) error {
	if err := l.client.Flush(ctx); err != nil {
		return fmt.Errorf("writing requests: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		return fmt.Errorf("writing requests: %w", l.refused)
	}
	return nil
}

// backlog writes so many at once.
func (l *load) backlog(ctx context.Context, n int) error {
	for range n {
		if err := l.anyone(ctx, time.Time{}); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

// disturb writes what others must not feel, all at once.
func (l *load) disturb(ctx context.Context) error {
	key := l.spec.Keys // nobody else's
	for i := range l.spec.Hot + l.spec.Stuck {
		if err := l.write(ctx, key, i >= l.spec.Hot, time.Time{}); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

// steadily writes at the rate of the spec until ctx ends. What is due is sent
// however late it is, and was due when it was due.
func (l *load) steadily(ctx context.Context, rate float64) error {
	const look = time.Millisecond
	interval := time.Duration(float64(time.Second) / rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; {
		select {
		case <-ctx.Done():
			return l.flush(context.WithoutCancel(ctx))
		case <-timer.C:
		}
		for ; !due.After(time.Now()); due = due.Add(l.jittered(interval)) {
			if err := l.anyone(context.WithoutCancel(ctx), due); err != nil {
				return err
			}
		}
		timer.Reset(max(look, time.Until(due)))
	}
}

// jittered keeps requests from falling into step with anything that ticks.
func (l *load) jittered(interval time.Duration) time.Duration {
	return interval/2 + time.Duration(l.rand.Int64N(int64(interval)+1))
}
