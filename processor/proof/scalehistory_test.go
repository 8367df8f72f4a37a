//go:build chaos

package proof_test

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

const (
	scalePartitions = 4
	scaleBatch      = 20_000 // requests, and then a transaction with their ends
)

// scaleHistory writes what the engine would have, without it: request i is at
// offset i/8 of one of eight partitions.
type scaleHistory struct {
	*system
	dir    string
	engine *kgo.Client // transactional

	ledger  *bufio.Writer
	file    *os.File
	at      time.Time
	written int64
	retried [scalePartitions]int64
	lost    int64 // requests that meet a breach; -1: none
	doubled int64
	untrue  int64
}

func newScaleHistory(t *testing.T, brokers *realBrokers, n int64) *scaleHistory {
	h := &scaleHistory{dir: t.TempDir(), lost: -1, doubled: -1, untrue: -1, at: time.Now().UTC().Truncate(time.Millisecond)}
	t.Setenv("COUPONGRANT_TEST_REGISTRY_URL", newRegistrySwitch(t).url)
	h.system = newSystem(t, brokers.addresses(), &gateway{url: "http://127.0.0.1:1"})
	h.createTopics(scalePartitions)
	var err error
	h.engine, err = kgo.NewClient(append(h.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(h.group), kgo.TransactionTimeout(5*time.Minute), kgo.MaxBufferedRecords(scaleBatch*2))...)
	require.NoError(t, err)
	t.Cleanup(h.engine.Close)
	h.file, err = os.OpenFile(filepath.Join(h.dir, "ledger"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.file.Close() })
	h.ledger = bufio.NewWriter(h.file)
	fmt.Fprintf(h.ledger, `{"format":"coupongrant-topsim-ledger","version":1,"salt":"%064x"}`+"\n", n)
	return h
}

// write goes on with the history up to n requests, and commits all of it.
func (h *scaleHistory) write(n int64) {
	h.t.Helper()
	for h.written < n {
		upTo := min(h.written+scaleBatch, n)
		requests, ends := h.records(upTo, h.request), h.records(upTo, h.end)
		require.NoError(h.t, h.producer.ProduceSync(h.t.Context(), requests...).FirstErr())
		h.transaction(ends...)
		h.written = upTo
	}
	h.commit()
	require.NoError(h.t, h.ledger.Flush())
}

func (h *scaleHistory) records(upTo int64, of func(i int64) []*kgo.Record) (all []*kgo.Record) {
	for i := h.written; i < upTo; i++ {
		all = append(all, of(i)...)
	}
	return all
}

func (h *scaleHistory) transaction(ends ...*kgo.Record) {
	h.t.Helper()
	require.NoError(h.t, h.engine.BeginTransaction())
	require.NoError(h.t, h.engine.ProduceSync(h.t.Context(), ends...).FirstErr())
	require.NoError(h.t, h.engine.EndTransaction(h.t.Context(), kgo.TryCommit))
}

func (h *scaleHistory) place(i int64) (topic string, partition int32, offset int64) {
	return h.topics.Inputs[i%2], int32(i / 2 % scalePartitions), i / 2 / scalePartitions
}

func (h *scaleHistory) source(i int64) string {
	topic, partition, offset := h.place(i)
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}

func (h *scaleHistory) of(i int64) schemas.Request {
	store := strconv.FormatInt(i%500, 10)
	return schemas.Request{
		RequestID: fmt.Sprintf("req-%012d", i), OccurredAt: h.at, BizCode: "YXX", Channel: "pos", CouponCode: "c276-09", CouponType: 276,
		OpenID:  schemas.NewOpenID(fmt.Sprintf("AAF-%032d", i)),
		Trigger: &schemas.Trigger{Kind: "store-checkout", StoreID: &store},
	}
}

func (h *scaleHistory) request(i int64) []*kgo.Record {
	topic, partition, _ := h.place(i)
	value, err := h.codec.EncodeRequest(topic, h.of(i))
	require.NoError(h.t, err)
	return []*kgo.Record{{Topic: topic, Partition: partition, Key: scaleKey(i), Value: value}}
}

func scaleKey(i int64) []byte { return strconv.AppendInt(nil, i%1000, 10) }

