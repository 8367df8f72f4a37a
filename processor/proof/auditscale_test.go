//go:build chaos

package proof_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

var requestsFlag = flag.Int64("requests", 1_000_000, "of each history of TestAuditAtScale")

const (
	scalePartitions = 4
	scaleBatch      = 20_000 // requests, and then a transaction with their ends

	// auditMemory bounds the audit of a history of any length, but for half a
	// byte a request: what a round remembers, what the client fetches ahead, and
	// what the garbage collector leaves.
	auditMemory = 400 << 20
)

// scaleResult is what TestAuditAtScale leaves.
type scaleResult struct {
	Began    time.Time  `json:"began"`
	Command  string     `json:"command"`
	Version  string     `json:"version"`
	Kafka    string     `json:"kafka"`
	Go       string     `json:"go"`
	Machine  string     `json:"machine"`
	Requests int64      `json:"requests"`
	Audits   []auditRun `json:"audits"`
}

// auditRun is the built program's audit as a process: Memory is the most that it
// ever had, as the kernel kept it.
type auditRun struct {
	History  string                  `json:"history"`
	Args     []string                `json:"args"`
	Seconds  float64                 `json:"seconds"`
	CPU      float64                 `json:"cpu_seconds"`
	Memory   int64                   `json:"most_memory_bytes"`
	ExitCode int                     `json:"exit_code"`
	Verdict  proof.Verdict           `json:"verdict"`
	Requests int64                   `json:"requests"`
	New      *int64                  `json:"new_violations,omitempty"`
	Named    map[proof.Kind][]string `json:"named"`
}

// TestAuditAtScale runs the program's audit over a million requests with one
// loss, one double and one untrue outcome among them, and over a million without
// any; then it adds the three to those, and audits what is new.
func TestAuditAtScale(t *testing.T) {
	brokers := startBrokers(t, t.TempDir(), brokerSetup{count: 1, jvm: []string{"-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"}})
	n := *requestsFlag
	r := scaleResult{
		Began: time.Now().UTC().Truncate(time.Second), Version: sourceVersion(), Kafka: brokers.name(), Go: runtime.Version(),
		Command: fmt.Sprintf("go test -tags chaos -run '^%s$' ./processor/proof -args -requests %d", t.Name(), n),
		Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), Requests: n,
	}
	t.Run("planted", func(t *testing.T) {
		h := newScaleHistory(t, brokers, n)
		h.lost, h.doubled, h.untrue = n/8, n/2+10, n/4*3
		h.write(n)
		r.Audits = append(r.Audits, h.requirePlants("planted"))
	})
	t.Run("control", func(t *testing.T) {
		h := newScaleHistory(t, brokers, n)
		h.write(n)
		state := filepath.Join(h.dir, "state")
		whole := h.audit("control", "--state", state)
		require.Equal(t, proof.Balanced, whole.Verdict)
		require.Zero(t, whole.ExitCode)
		require.Equal(t, n, whole.Requests)
		r.Audits = append(r.Audits, whole)

		h.lost, h.doubled, h.untrue = n, n/2+10, n+2
		h.transaction(h.grant(h.doubled)) // of long ago
		h.write(n + 3)
		next := h.requirePlants("control, then planted", "--state", state)
		require.EqualValues(t, 3, *next.New)
		require.Less(t, next.CPU, whole.CPU/2, "only what is new was read")
		r.Audits = append(r.Audits, next)
	})
	if t.Failed() {
		return
	}
	for _, a := range r.Audits {
		t.Logf("%-22s %5.1f s, %5.1f s of CPU, %3d MiB: %s", a.History, a.Seconds, a.CPU, a.Memory>>20, a.Verdict)
	}
	if *resultFlag != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		require.NoError(t, err)
		name := filepath.Join(*resultFlag, "audit-"+r.Began.Format("20060102-150405")+".json")
		require.NoError(t, os.WriteFile(name, append(text, '\n'), 0o600))
	}
}

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

// requirePlants audits, and requires that each breach is named by its offset,
// and nothing else is.
func (h *scaleHistory) requirePlants(history string, args ...string) auditRun {
	h.t.Helper()
	run := h.audit(history, args...)
	require.Equal(h.t, proof.Violated, run.Verdict)
	require.Equal(h.t, 3, run.ExitCode)
	require.Equal(h.t, map[proof.Kind][]string{
		proof.Lost: {h.source(h.lost)}, proof.Doubled: {h.source(h.doubled)}, proof.Untrue: {h.source(h.untrue)},
	}, run.Named)
	return run
}

// audit runs the program against topics and ledger.
func (h *scaleHistory) audit(history string, args ...string) auditRun {
	h.t.Helper()
	cfg := topsim.DefaultConfig()
	cfg.DataFile = h.file.Name()
	sim, err := topsim.New(cfg)
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, sim.Close()) }()
	server := httptest.NewServer(sim.Control())
	defer server.Close()
	args = append([]string{"audit", "--json", "--ledger", server.URL}, args...)
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, buildBinary(h.t), args...)
	cmd.Env = append(os.Environ(), h.environment(nil)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	_ = cmd.Run() // its exit code is a verdict
	run := auditRun{History: history, Args: args, Seconds: time.Since(began).Seconds(), ExitCode: cmd.ProcessState.ExitCode()}
	run.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		run.Memory = usage.Maxrss << 10
	}
	var report struct {
		Verdict proof.Verdict
		proof.Report
	}
	require.NoError(h.t, json.Unmarshal(out.Bytes(), &report), log.String())
	require.Positive(h.t, run.Memory)
	require.Less(h.t, run.Memory, int64(auditMemory)+report.Requests/2)
	run.Verdict, run.Requests, run.New, run.Named = report.Verdict, report.Requests, report.New, map[proof.Kind][]string{}
	for kind, found := range report.Violations {
		require.EqualValues(h.t, len(found.Named), found.Total)
		for _, f := range found.Named {
			run.Named[kind] = append(run.Named[kind], sourceOf(f))
		}
	}
	for i, arg := range run.Args { // addresses and folders of the day
		if strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "/") {
			run.Args[i] = filepath.Base(arg)
		}
	}
	return run
}

// sourceOf is the request record that a finding is about.
func sourceOf(f proof.Finding) string {
	if f.Source != "" {
		return f.Source
	}
	return fmt.Sprintf("%s/%d/%d", f.Topic, f.Partition, f.Offset)
}
