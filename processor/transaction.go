package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transaction makes one transaction at a time out of a batch: Begin, Produce,
// Flush, End, with the commit rewritten to the batch's positions. The session
// goroutine owns it (rule 1).
type transaction struct {
	kafka    *kgo.GroupTransactSession
	id       string // kafka.transactional_id
	group    string
	member   string // whose windows a batch is made of
	publish  publisher
	log      *slog.Logger
	metrics  *metrics
	tracing  *tracing
	timeout  time.Duration // kafka.transaction_timeout: the brokers end what takes longer
	deadline time.Duration // for everything from Begin to the proof
	waits    func()        // told now and then while a transaction waits for the end of the one before; any goroutine
	nonce    nonce

	metadataSize int           // bytes of commit metadata of the last one: of the partition that has most
	howCommitted string        // of the last one: committed, or unknown until it was looked up
	forms        map[*end]form // of ends whose record was refused (rule 9)
	notEnded     error         // why the last one was aborted, if its end may be long in coming
}

// batch is what one transaction publishes and commits: exactly the ends that
// its positions cover (rule 3).
type batch struct {
	ends      []*end
	positions map[assignment]position
	ban       time.Time
}

func (b *batch) empty() bool { return len(b.positions) == 0 }

// Why a transaction did not commit, for callers that decide by it.
var (
	errAborted       = errors.New("transaction aborted")              // keep the results, try again
	errNotOwned      = errors.New("a partition is not ours any more") // look at the assignment first
	errMetadataLarge = errors.New("commit metadata is larger than the broker takes")
	errUnwritable    = errors.New("a result topic cannot be written")
	errNotTaken      = errors.New("the brokers did not take all results in time")
	errBareAborted   = errors.New("a transaction of offsets alone was aborted")
)

// errOutlived: the transaction took so long that the brokers ended it, which
// they tell us as if another producer had our transactional id.
var errOutlived = errors.New("the transaction took longer than kafka.transaction_timeout")

// commit publishes a batch. nil: it is committed. An error of the six above: it
// is not, as far as anyone can tell from it, everything in memory is as it was,
// and it can be tried again. Any other: the session must be thrown away and the
// committed state read back (rule 8).
//
// ctx may end at any time: a transaction is never torn by a stop.
func (tx *transaction) commit(ctx context.Context, b *batch) error {
	began := time.Now()
	ctx, cancel := tx.patient(ctx)
	defer cancel()
	tx.nonce, tx.howCommitted = tx.nonce.next(), "committed"

	err := tx.run(ctx, b)
	took := time.Since(began)
	if err == nil {
		tx.settle(b)
	}
	tx.metrics.endSeconds.Observe(took.Seconds())
	tx.tracing.published(b.ends, err == nil)
	if isFenced(err) && took >= tx.timeout {
		err = fmt.Errorf("%w: %w", errOutlived, err)
	}
	switch {
	case err == nil:
		tx.metrics.transactions.WithLabelValues(tx.howCommitted).Inc()
		now := time.Now()
		for _, e := range b.ends {
			tx.metrics.published(e, now)
		}
	case retriable(err):
		tx.metrics.transactions.WithLabelValues("aborted").Inc()
	default:
		tx.metrics.transactions.WithLabelValues("error").Inc()
	}
	return err
}

// settle has a committed batch say what was published.
func (tx *transaction) settle(b *batch) {
	for i, e := range b.ends {
		if tx.forms[e].shrunk() {
			b.ends[i] = smallest(e)
		}
		delete(tx.forms, e)
	}
}

// retriable says that a batch may go out again: it was certainly not committed,
// or published nothing. Of offsets alone it makes no difference: the next commit
// says again what they did, and nobody is called by a ceiling of unknown fate.
func retriable(err error) bool {
	return errors.Is(err, errAborted) || errors.Is(err, errNotOwned) || errors.Is(err, errMetadataLarge) ||
		errors.Is(err, errUnwritable) || errors.Is(err, errNotTaken) || errors.Is(err, errBareAborted)
}

func (tx *transaction) run(ctx context.Context, b *batch) error {
	if tx.notEnded != nil && tx.ending(ctx) {
		return tx.notEnded
	}
	tx.notEnded = nil
	records, err := tx.records(ctx, b)
	if err != nil {
		return err
	}
	// Begin would wait for the brokers for ever, should the producer id have to be asked for again.
	if _, _, err := tx.kafka.Client().ProducerID(ctx); err != nil && ctx.Err() != nil {
		return fmt.Errorf("asking for the producer id: %w", err)
	}
	if err := tx.kafka.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if failed := tx.produce(ctx, b.ends, records); failed != nil {
		if _, err := tx.kafka.End(ctx, kgo.TryAbort); err != nil {
			return fmt.Errorf("aborting after %v: %w", failed, err) //nolint:errorlint // only the second decides: the client is broken
		}
		return failed
	}
	return tx.end(ctx, b)
}

