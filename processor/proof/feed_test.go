//go:build chaos || apart

package proof_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// Headers of the load: which event a record is, and that it must never be seen.
const (
	eventHeader   = "chaos-event"
	abortedHeader = "chaos-aborted"
)

const (
	batchEvents  = 20 // of an upstream transaction
	abortedEvery = 6  // one such transaction in so many
	expiringOf   = 20 // one checkout in so many has little time
)

// sent is what the run knows of an event before anyone else.
type sent struct {
	requestID string
	flaw      proof.Flaw
	batch     int    // of an upstream transaction; -1: none
	hurried   bool   // its time may pass before it is called
	unsure    bool   // of a transaction whose end nobody told us
	source    string // where it is; empty: not known yet
}

// feed produces known events at a steady rate: most plainly, some in upstream
// transactions, and others in transactions that are aborted.
type feed struct {
	system *system
	every  time.Duration
	shape  func(*proof.Event) (wanted bool) // what becomes of an event before it is sent

	mu        sync.Mutex
	load      *proof.Load
	phantom   *proof.Load // what is aborted
	sent      []sent
	aborted   map[string]bool // request ids that must never be called
	batches   int
	strayless bool                 // no stray is sent at the moment
	strays    []int                // of sent, the strays that noStray has not left out
	expiry    map[string]time.Time // of the hurried, by request id
	err       error                // the first failure of a plain record
}

func newFeed(s *system, seed uint64, rate int) *feed {
	cfg := proof.LoadConfig{
		Seed: seed, Store: s.topics.Inputs[0], Loyalty: s.topics.Inputs[1],
		From: time.Now(), Every: time.Second / time.Duration(rate),
		Keys: 40, NullKeys: 0.1, Flawed: 0.02, Repeats: 0.02,
	}
	other := cfg
	other.Seed = ^seed
	f := &feed{
		system: s, every: cfg.Every, load: proof.NewLoad(cfg), phantom: proof.NewLoad(other), aborted: map[string]bool{}, expiry: map[string]time.Time{},
	}
	f.shape = f.hurry
	return f
}

// run produces until ctx ends, and returns when all is written.
func (f *feed) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { f.transactions(ctx) })
	err := f.plainly(ctx)
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.err
	}
	return err
}

// next is the next event that is meant to be seen.
func (f *feed) next(batch int) (*kgo.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.load.Next()
	for !f.shape(&e) || isStray(e) && f.strayless {
		e = f.load.Next()
	}
	number := len(f.sent)
	if isStray(e) {
		f.strays = append(f.strays, number)
	}
	f.sent = append(f.sent, sent{requestID: e.Request.RequestID, flaw: e.Flaw, batch: batch, hurried: hasLittleTime(e)})
	return f.record(e, eventHeader, strconv.Itoa(number))
}

func (f *feed) record(e proof.Event, header, value string) (*kgo.Record, error) {
	text, err := e.Value(f.system.codec)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	return &kgo.Record{
		Topic: e.Topic, Key: e.Key, Value: text,
		Headers: []kgo.RecordHeader{{Key: header, Value: []byte(value)}},
	}, nil
}

// isHurried draws by request id, so that a repeat has the same content.
func isHurried(e proof.Event) bool {
	return e.Request.Trigger.Kind == "store-checkout" && lot(e)%expiringOf == 0
}

// isStray says that an event repeats another and may stand in another partition, as it has
// no key: of such a one replicas do not learn from one another whom it repeats.
func isStray(e proof.Event) bool { return e.Repeat && e.Key == nil }

// hurry gives some requests so little time that it passes in a fault. Strays that would
// truly be refused are not wanted, as nothing is promised of them.
func (f *feed) hurry(e *proof.Event) (wanted bool) {
	hurried := isHurried(*e)
	if isStray(*e) && (slices.Contains(limitedCoupons(), e.Request.CouponCode) || hurried) {
		return false
	}
	at, repeats := f.expiry[e.Request.RequestID]
	switch {
	case repeats:
		e.Request.ExpiresAt = at
	case hurried:
		expireIn(e, time.Duration(300+lot(*e)%4000)*time.Millisecond)
		f.expiry[e.Request.RequestID] = e.Request.ExpiresAt
	}
	return true
}

func expireIn(e *proof.Event, left time.Duration) {
	e.Request.ExpiresAt = time.Now().UTC().Truncate(time.Millisecond).Add(left)
}

func hasLittleTime(e proof.Event) bool {
	return !e.Request.ExpiresAt.IsZero() && time.Until(e.Request.ExpiresAt) < time.Minute
}

func lot(e proof.Event) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Request.RequestID))
	return rand.New(rand.NewPCG(h.Sum64(), 0)).Uint64()
}

