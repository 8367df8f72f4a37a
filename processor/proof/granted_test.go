//go:build integration

package proof_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

const (
	traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceState  = "vendor=opaque,other=1"
)

// foreignLines are what other teams' producers send: each version of the schema,
// both triggers, with and without key, trace context and optional members.
func foreignLines() []foreignLine {
	checkout, milestone := foreignRequest("checkout"), foreignRequest("milestone")
	checkout["expires_at"], checkout["extra"] = int64(4_000_000_000_000), `{"till": 7}`
	checkout["trigger"] = map[string]any{"kind": "store-checkout", "store_id": "S001", "receipt_id": "S001-9"}
	milestone["coupon_type"], milestone["extra"] = 247, "not { JSON"
	milestone["trigger"] = map[string]any{"kind": "loyalty-milestone", "program_id": "gold", "milestone": "500"}
	later := foreignRequest("newer-with-trigger")
	later["a_later_member"] = "of a version that we do not know"
	later["trigger"] = map[string]any{"kind": "birthday"}
	return []foreignLine{
		{"writer": "current", "key": "till-1", "value": checkout, "headers": map[string]string{
			"traceparent": traceParent, "tracestate": traceState, "team-secret": "stays where it is",
		}},
		{"writer": "current", "key": "", "value": milestone, "headers": map[string]string{"traceparent": traceParent}},
		{"writer": "older", "key": "till-1", "value": foreignRequest("older")},
		{"writer": "newer", "value": foreignRequest("newer")},
		{"writer": "newer", "key": "键-1", "value": later},
	}
}

func TestForeignBytesAreGranted(t *testing.T) {
	brokers := startKafka(t)
	s := newSystem(t, brokers, newGateway(t, nil))
	s.createTopics(1)
	team, lines := newForeign(brokers, s.registry), foreignLines()
	team.produce(t, s.topics.Inputs[0], lines)
	s.replica("a", nil)

	outcomes := team.consume(t, len(lines), settleLimit, s.topics.Granted)

	sources := map[string]bool{}
	for _, got := range outcomes {
		id, _ := got.Value["request_id"].(string)
		line := lineOf(t, lines, id)
		requireOutcome(t, line["value"].(map[string]any), got.Value, s.gateway.entries(t)[id])
		requireSent(t, line["value"].(map[string]any), s.gateway.sent(id))
		require.Equal(t, keyOf(line), got.Key, id)
		want := map[string]string{"coupongrant-source": got.Headers["coupongrant-source"]}
		for name, value := range headersOf(line) {
			if strings.HasPrefix(name, "trace") {
				want[name] = value
			}
		}
		require.Equal(t, want, got.Headers, id)
		sources[got.Headers["coupongrant-source"]] = true
	}
	for i := range lines {
		require.Contains(t, sources, fmt.Sprint(s.topics.Inputs[0], "/0/", i))
	}
	require.EqualValues(t, len(lines), s.balanced(len(lines)).Granted)
}

// requireOutcome compares all members of a CouponGranted with the request and
// with what the gateway's ledger says of its coupon.
func requireOutcome(t *testing.T, request, got map[string]any, ledger topsim.LedgerEntry) {
	t.Helper()
	require.True(t, ledger.Granted)
	at, err := got["granted_at"].(json.Number).Int64()
	require.NoError(t, err)
	require.GreaterOrEqual(t, at, ledger.GrantedAt.UnixMilli())
	require.NotEmpty(t, got["gateway_request_id"])
	want := map[string]any{
		"granted_at": at, "attempts": 1, "attempt_log": got["attempt_log"],
		"gateway_request_id": got["gateway_request_id"], "coupon": couponOf(ledger), "trigger": nil,
	}
	for _, name := range []string{"request_id", "occurred_at", "biz_code", "channel", "coupon_code", "coupon_type"} {
		want[name] = request[name]
	}
	if trigger, ok := request["trigger"].(map[string]any); ok {
		want["trigger"] = map[string]any{"store_id": nil, "receipt_id": nil, "program_id": nil, "milestone": nil}
		for name, value := range trigger {
			want["trigger"].(map[string]any)[name] = value
		}
	}
	require.Equal(t, plain(t, want), plain(t, got))
}

func couponOf(e topsim.LedgerEntry) map[string]any {
	return map[string]any{
		"instance_id": e.Coupon.InstanceID, "template_id": e.Coupon.TemplateID, "discount": e.Coupon.Discount,
		"start_fee": e.Coupon.StartFee, "start_time": e.Coupon.StartTime, "end_time": e.Coupon.EndTime, "name": e.Coupon.Name,
	}
}

// requireSent compares the business content of the call with the request.
func requireSent(t *testing.T, request, got map[string]any) {
	t.Helper()
	want := map[string]any{"out_id": request["request_id"], "uuid": request["coupon_code"]}
	for _, name := range []string{"biz_code", "open_id", "channel", "coupon_type", "extra"} {
		if value, ok := request[name]; ok {
			want[name] = value
		}
	}
	require.Equal(t, plain(t, want), plain(t, got))
}

// plain is v as JSON reads it back, with numbers in full.
func plain(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&out))
	return out
}

func lineOf(t *testing.T, lines []foreignLine, id string) foreignLine {
	t.Helper()
	for _, line := range lines {
		if line["value"].(map[string]any)["request_id"] == id {
			return line
		}
	}
	require.FailNow(t, "nobody asked for this", id)
	return nil
}

// keyOf is nil for a line without key.
func keyOf(line foreignLine) []byte {
	key, ok := line["key"].(string)
	if !ok {
		return nil
	}
	return []byte(key)
}

func headersOf(line foreignLine) map[string]string {
	headers, _ := line["headers"].(map[string]string)
	return headers
}