// patient bounds a transaction: by its deadline, but for as long as the brokers say that
// they have not come to the end of the one before. A stop is not so patient. Who is asked
// may be silent, like whoever the transaction waits for: so they are asked beforehand.
func (tx *transaction) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var looking sync.WaitGroup
	passes := func(over <-chan time.Time) bool {
		select {
		case <-over:
			return true
		case <-bound.Done():
			return false
		}
	}
	looking.Go(func() {
		if !passes(time.After(tx.deadline - tx.timeout/2)) {
			return
		}
		for waited := false; ; {
			decision := time.After(tx.timeout / 2)
			waits := tx.ending(bound) && ctx.Err() == nil
			if !passes(decision) {
				return
			}
			if !waits && !waited { // once it has ended, ours may still do
				cancel(errTooLong)
				return
			}
			if waited = waits; waits {
				tx.waits()
			}
		}
	})
	return bound, func() {
		cancel(nil)
		looking.Wait()
	}
}

var errTooLong = errors.New("the transaction took longer than kafka.transaction_timeout allows")

// ending says that the brokers have not come to the end of a transaction. They answer its
// end at once, but a partition that takes no results, since replicas are gone, takes no
// marker either. Until it does, all of another transaction is refused, its abort too
// (CONCURRENT_TRANSACTIONS), and if that is not waited for, kgo's client is of no use any
// more. Brokers that do not tell (KIP-664) are taken to have ended it.
func (tx *transaction) ending(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, tx.timeout/2)
	defer cancel()
	told := inTime(ctx, func() kadm.DescribedTransactions {
		told, _ := kadm.NewClient(tx.kafka.Client()).DescribeTransactions(ctx, tx.id)
		return told
	})
	ours := told[tx.id]
	return ours.Err == nil && (ours.State == "PrepareAbort" || ours.State == "PrepareCommit")
}

func (tx *transaction) records(ctx context.Context, b *batch) ([]*kgo.Record, error) {
	records := make([]*kgo.Record, len(b.ends))
	for i, e := range b.ends {
		r, err := tx.publish.record(e, tx.forms[e].shrunk())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAborted, err)
		}
		tx.tracing.publish(ctx, e, r)
		records[i] = r
	}
	return records, nil
}

// produce sends the records and waits for all of them. kgo commits whatever
// succeeded if asked to (its own comment says so), so every promise is looked
// at here, before End (rule 9). What was refused goes out in parts, after the others
// (form), up to the first part in which a record is refused for good.
//
// They have half of the time that the transaction may take: what is not taken by then
// is aborted while there is time for that, and goes out again. Without it all ends
// would be forgotten with the session, and everybody called again.
func (tx *transaction) produce(ctx context.Context, ends []*end, records []*kgo.Record) error {
	answers := make([]atomic.Pointer[error], len(records)) // nil: there is none yet
	send := func(i int) {
		tx.kafka.Produce(ctx, records[i], func(r *kgo.Record, err error) {
			switch {
			case errors.Is(err, kerr.TopicAuthorizationFailed):
				err = fmt.Errorf("this user lacks WRITE on topic %s (%w)", r.Topic, err)
			case err != nil:
				err = fmt.Errorf("producing to %s: %w", r.Topic, err)
			}
			answers[i].Store(&err)
		})
	}
	flushing, cancel := context.WithTimeout(ctx, tx.timeout/2)
	defer cancel()
	for _, part := range tx.parts(ends) {
		for _, i := range part {
			send(i)
		}
		if tx.kafka.Client().Flush(flushing) != nil {
			break
		}
		if slices.ContainsFunc(part, func(i int) bool { return tx.unwritable(ends[i], *answers[i].Load()) }) {
			break
		}
	}
	failures, waits := make([]error, len(records)), map[string]struct{}{}
	for i, r := range records {
		if answer := answers[i].Load(); answer != nil {
			failures[i] = *answer
		} else {
			waits[r.Topic] = struct{}{}
		}
	}
	failed := tx.refusals(ends, failures)
	if len(waits) == 0 {
		return failed
	}
	if failed == nil {
		failed = fmt.Errorf("%w (%v): %s", errNotTaken, tx.timeout/2, strings.Join(slices.Sorted(maps.Keys(waits)), ", "))
		for e, f := range tx.forms { // in parts it may have taken too long
			if tx.forms[e] = f.whole(len(ends)); tx.forms[e] == 0 {
				delete(tx.forms, e)
			}
		}
	}
	tx.notEnded = failed
	return failed
}

