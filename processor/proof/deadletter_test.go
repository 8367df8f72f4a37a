//go:build integration

package proof_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/coupongrant/coupongrant/schemas"
)

// badInput is what nobody should send.
type badInput struct {
	name   string
	value  []byte // nil: none
	reason schemas.DeadLetterReason
}

func TestBadInputEndsAsDeadLetters(t *testing.T) {
	brokers := startKafka(t)
	s := newSystem(t, brokers, newGateway(t, nil))
	s.createTopics(1)
	bad := s.badInputs()
	var lines []foreignLine
	for i, b := range bad {
		good := foreignRequest(fmt.Sprint("good-", i))
		good["extra"] = "not { JSON " + good["request_id"].(string)
		line := foreignLine{"raw": nil, "partition": 0}
		if b.value != nil {
			line["raw"] = hex.EncodeToString(b.value)
		}
		if i > 0 { // the first has no key, which is no fault
			line["key"] = b.name
		}
		lines = append(lines, line, foreignLine{"value": good, "partition": 0})
	}
	team := newForeign(brokers, s.registry)
	team.produce(t, s.topics.Inputs[0], lines)
	replica := s.replica("a", nil)

	letters := team.consume(t, len(bad), settleLimit, s.topics.DeadLetter)

	bySource := map[string]foreignRecord{}
	for _, letter := range letters {
		bySource[letter.Headers["coupongrant-source"]] = letter
	}
	for i, b := range bad {
		letter, ok := bySource[fmt.Sprint(s.topics.Inputs[0], "/0/", 2*i)]
		require.True(t, ok, b.name)
		require.Equal(t, b.value, letter.Raw, b.name)
		require.Equal(t, keyOf(lines[2*i]), letter.Key, b.name)
		requireLetterHeaders(t, b, letter.Headers)
		sent := s.gateway.sent(fmt.Sprint("good-", i))
		require.Equal(t, fmt.Sprint("not { JSON good-", i), sent["extra"], "extra is passed on as it is")
	}
	report := s.balanced(len(lines))
	require.EqualValues(t, len(bad), report.Granted, "each has a good neighbour")
	require.Len(t, s.gateway.Ledger().Entries(), len(bad), "nothing bad was called for")
	require.NotContains(t, replica.stderr.String(), canary, "no open_id in the log")
}

// canary is in the open_id of bad requests.
const canary = "AAF-canary"

func requireLetterHeaders(t *testing.T, b badInput, got map[string]string) {
	t.Helper()
	require.Equal(t, string(b.reason), got["coupongrant-reason"], "%s: %s", b.name, got["coupongrant-error"])
	require.NotEmpty(t, got["coupongrant-error"], b.name)
	require.NotContains(t, got["coupongrant-error"], "\n", b.name)
	require.NotContains(t, got["coupongrant-error"], canary, b.name)
	at, err := time.Parse(time.RFC3339, got["coupongrant-failed-at"])
	require.NoError(t, err, b.name)
	require.WithinDuration(t, time.Now(), at, settleLimit, b.name)
	require.Equal(t, "0", got["coupongrant-attempts"], b.name)
	require.Equal(t, "false", got["coupongrant-in-doubt"], b.name)
	require.NotEmpty(t, got["coupongrant-version"], b.name)
	require.NotContains(t, got, "coupongrant-first-attempt-at", "%s was never called for", b.name)
}

