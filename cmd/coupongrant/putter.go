package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/time/rate"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// replacement is a dead letter and the request that takes its place.
type replacement struct {
	*planned
	record *kgo.Record
}

// putter writes requests, each batch in a transaction of its own.
type putter struct {
	client *kgo.Client
	limit  *rate.Limiter
	batch  int // records of a transaction at most
}

// endPatience bounds the end of a transaction, which no interrupt cuts short.
const endPatience = 30 * time.Second

// newPutter fences whoever puts something back for the same group, and ends what
// that one has left open.
func newPutter(ctx context.Context, cfg Config, perSecond float64) (*putter, error) {
	client, err := connect(ctx, cfg, quiet(),
		kgo.TransactionalID(replayTransactionalID(cfg)), kgo.TransactionTimeout(cfg.Processor.TransactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	if _, _, err := client.ProducerID(starting); err != nil {
		client.Close()
		id := replayTransactionalID(cfg)
		may := proof.Right{Operation: kadm.OpWrite, Resource: kmsg.ACLResourceTypeTransactionalId, Name: id}
		return nil, fmt.Errorf("initialising the transactional id %s: %w", id, may.OrLacks(err))
	}
	batch := batchOf(perSecond)
	return &putter{client: client, batch: batch, limit: rate.NewLimiter(rate.Limit(perSecond), batch)}, nil
}

// replayTransactionalID is one for the whole group, so that two cannot put back
// the same dead letter at the same time.
func replayTransactionalID(cfg Config) string { return cfg.Processor.Group + "-replay" }

// put writes a batch, all or nothing. The order of a key stays.
func (p *putter) put(ctx context.Context, batch []replacement) error {
	if err := p.limit.WaitN(ctx, len(batch)); err != nil {
		return err
	}
	if err := p.client.BeginTransaction(); err != nil {
		return err
	}
	records := make([]*kgo.Record, len(batch))
	for i, one := range batch {
		records[i] = one.record
	}
	err := firstRefusal(p.client.ProduceSync(ctx, records...))
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	if err != nil {
		_ = p.client.AbortBufferedRecords(ending)
		aborted := p.client.EndTransaction(ending, kgo.TryAbort)
		if len(batch) > 1 && errors.Is(err, kerr.MessageTooLarge) {
			if aborted == nil {
				return errTooLargeTogether
			}
			err = fmt.Errorf("%w: the records are too large together: with --rate 10 they go one by one", err)
		}
		return explainPut(errors.Join(err, aborted))
	}
	if err := p.client.EndTransaction(ending, kgo.TryCommit); err != nil {
		return explainPut(fmt.Errorf("whether the last %d were put back is not known, the same command without --yes tells: %w", len(batch), err))
	}
	return nil
}

// errTooLargeTogether: what is put to one partition goes there in one batch of Kafka's,
// which the topic takes or refuses whole. The transaction is over, and nothing of it is
// put back.
var errTooLargeTogether = errors.New("the records are too large together")

// firstRefusal is the first error, unless a topic was refused or a batch was too large,
// which makes others fail too.
func firstRefusal(results kgo.ProduceResults) error {
	for _, r := range results {
		switch {
		case errors.Is(r.Err, kerr.TopicAuthorizationFailed):
			return proof.OnTopic(kadm.OpWrite, r.Record.Topic).OrLacks(r.Err)
		case errors.Is(r.Err, kerr.MessageTooLarge):
			return r.Err
		}
	}
	return results.FirstErr()
}

func explainPut(err error) error {
	for _, fenced := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping} {
		if errors.Is(err, fenced) {
			return errFenced
		}
	}
	return err
}