// end is what becomes of a request: of 200, 4 are refused, one is a dead letter
// and one is parked before it is granted.
func (h *scaleHistory) end(i int64) []*kgo.Record {
	var records []*kgo.Record
	switch {
	case i == h.lost:
		return nil
	case i%200 == 7 && i != h.doubled && i != h.untrue:
		letter := h.answer(h.topics.DeadLetter, i, h.request(i)[0].Value)
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: "coupongrant-reason", Value: []byte("grant-unknown")})
		return []*kgo.Record{letter}
	case i%200 < 4 && i != h.doubled && i != h.untrue:
		value, err := h.codec.EncodeOutcome(&schemas.Failed{Ending: h.ending(i), Reason: schemas.ReasonOutOfStock})
		require.NoError(h.t, err)
		return []*kgo.Record{h.answer(h.topics.Failed, i, value)}
	case i%200 == 9:
		parked := h.answer(h.topics.Retry, i, h.request(i)[0].Value)
		h.retried[parked.Partition]++
		records = append(records, parked)
	}
	records = append(records, h.grant(i))
	if i != h.untrue {
		h.granted(i)
	}
	if i == h.doubled {
		records = append(records, h.grant(i))
	}
	return records
}

func (h *scaleHistory) answer(topic string, i int64, value []byte) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: int32(i % scalePartitions), Key: scaleKey(i), Value: value,
		Headers: []kgo.RecordHeader{{Key: "coupongrant-source", Value: []byte(h.source(i))}},
	}
}

func (h *scaleHistory) ending(i int64) schemas.Ending {
	q, id := h.of(i), "gw-"+strconv.FormatInt(i, 36)
	return schemas.Ending{
		RequestID: q.RequestID, OccurredAt: q.OccurredAt, EndedAt: h.at.Add(time.Second), BizCode: q.BizCode, Channel: q.Channel,
		CouponCode: q.CouponCode, CouponType: q.CouponType, Trigger: q.Trigger, Attempts: 1,
		AttemptLog: []schemas.Attempt{{At: h.at, Code: "0"}}, GatewayRequestID: &id,
	}
}

func scaleCoupon(i int64) topsim.Model {
	return topsim.Model{InstanceID: 1 + i, TemplateID: 9, Name: "five off", Discount: 500, StartFee: 1000, StartTime: 1, EndTime: 2}
}

func (h *scaleHistory) grant(i int64) *kgo.Record {
	c := scaleCoupon(i)
	value, err := h.codec.EncodeOutcome(&schemas.Granted{Ending: h.ending(i), Coupon: schemas.Coupon{
		InstanceID: c.InstanceID, TemplateID: &c.TemplateID, Name: &c.Name, Discount: &c.Discount,
		StartFee: &c.StartFee, StartTime: &c.StartTime, EndTime: &c.EndTime,
	}})
	require.NoError(h.t, err)
	return h.answer(h.topics.Granted, i, value)
}

// granted writes a line of the simulator's data file.
func (h *scaleHistory) granted(i int64) {
	q := h.of(i)
	require.NoError(h.t, json.NewEncoder(h.ledger).Encode(map[string]any{
		"app_key": topsim.DemoAppKey, "out_id": q.RequestID, "uuid": q.CouponCode, "coupon_type": q.CouponType,
		"member": fmt.Sprintf("%016x", i), "dto_hash": fmt.Sprintf("%032x", i), "at": h.at.Add(time.Second / 2), "coupon": scaleCoupon(i),
	}))
}

// commit puts the watermarks behind the last record, but for one partition,
// where the last hundred are in the finished set.
func (h *scaleHistory) commit() {
	h.t.Helper()
	admin := kadm.NewClient(h.producer)
	ends, err := admin.ListEndOffsets(h.t.Context(), append([]string{h.topics.Retry}, h.topics.Inputs...)...)
	require.NoError(h.t, err)
	var offsets kadm.Offsets
	ends.Each(func(o kadm.ListedOffset) {
		at := kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1}
		if o.Topic == h.topics.Inputs[0] && o.Partition == 0 {
			at.At -= 101
			at.Metadata = scaleMetadata(1, 100)
		} else {
			at.Metadata = scaleMetadata()
		}
		offsets.Add(at)
	})
	require.NoError(h.t, admin.CommitAllOffsets(h.t.Context(), h.group, offsets))
}

// scaleMetadata is that of the engine: runs are offsets skipped and finished.
func scaleMetadata(runs ...uint64) string {
	var raw []byte
	for _, n := range runs {
		raw = binary.AppendUvarint(raw, n)
	}
	body := "cg1.AAAAAAAAAAA.1.0.0."
	if len(raw) > 0 {
		body += "r" + base64.RawURLEncoding.EncodeToString(raw)
	}
	return body + "." + strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36)
}