// badInputs covers each way not to be a request.
func (s *system) badInputs() []badInput {
	s.t.Helper()
	good := s.encoded(func(*schemas.Request) {})
	changed := func(change func(v []byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	badText := s.encoded(func(r *schemas.Request) { r.BizCode = "becomes-invalid" })
	granted, err := s.codec.EncodeOutcome(&schemas.Granted{Coupon: schemas.Coupon{InstanceID: 1}})
	require.NoError(s.t, err)
	all := []badInput{
		{"no value", nil, schemas.Undecodable},
		{"empty value", []byte{}, schemas.Undecodable},
		{"wrong magic byte", changed(func(v []byte) []byte { v[0] = 1; return v }), schemas.Undecodable},
		{"too short", good[:3], schemas.Undecodable},
		{"no body", good[:5], schemas.Undecodable},
		{"truncated", good[:len(good)-1], schemas.Undecodable},
		{"trailing bytes", changed(func(v []byte) []byte { return append(v, 0) }), schemas.Undecodable},
		{"invalid UTF-8", []byte(strings.Replace(string(badText), "becomes-invalid", "becomes-\xff\xfeinval", 1)), schemas.Undecodable},
		{"huge block count", s.hugeBlock(good), schemas.Undecodable},
		{"unknown id", changed(func(v []byte) []byte { return withID(v, math.MaxInt32) }), schemas.UnknownSchema},
		{"another event", granted, schemas.UnknownSchema},
		{"deep nesting", s.deep(good), schemas.UnknownSchema},
	}
	for name, spoil := range map[string]func(*schemas.Request){
		"empty request_id":         func(r *schemas.Request) { r.RequestID = "" },
		"request_id of 65":         func(r *schemas.Request) { r.RequestID = strings.Repeat("x", 65) },
		"empty biz_code":           func(r *schemas.Request) { r.BizCode = "" },
		"coupon type not accepted": func(r *schemas.Request) { r.CouponType = 1 },
		"extra above 8 KiB":        func(r *schemas.Request) { long := strings.Repeat("x", 8<<10+1); r.Extra = &long },
	} {
		all = append(all, badInput{name, s.encoded(spoil), schemas.InvalidRequest})
	}
	return all
}

// encoded is a request of our own schema, changed.
func (s *system) encoded(edit func(*schemas.Request)) []byte {
	s.t.Helper()
	r := someRequests("bad", 1, edit)[0]
	r.OpenID = schemas.NewOpenID(canary)
	value, err := s.codec.EncodeRequest(s.topics.Inputs[0], r)
	require.NoError(s.t, err)
	return value
}

func withID(value []byte, id int) []byte {
	binary.BigEndian.PutUint32(value[1:], uint32(id))
	return value
}

// hugeBlock is written by a schema with an array, and says that it has 2^31-1
// items.
func (s *system) hugeBlock(good []byte) []byte {
	id := s.variant("tags", `{"name": "tags", "type": {"type": "array", "items": "string"}, "default": []}`)
	value := withID(append([]byte(nil), good...), id)
	return append(binary.AppendVarint(value, math.MaxInt32), 0)
}

// deep is written by a schema that contains itself, two hundred times over.
func (s *system) deep(good []byte) []byte {
	id := s.variant("inner", `{"name": "inner", "type": ["null", "coupongrant.v1.CouponGrantRequested"], "default": null}`)
	const null, branch = 0, 2
	var body []byte
	for range 200 {
		body = append(append(body, good[5:]...), branch)
	}
	body = append(append(body, good[5:]...), null)
	return append(withID(append([]byte(nil), good[:5]...), id), body...)
}

// variant registers our request schema with one more field, under a subject of
// its own, and returns its id.
func (s *system) variant(name, field string) int {
	s.t.Helper()
	text, err := os.ReadFile(requestSchema)
	require.NoError(s.t, err)
	var schema map[string]any
	require.NoError(s.t, json.Unmarshal(text, &schema))
	schema["fields"] = append(schema["fields"].([]any), json.RawMessage(field))
	text, err = json.Marshal(schema)
	require.NoError(s.t, err)
	client, err := sr.NewClient(sr.URLs(s.registry))
	require.NoError(s.t, err)
	made, err := client.CreateSchema(s.t.Context(), s.group+"-"+name, sr.Schema{Schema: string(text)})
	require.NoError(s.t, err)
	return made.ID
}