// plainly keeps the rate by the clock: after a stall it catches up.
func (f *feed) plainly(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client, err := kgo.NewClient(append(f.system.options(), kgo.RecordDeliveryTimeout(5*time.Minute))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for began, made := time.Now(), 0; ; {
		select {
		case <-ctx.Done():
			return client.Flush(context.WithoutCancel(ctx))
		case <-tick.C:
		}
		for ; time.Duration(made)*f.every < time.Since(began)*7/10; made++ {
			record, err := f.next(-1)
			if err != nil {
				return err
			}
			client.Produce(context.WithoutCancel(ctx), record, f.written)
		}
	}
}

// flood produces so many events at once.
func (f *feed) flood(ctx context.Context, n int) error {
	client, err := kgo.NewClient(append(f.system.options(), kgo.RecordDeliveryTimeout(5*time.Minute))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for range n {
		record, err := f.next(-1)
		if err != nil {
			return err
		}
		client.Produce(ctx, record, f.written)
	}
	return client.Flush(ctx)
}

func (f *feed) written(r *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.err = fmt.Errorf("writing an event: %w", err)
		return
	}
	f.locate(r)
}

// locate notes where an event is. The caller holds mu.
func (f *feed) locate(r *kgo.Record) {
	if number, err := strconv.Atoi(headerOf(r, eventHeader)); err == nil {
		f.sent[number].source = position{topicPartition{r.Topic, r.Partition}, r.Offset}.String()
	}
}

// sendNoStrays has none sent from now on, or lets them be again.
func (f *feed) sendNoStrays(none bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.strayless = none
}

// noStray says that there is none, but for those that it may leave out.
func (f *feed) noStray(but func(source string) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.strays = slices.DeleteFunc(f.strays, func(number int) bool {
		e := f.sent[number]
		return e.unsure || e.source != "" && but(e.source)
	})
	return len(f.strays) == 0
}

// transactions are the other part of the rate.
func (f *feed) transactions(ctx context.Context) {
	tick := time.NewTicker(f.every * batchEvents * 10 / 3)
	defer tick.Stop()
	var client *kgo.Client
	for number := 0; ; number++ {
		select {
		case <-ctx.Done():
			if client != nil {
				client.Close()
			}
			return
		case <-tick.C:
		}
		if client == nil {
			var err error
			if client, err = kgo.NewClient(append(f.system.options(), kgo.TransactionalID(f.system.group+".upstream"))...); err != nil {
				return // the options are the same as everywhere, so others say it
			}
		}
		if err := f.transaction(context.WithoutCancel(ctx), client, number); err != nil {
			client.Close() // what became of it is unknown: begin afresh
			client = nil
		}
	}
}

func (f *feed) transaction(ctx context.Context, client *kgo.Client, number int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if number%abortedEvery == abortedEvery-1 {
		return f.abortedBatch(ctx, client)
	}
	first, batch := f.openBatch()
	records, err := f.batch(batch)
	if err == nil {
		err = produceBatch(ctx, client, records, kgo.TryCommit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.doubt(first, batch)
		return err
	}
	for _, r := range records {
		f.locate(r)
	}
	return nil
}

func (f *feed) openBatch() (first, batch int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches++
	return len(f.sent), f.batches
}

func (f *feed) batch(batch int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for range batchEvents {
		record, err := f.next(batch)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// doubt: of this batch either all or nothing is there. The caller holds mu.
func (f *feed) doubt(first, batch int) {
	for i := first; i < len(f.sent); i++ {
		f.sent[i].unsure = f.sent[i].unsure || f.sent[i].batch == batch
	}
}

func (f *feed) abortedBatch(ctx context.Context, client *kgo.Client) error {
	var records []*kgo.Record
	f.mu.Lock()
	for range batchEvents {
		e := f.phantom.Next()
		e.Flaw = proof.Flawless
		f.aborted[e.Request.RequestID] = true
		record, err := f.record(e, abortedHeader, "true")
		if err != nil {
			f.mu.Unlock()
			return err
		}
		records = append(records, record)
	}
	f.mu.Unlock()
	return produceBatch(ctx, client, records, kgo.TryAbort)
}

// produceBatch writes the records of one transaction, all of them even when it
// is to be aborted.
func produceBatch(ctx context.Context, client *kgo.Client, records []*kgo.Record, end kgo.TransactionEndTry) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	return client.EndTransaction(ctx, end)
}

// count is how many events were made that are meant to be seen.
func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// certain is how many of them are there whatever became of the transactions
// whose end nobody told us.
func (f *feed) certain() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sent {
		if !s.unsure {
			n++
		}
	}
	return n
}
