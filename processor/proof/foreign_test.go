//go:build integration

package proof_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	foreignClients = "testdata/foreign"
	requestSchema  = "../../schemas/CouponGrantRequested.avsc"
)

// foreignLine is one line of what produce.py reads; its docstring says what
// may stand in it.
type foreignLine map[string]any

// foreignRecord is one line of what consume.py prints.
type foreignRecord struct {
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       []byte            `json:"key"`
	Headers   map[string]string `json:"headers"`
	Raw       []byte            `json:"raw"`
	Value     map[string]any    `json:"value"` // nil: the bytes are no event; its numbers are json.Number
}

// foreign is the clients of other teams: librdkafka and fastavro.
type foreign struct {
	brokers  string
	registry string
}

func newForeign(brokers []string, registry string) foreign {
	return foreign{brokers: strings.Join(brokers, ","), registry: registry}
}

// produce sends the lines and waits for the acknowledgements. options are
// produce.py's own, such as --transactional-id.
func (f foreign) produce(t testing.TB, topic string, lines []foreignLine, options ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lines.jsonl")
	var text bytes.Buffer
	for _, line := range lines {
		require.NoError(t, json.NewEncoder(&text).Encode(line))
	}
	require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))
	args := append(f.args("produce.py", "--topic", topic, "--schema", requestSchema), options...)
	p := runProcess(t, nil, python(t), append(args, file)...)
	require.Zero(t, p.wait(t, 2*patience), "produce.py: %s", p.stderr.String())
	require.Equal(t, len(lines), strings.Count(p.stdout.String(), "\n"), "records acknowledged")
}

// consume reads the committed records of the topics from their start until
// there are count; fewer within the time fail the test.
func (f foreign) consume(t testing.TB, count int, within time.Duration, topics ...string) []foreignRecord {
	t.Helper()
	seconds := strconv.FormatFloat(within.Seconds(), 'f', -1, 64)
	args := f.args("consume.py", "--count", strconv.Itoa(count), "--seconds", seconds)
	p := runProcess(t, nil, python(t), append(args, topics...)...)
	require.Zero(t, p.wait(t, within+patience), "consume.py: %s", p.stderr.String())
	var records []foreignRecord
	for lines := bufio.NewScanner(strings.NewReader(p.stdout.String())); lines.Scan(); {
		var r foreignRecord
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.UseNumber() // coupon ids are beyond what a float64 holds
		require.NoError(t, decoder.Decode(&r))
		records = append(records, r)
	}
	return records
}

// args: -B, as a client must not leave compiled files in the checkout.
func (f foreign) args(client string, more ...string) []string {
	return append([]string{"-B", filepath.Join(foreignClients, client), "--brokers", f.brokers, "--registry", f.registry}, more...)
}

// python returns an interpreter that has the clients' packages; without one
// the test fails, for a skipped tier looks like a passed one.
func python(t testing.TB) string {
	t.Helper()
	name := os.Getenv("COUPONGRANT_TEST_PYTHON")
	if name == "" {
		name = "python3"
	}
	out, err := exec.Command(name, "-c", "import confluent_kafka, duckdb, fastavro").CombinedOutput()
	require.NoError(t, err, "%s lacks the packages of %s/requirements.txt (make kafka-test installs them): %s",
		name, foreignClients, out)
	return name
}

// foreignRequest is the value of a request as other teams write it, with the
// members that have no default.
func foreignRequest(id string) map[string]any {
	return map[string]any{
		"request_id": id, "occurred_at": 1_700_000_000_123, "biz_code": "biz", "open_id": "AAF-" + id,
		"channel": "store", "coupon_code": "c0ffee", "coupon_type": 276,
	}
}

func TestForeignClientsWriteAndReadEverySchemaVersion(t *testing.T) {
	brokers, registry := startKafka(t), startRegistry(t)
	topic := testTopic(t, brokers, "requests", 1)
	team := newForeign(brokers, registry)
	full := foreignRequest("full")
	full["expires_at"], full["extra"] = 1_700_000_060_000, "{}"
	full["trigger"] = map[string]any{"kind": "store-checkout", "store_id": "s1"}

	team.produce(t, topic, []foreignLine{
		{"writer": "current", "key": "k", "headers": map[string]string{"traceparent": "00-x"}, "value": full},
		{"writer": "older", "value": foreignRequest("older")},
		{"writer": "newer", "value": foreignRequest("newer")},
	})

	got := team.consume(t, 3, patience, topic)
	require.Equal(t, []byte("k"), got[0].Key)
	require.Equal(t, map[string]string{"traceparent": "00-x"}, got[0].Headers)
	require.Equal(t, "full", got[0].Value["request_id"])
	require.Equal(t, json.Number("1700000060000"), got[0].Value["expires_at"])
	require.Equal(t, "s1", got[0].Value["trigger"].(map[string]any)["store_id"])
	require.Equal(t, "older", got[1].Value["request_id"])
	require.NotContains(t, got[1].Value, "extra")
	require.Equal(t, "newer", got[2].Value["request_id"])
	require.Contains(t, got[2].Value, "a_later_member")
	ids := map[string]bool{}
	for _, r := range got {
		ids[string(r.Raw[:5])] = true
	}
	require.Len(t, ids, 3, "each version has an id of its own")
}

func TestForeignClientsKeepRawBytesAndHideAbortedRecords(t *testing.T) {
	brokers, registry := startKafka(t), startRegistry(t)
	topic := testTopic(t, brokers, "requests", 1)
	team := newForeign(brokers, registry)

	team.produce(t, topic, []foreignLine{{"value": foreignRequest("aborted")}}, "--transactional-id", topic, "--abort")
	team.produce(t, topic, []foreignLine{{"raw": "00ff"}, {"raw": nil}, {"raw": "007fffffff01"}},
		"--transactional-id", topic)

	got := team.consume(t, 3, patience, topic)
	require.Equal(t, [][]byte{{0x00, 0xff}, nil, {0x00, 0x7f, 0xff, 0xff, 0xff, 0x01}},
		[][]byte{got[0].Raw, got[1].Raw, got[2].Raw})
	for _, r := range got {
		require.Nil(t, r.Value)
		require.Greater(t, r.Offset, int64(1), "behind the aborted record and its marker")
	}
}
