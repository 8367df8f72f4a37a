//go:build synctests

package processor

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// Trouble with the input: a hold with its name, or correct work, never a silent
// skip.

func TestTruncatedInputIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		s.spread("id", 5, 1)
		s.commit(partition{s.topics.Store, 0}, 40, "")
		r := s.start(s.config("r1"))
		time.Sleep(30 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdLostInput), "the log ends at offset 5 but 40 is committed")
		require.Zero(t, calls.Load())
		require.NoError(t, r.stopped())
	})
}

func TestInputThatVanishesWhileRunningIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 5, 1)
		s.settled(5)
		r.line.cut()
		s.spread("vanishes", 5, 1)
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 10))
		r.line.mend()
		time.Sleep(2 * time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdLostInput), "--accept-lost-input")
		require.EqualValues(t, 5, calls.Load())
		require.NoError(t, r.stopped())
	})
}

// madeAnew is a topic that is deleted and created again, with one partition.
func (s *shop) madeAnew(topic string) {
	require.NoError(s.t, s.kafka.DeleteTopic(topic))
	require.NoError(s.t, s.kafka.CreateTopic(topic, 1, nil))
	time.Sleep(10 * time.Second)
	s.client.ForceMetadataRefresh()
	time.Sleep(10 * time.Second)
}

func TestRecreatedInputIsReadFromItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("old", 5, 1)
		s.settled(5)
		require.NoError(t, r.stopped())
		s.madeAnew(s.topics.Store)
		second := s.start(s.config("r1"))
		s.produceAnew(s.requests("new", 3)...)
		time.Sleep(time.Minute)
		// Brokers forget the offsets of a deleted topic. Where one keeps them, the commit
		// is beyond the end, as of an input that was truncated.
		require.EqualValues(t, 8, calls.Load())
		require.Empty(t, second.Health().Holds)
		require.NoError(t, second.stopped())
	})
}

// A topic that is made anew under a running replica is read from its start, and
// brokers are not asked without a pause for the one that is gone.
func TestInputMadeAnewWhileRunningIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("old", 5, 1)
		s.settled(5)
		s.madeAnew(s.topics.Store)
		s.produceAnew(s.requests("new", 3)...)
		time.Sleep(2 * time.Minute)
		require.EqualValues(t, 8, calls.Load())
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// What a transaction that gave up leaves behind is no input: to pass over it
// between two changes of the leader loses nothing, though kgo says it did.
func TestLeadersChangeAroundAbortedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 5, 1)
		s.settled(5)
		r.line.cut() // or the first change of the leader is checked before anything is written under it
		s.moveLeader(s.topics.Store, 0)
		s.upstream(kgo.TryAbort, s.requests("aborted", 5)...)
		r.line.mend()
		time.Sleep(20 * time.Second) // the reader passes over them
		r.line.cut()
		s.moveLeader(s.topics.Store, 0)
		s.spread("after", 5, 1)
		r.line.mend()
		onceEach(t, 10, s.settled(10))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// moveLeader gives the partition to the other broker.
func (s *shop) moveLeader(topic string, number int32) {
	to := (s.kafka.LeaderFor(topic, number) + 1) % 2
	require.NoError(s.t, s.kafka.MoveTopicPartition(topic, number, to))
	s.client.ForceMetadataRefresh()
}

// upstream writes requests in a transaction of their producer, which ends so.
func (s *shop) upstream(end kgo.TransactionEndTry, requests ...schemas.Request) {
	client, err := kgo.NewClient(append(s.options(), kgo.TransactionalID("upstream"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(s.t, err)
	defer client.Close()
	require.NoError(s.t, client.BeginTransaction())
	for _, request := range requests {
		value, err := s.codec.EncodeRequest(s.topics.Store, request)
		require.NoError(s.t, err)
		require.NoError(s.t, client.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value}).FirstErr())
	}
	require.NoError(s.t, client.EndTransaction(s.t.Context(), end))
}

// produceAnew writes with a client that has not seen the topic before.
func (s *shop) produceAnew(requests ...schemas.Request) {
	client, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(s.t, err)
	defer client.Close()
	for _, r := range requests {
		value, err := s.codec.EncodeRequest(s.topics.Store, r)
		require.NoError(s.t, err)
		require.NoError(s.t, client.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value}).FirstErr())
	}
}

func TestAbortedUpstreamRequestsAreNotGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		for round, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
			s.upstream(end, s.requests(fmt.Sprint("round-", round), 5)...)
		}
		onceEach(t, 10, s.settled(10))
		time.Sleep(time.Minute)
		require.EqualValues(t, 10, calls.Load())
		require.NoError(t, r.stopped())
	})
}

func TestCompactionGapsAreNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		compact := "compact"
		require.NoError(t, s.setTopic(s.topics.Store, "cleanup.policy", compact))
		for i, request := range s.requests("id", 40) {
			s.produce(0, fmt.Append(nil, i%10), request)
		}
		s.kafka.Compact()
		s.spread("tail", 5, 1)
		r := s.start(s.config("r1"))
		time.Sleep(time.Minute)
		ended := len(s.allEnds())
		require.GreaterOrEqual(t, ended, 15, "the last of each key and the tail")
		require.Less(t, ended, 45, "compaction must have left gaps")
		require.Zero(t, s.lag("coupongrant"))
		require.NoError(t, r.stopped())
	})
}

func TestLargeRecordIsADeadLetterWithItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		large := bytes.Repeat([]byte{0}, 900<<10)
		noise := bytes.Repeat([]byte("x"), 900<<10)
		s.produceRaw(0, large)
		s.produceRaw(0, noise)
		s.produce(0, nil, s.request("neighbour"))
		ends := s.settled(3)
		letters := on(s.topics.DeadLetter, ends)
		require.Len(t, letters, 2)
		require.Equal(t, "too-large", headerText(letters[0], headerReason))
		require.Equal(t, large, letters[0].Value)
		require.Equal(t, "921600", headerText(letters[0], headerValueSize))
		require.Len(t, headerText(letters[0], headerValueSHA256), 64)
		require.Equal(t, "undecodable", headerText(letters[1], headerReason), "whatever its size")
		require.Equal(t, noise, letters[1].Value)
		require.NoError(t, r.stopped())
	})
}

// Whatever is made of a request has its key, and must fit into its topic.
func TestAttackLargeKeyIsADeadLetterAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		packer, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(64<<20))...)
		require.NoError(t, err)
		defer packer.Close()
		value, err := s.codec.EncodeRequest(s.topics.Store, s.request("keyed"))
		require.NoError(t, err)
		for _, size := range []int{maxKeyBytes, maxKeyBytes + 1, 10 << 20} {
			require.NoError(t, packer.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Key: make([]byte, size), Value: value}).FirstErr())
		}
		s.produce(0, nil, s.request("neighbour"))
		ends := s.settled(4)
		onceEach(t, 4, ends)
		letters := on(s.topics.DeadLetter, ends)
		require.Len(t, letters, 2)
		for _, l := range letters {
			require.Equal(t, "too-large", headerText(l, headerReason))
			require.Contains(t, headerText(l, headerError), "the key takes ")
		}
		require.Len(t, letters[0].Key, maxKeyBytes+1, "as it is, where it fits")
		require.Empty(t, letters[1].Key)
		require.Empty(t, r.Health().Holds)
		require.EqualValues(t, 2, calls.Load())
		require.NoError(t, r.stopped())
	})
}

// Batches that are each within the bound, but together far beyond it, are read in
// turns, and nothing else waits for them.
func TestAttackBatchesThatGrowTogetherAreReadInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batches = 3 * maxInflated / MaxDecompressed
		var calls atomic.Int64
		s := newShop(t, 2, takes(time.Millisecond, &calls))
		stretcher, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxReadBytes(128<<20))...)
		require.NoError(t, err)
		defer stretcher.Close()
		for i := range batches {
			value, err := s.codec.EncodeRequest(s.topics.Store, s.request(fmt.Sprintf("padded-%d", i)))
			require.NoError(t, err)
			padding := []kgo.RecordHeader{{Key: "padding", Value: make([]byte, MaxDecompressed-100_000)}}
			require.NoError(t, stretcher.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value, Headers: padding}).FirstErr())
		}
		r := s.start(s.config("r1"))
		s.produce(1, nil, s.request("elsewhere"))
		onceEach(t, batches+1, s.settled(batches+1))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func TestReadingThatFailedIsAHoldWhileItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 5, 1)
		s.settled(5)
		for range 3 { // kgo asks again at its leisure, and a complaint that comes again renews the hold
			failed := s.fault(kmsg.Fetch, kerr.UnknownServerError)
			time.Sleep(complaintLasts * 2 / 3)
			require.Equal(t, 1, failed.Hits())
			require.Contains(t, reasons(r.Health().Holds, holdTopic), "reading: UNKNOWN_SERVER_ERROR")
		}
		time.Sleep(complaintLasts + 2*pollWait) // without a record that would show it
		require.Empty(t, r.Health().Holds)
		s.spread("after", 5, 1)
		onceEach(t, 10, s.settled(10))
		require.NoError(t, r.stopped())
	})
}

// bomb writes a batch that grows to more than is read. gzip: a zstd decoder that outlives
// its bubble is closed by a finalizer, which the bubble does not allow.
func (s *shop) bomb(partition int32) {
	s.t.Helper()
	bomber, err := kgo.NewClient(append(s.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxReadBytes(128<<20))...)
	require.NoError(s.t, err)
	defer bomber.Close()
	require.NoError(s.t, bomber.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topics.Store, Partition: partition, Value: make([]byte, 40<<20)}).FirstErr())
}

func TestDecompressionBombIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(time.Millisecond, &calls))
		s.bomb(0)
		r := s.start(s.config("r1"))
		s.produce(1, nil, s.request("elsewhere"))
		onceEach(t, 1, s.settled(1))
		time.Sleep(2 * time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdTopic), "the batch at offset 0 grows to more than 16 MiB when it is decompressed")
		require.Contains(t, reasons(r.Health().Holds, holdTopic), "set the group's offset of this partition to 1 (kafka-consumer-groups.sh --bootstrap-server BROKER --group 'coupongrant' --topic "+s.topics.Store+":0 --reset-offsets --to-offset 1 --execute)")
		require.NoError(t, r.stopped())

		s.commit(partition{s.topics.Store, 0}, 1, "") // as the sentence says
		s.produce(0, nil, s.request("behind it"))
		r = s.start(s.config("r1"))
		onceEach(t, 2, s.settled(2))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// What a fetch complained of before is forgotten after a while, and the bomb is not.
func TestBombAfterAComplaintStaysAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"))
		s.spread("first", 1, 1)
		s.settled(1)
		failed := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownServerError, Count: -1, Topic: s.topics.Store})
		time.Sleep(3 * time.Second)
		require.Positive(t, failed.Hits())
		s.bomb(0)
		failed.Remove()
		time.Sleep(10 * time.Second)
		for range 60 {
			time.Sleep(time.Second)
			require.Contains(t, reasons(r.Health().Holds, holdTopic), "grows to more than 16 MiB")
		}
		require.NoError(t, r.stopped())
	})
}

// After an abort what is below the bomb comes again, and says nothing of the bomb.
func TestBombStaysAHoldThroughAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.requests("first", 1)...)
		s.settled(1)
		aborts := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.ConcurrentTransactions, Count: -1})
		s.produce(0, nil, s.requests("id", 3)...)
		time.Sleep(5 * time.Second)
		s.bomb(0)
		time.Sleep(5 * time.Second)
		require.Positive(t, aborts.Hits())
		aborts.Remove()
		onceEach(t, 4, s.settled(4))
		for range 60 {
			time.Sleep(time.Second)
			require.Contains(t, reasons(r.Health().Holds, holdTopic), "grows to more than 16 MiB")
		}
		require.NoError(t, r.stopped())
	})
}

// A topic is made anew while requests that were read of it have no end. Nobody can read
// them again, and brokers have forgotten what was committed: a person is told, by the
// replica that knows, before anything of the new one is called.
func TestInputMadeAnewBeforeAllHadEndedIsAHold(t *testing.T) {
	for name, row := range map[string]struct{ down, accepts bool }{
		"in an outage": {down: true}, "with calls in flight": {}, "and accepted": {accepts: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := &switched{}
				gateway.to(refuses)
				if !row.down {
					gateway.to(takes(2*time.Second, new(atomic.Int64)))
				}
				counts := countedBy(func(r *http.Request) (*http.Response, error) { return gateway.RoundTrip(r) })
				s := newShop(t, 1, counts)
				cfg := s.config("r1")
				cfg.AcceptLostInput = row.accepts
				r := s.start(cfg)
				s.produce(0, nil, s.requests("first", 2)...)
				if !row.down {
					s.settled(2)
				}
				s.produce(0, nil, s.requests("old", 5)...)
				time.Sleep(1500 * time.Millisecond)
				require.NoError(t, s.kafka.DeleteTopic(s.topics.Store))
				require.NoError(t, s.kafka.CreateTopic(s.topics.Store, 1, nil))
				gateway.to(grantsAlways)
				s.produceAnew(s.requests("new", 8)...)
				s.produceTo(s.topics.Loyalty, 0, nil, s.requests("other", 3)...)
				time.Sleep(5 * time.Minute)
				onceEach(t, 3, some(on(s.topics.Granted, s.allEnds()), func(r *kgo.Record) bool { return bytes.Contains(r.Value, []byte("other-")) })) // though one may be called twice
				require.Contains(t, r.log.String(), `"input lost: its topic was made anew before all that was read of it had ended"`)
				if row.accepts {
					require.Equal(t, 1, counts.of("new-0"))
					require.Empty(t, r.Health().Holds)
					require.NoError(t, r.stopped())
					return
				}
				held := reasons(r.Health().Holds, holdLostInput)
				require.Contains(t, held, "before all at offsets")
				require.Contains(t, held, "to 6 of the one before had ended")
				require.Zero(t, counts.of("new-0"))
				require.NoError(t, r.stopped())

				cfg.AcceptLostInput = true
				r = s.start(cfg)
				time.Sleep(time.Minute)
				require.Equal(t, 1, counts.of("new-7"))
				require.Empty(t, r.Health().Holds)
				require.NoError(t, r.stopped())
			})
		})
	}
}
