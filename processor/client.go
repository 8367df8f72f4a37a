package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reading are the options of whoever reads the input, so that all see the same records.
func reading() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // or aborted upstream requests would be granted
		kgo.KeepControlRecords(),                     // which the watermark has to pass
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),  // a gap is a hold, never a silent skip
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(fetchMaxPartitionBytes),
	}
}

// options are those that the promises need.
func (p *Processor) options(ctx context.Context, c cluster, member *lease) []kgo.Opt {
	return append(reading(),
		kgo.WithContext(ctx),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.MetadataMaxAge(metadataMaxAge),
		kgo.WithHooks(p.contact, member),

		kgo.ConsumerGroup(p.cfg.Group),
		kgo.ConsumeTopics(p.cfg.Topics.Inputs()...),
		kgo.SessionTimeout(p.cfg.SessionTimeout),
		kgo.HeartbeatInterval(p.cfg.HeartbeatInterval),
		kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),

		kgo.TransactionalID(p.cfg.TransactionalID),
		kgo.TransactionTimeout(p.cfg.TransactionTimeout),
		kgo.ProducerLinger(0), // a transaction is flushed at once
		// All of it: to produce more than this would wait for brokers, and for longer than results have.
		kgo.MaxBufferedRecords(batchEnds+p.cfg.WindowRecords+pollRecords),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if limit, ok := c.maxMessageBytes[topic]; ok {
				return limit
			}
			return defaultMaxMessageBytes
		}),
	)
}

const (
	// A partition that is assigned or resumed while a fetch waits at its broker
	// is not in it: this is how long it can be left out.
	fetchMaxWait = 200 * time.Millisecond

	// What brokers refuse for the moment goes out again after a look at the
	// metadata, which kgo takes no sooner than this after the last (5 s by default).
	// A busy broker refuses the first batch of a transaction while the markers of the
	// one before are on their way, and everything would wait that long with it.
	metadataMinAge = 250 * time.Millisecond

	// Partitions that are added to a topic are found by such a look. kgo's default, 5 min, is
	// long for the requests in them, of which nobody would tell that they wait.
	metadataMaxAge = 10 * time.Second

	// kgo keeps one fetch of each broker, and fetches there again when all of it is
	// taken. So that the partitions of every topic come with each fetch, a backlog of
	// some takes no more than this. It is as it was sent: what it grows to is for
	// inflation to bound.
	fetchMaxPartitionBytes = 256 << 10 // about a thousand requests
	fetchMaxBytes          = 4 << 20   // of one broker: sixteen partitions with a backlog, and the rest in rotation
	defaultMaxMessageBytes = 1048588   // the brokers' own default
)

// inTime asks brokers for something and waits no longer than ctx does. kgo's client would:
// for a connection that is stuck it waits until it is closed itself, which ends what is
// left of the question as well. Without an answer in time it is zero.
func inTime[T any](ctx context.Context, ask func() T) (answer T) {
	told := make(chan T, 1)
	go func() { told <- ask() }()
	select {
	case answer = <-told:
	case <-ctx.Done():
	}
	return answer
}