// parts is what goes out at once of some ends, by their places, and in which order.
func (tx *transaction) parts(ends []*end) [][]int {
	var whole []int
	var others [][]int
	last := form(0)
	for i, e := range ends {
		f := tx.forms[e]
		switch n := len(others); {
		case f == 0:
			whole = append(whole, i)
		case n > 0 && f == last && len(others[n-1]) < f.together():
			others[n-1] = append(others[n-1], i)
		default:
			others, last = append(others, []int{i}), f
		}
	}
	return append([][]int{whole}, others...)
}

// end commits, with the offsets rewritten, and makes sure of the outcome.
func (tx *transaction) end(ctx context.Context, b *batch) error {
	var refused error
	rewrite := func(req *kmsg.TxnOffsetCommitRequest) error {
		if refused = tx.rewrite(req, b); refused != nil {
			return kerr.RebalanceInProgress // which End answers with a clean abort
		}
		return nil
	}
	committed, err := tx.kafka.End(kgo.PreTxnCommitFnContext(ctx, rewrite), kgo.TryCommit)
	switch {
	case refused != nil && err == nil:
		return refused
	case errors.Is(err, kerr.OffsetMetadataTooLarge):
		return fmt.Errorf("%w: %w", errMetadataLarge, err)
	case err != nil:
		return fmt.Errorf("ending the transaction: %w", err)
	case committed:
		return nil
	case len(b.ends) == 0:
		return errBareAborted // it published nothing: whether it committed after all makes no difference
	}
	return tx.prove(ctx, b)
}

// rewrite replaces the polled heads that kgo would commit with the batch's
// positions (rule 4), provided that we still hold every partition of it. The
// look at CommittedOffsets is the one that counts: kgo swallows revocations
// until End, and a broker accepts a commit of any member (rule 5). And of this
// member: under a new name kgo may hold what it has lost in between (joinedAs).
func (tx *transaction) rewrite(req *kmsg.TxnOffsetCommitRequest, b *batch) error {
	if req.MemberID != tx.member {
		return fmt.Errorf("%w: the group has another name for us by now", errAborted)
	}
	owned := tx.kafka.Client().CommittedOffsets()
	tx.metadataSize = 0
	ids := make(map[string][16]byte, len(req.Topics))
	for _, t := range req.Topics {
		ids[t.Topic] = t.TopicID
	}
	byTopic := map[string][]kmsg.TxnOffsetCommitRequestTopicPartition{}
	for a, pos := range b.positions {
		if _, ok := owned[a.topic][a.number]; !ok {
			return fmt.Errorf("%w: %s", errNotOwned, a.partition)
		}
		text := metadata{nonce: tx.nonce, position: pos, ban: b.ban}.encode()
		tx.metadataSize = max(tx.metadataSize, len(text))
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = a.number, pos.watermark, pos.leaderEpoch, &text
		byTopic[a.topic] = append(byTopic[a.topic], p)
	}
	req.Topics = req.Topics[:0]
	for topic, partitions := range byTopic {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID, t.Partitions = topic, ids[topic], partitions
		req.Topics = append(req.Topics, t)
	}
	return nil
}

// prove finds out whether a transaction that End reports as not committed has
// committed all the same: an answer UNKNOWN_SERVER_ERROR to EndTxn looks the
// same either way (rule 7). The nonce in the group's offsets is the proof.
func (tx *transaction) prove(ctx context.Context, b *batch) error {
	for {
		found, err := tx.committedNonce(ctx, b)
		switch {
		case err == nil && found:
			tx.howCommitted = "unknown"
			tx.log.Warn("a transaction reported as aborted had committed", "nonce", tx.nonce.session)
			return nil
		case err == nil:
			return errAborted
		}
		select {
		case <-time.After(proofInterval):
		case <-ctx.Done():
			return fmt.Errorf("looking up whether the transaction committed: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

const proofInterval = 100 * time.Millisecond

// committedNonce fetches the offsets of the batch's partitions. RequireStable:
// real brokers write the markers after they have answered, and until then a
// plain fetch shows the old offsets.
func (tx *transaction) committedNonce(ctx context.Context, b *batch) (bool, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = tx.group
	byTopic := map[string][]int32{}
	for a := range b.positions {
		byTopic[a.topic] = append(byTopic[a.topic], a.number)
	}
	for topic, partitions := range byTopic {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, partitions
		group.Topics = append(group.Topics, t)
	}
	req.Groups = append(req.Groups, group)
	fetched, err := req.RequestWith(ctx, tx.kafka.Client())
	if err != nil {
		return false, err
	}
	found := false
	for _, g := range fetched.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return false, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return false, err
				}
				if p.Metadata == nil {
					continue
				}
				m, err := decodeMetadata(p.Offset, p.LeaderEpoch, *p.Metadata)
				found = found || err == nil && m.nonce == tx.nonce
			}
		}
	}
	return found, nil
}
