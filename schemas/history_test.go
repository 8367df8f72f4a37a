package schemas

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/stretchr/testify/require"
)

// history returns every published version of a contract, oldest first.
func history(t testing.TB, event string) []string {
	t.Helper()
	var texts []string
	for version := 1; ; version++ {
		text, err := os.ReadFile(filepath.Join("history", event, fmt.Sprintf("%d.avsc", version)))
		if os.IsNotExist(err) {
			break
		}
		require.NoError(t, err)
		texts = append(texts, string(text))
	}
	files, err := os.ReadDir(filepath.Join("history", event))
	require.NoError(t, err)
	require.Len(t, files, len(texts), "versions are numbered without a gap")
	require.GreaterOrEqual(t, len(texts), 2, "compatibility is between versions")
	return texts
}

func parsed(t testing.TB, text string) *node {
	t.Helper()
	root, err := parseSchema(text)
	require.NoError(t, err)
	return root
}

var embedded = map[string]string{
	"CouponGrantRequested": requestedSchema,
	"CouponGranted":        grantedSchema,
	"CouponGrantFailed":    failedSchema,
}

func TestNewestVersionIsTheEmbeddedOne(t *testing.T) {
	for event, text := range embedded {
		all := history(t, event)
		require.Equal(t, all[len(all)-1], text, event)
	}
}

func TestEveryVersionReadsEveryOther(t *testing.T) {
	for event := range embedded {
		for i, reader := range history(t, event) {
			for j, writer := range history(t, event) {
				err := readable(parsed(t, reader), parsed(t, writer))
				require.NoError(t, err, "%s: version %d reads version %d", event, i+1, j+1)
			}
		}
	}
}

func TestEveryVersionIsAdmittedAndCompiles(t *testing.T) {
	g, err := newGate()
	require.NoError(t, err)
	for event := range embedded {
		for _, text := range history(t, event) {
			_, err := g.admit(text)
			require.NoError(t, err)
			_, err = goavro.NewCodec(text)
			require.NoError(t, err, "defaults fit their types")
		}
	}
}

func TestDataOfEveryVersionDecodes(t *testing.T) {
	bodies := map[string][]wire{
		"CouponGrantRequested": {firstVersion(), secondVersion()},
		"CouponGranted":        {firstOutcome().then(lonelyCoupon()), secondOutcome().then(lonelyCoupon())},
		"CouponGrantFailed":    {firstOutcome().then(outOfStock()), secondOutcome().then(outOfStock())},
	}
	for event, perVersion := range bodies {
		fake, reg, codec := registeredCodec(t)
		texts := history(t, event)
		require.Len(t, perVersion, len(texts))
		for i, body := range perVersion {
			id := 100 + i
			seed(t, fake, reg, id, texts[i])
			var err error
			if event == "CouponGrantRequested" {
				var q Request
				q, err = codec.Decode(value(uint32(id)).then(body))
				require.Equal(t, canary, q.OpenID.Reveal())
			} else {
				_, err = codec.DecodeOutcome(value(uint32(id)).then(body))
			}
			require.NoError(t, err, "%s version %d", event, i+1)
		}
	}
}

func firstOutcome() wire {
	return wire{}.text("r-1").long(second).long(second).text("retail").text("store").text("0f3c").long(276).
		long(1).long(0).long(0)
}

func secondOutcome() wire {
	return wire{}.text("r-1").long(second).long(second).text("retail").text("store").text("0f3c").long(276).
		long(0).long(1).long(0).long(0)
}

func lonelyCoupon() wire { return wire{}.long(5).long(0).long(0).long(0).long(0).long(0).long(0) }

func outOfStock() wire { return wire{}.long(2).long(0).long(0).long(0) }

func TestBreakingChangesAreSeen(t *testing.T) {
	cases := map[string]struct{ event, old, new string }{
		"renamed field":                {"CouponGrantRequested", `"name": "channel"`, `"name": "sales_channel"`},
		"string to long":               {"CouponGrantRequested", `{"name": "biz_code", "type": "string"`, `{"name": "biz_code", "type": "long"`},
		"int to long":                  {"CouponGrantRequested", `"type": "int"`, `"type": "long"`},
		"int to string":                {"CouponGrantRequested", `"type": "int"`, `"type": "string"`},
		"milliseconds to microseconds": {"CouponGrantRequested", `timestamp-millis`, `timestamp-micros`},
		"null no longer allowed":       {"CouponGrantRequested", `["null", "string"]`, `"string"`},
		"another union branch":         {"CouponGrantRequested", `["null", "string"]`, `["null", "string", "long"]`},
		"field without default added":  {"CouponGrantRequested", `"fields": [`, `"fields": [{"name": "tier", "type": "string"},`},
		"default taken away":           {"CouponGrantRequested", `"default": null,`, ``},
		"record renamed":               {"CouponGrantRequested", `"name": "Trigger"`, `"name": "Cause"`},
		"field of items renamed":       {"CouponGranted", `"name": "about"`, `"name": "whose"`},
		"array to map":                 {"CouponGranted", `"type": "array",`, `"type": "map", "values": "int",`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := strings.ReplaceAll(embedded[c.event], c.old, c.new)
			require.False(t, embedded[c.event] == changed, "the change was made")
			require.False(t, compatible(t, c.event, changed))
		})
	}
}

func TestLostSymbolsAreSeenUnlessThereIsADefault(t *testing.T) {
	enum := func(symbols, fallback string) *node {
		return parsed(t, `{"type":"enum","name":"E","symbols":[`+symbols+`]`+fallback+`}`)
	}
	all := enum(`"A","B"`, ``)
	require.Error(t, readable(enum(`"A"`, ``), all))
	require.Error(t, readable(enum(`"A"`, `,"default":"B"`), all), "a default that is no symbol")
	require.NoError(t, readable(enum(`"A"`, `,"default":"A"`), all))
	require.NoError(t, readable(all, enum(`"A"`, ``)))
}

func TestHarmlessChangesAreAllowed(t *testing.T) {
	cases := map[string]struct{ event, old, new string }{
		"field with default added": {"CouponGrantRequested", `"fields": [`, `"fields": [{"name": "tier", "type": "string", "default": ""},`},
		"doc changed":              {"CouponGrantRequested", `Tmall's channel.`, `The channel.`},
		"symbol lost, default":     {"CouponGrantFailed", `"REJECTED",`, ``},
		"symbol added, default":    {"CouponGrantFailed", `"REJECTED",`, `"REJECTED", "BLOCKED",`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(embedded[c.event], c.old, c.new, 1)
			require.False(t, embedded[c.event] == changed, "the change was made")
			require.True(t, compatible(t, c.event, changed))
		})
	}
}

// compatible is what FULL_TRANSITIVE asks of a next version.
func compatible(t *testing.T, event, next string) bool {
	t.Helper()
	y := parsed(t, next)
	for _, text := range history(t, event) {
		x := parsed(t, text)
		if readable(x, y) != nil || readable(y, x) != nil {
			return false
		}
	}
	return true
}

func TestEveryFieldIsDocumented(t *testing.T) {
	for event, text := range embedded {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		require.Empty(t, undocumented(v), event)
	}
}

// undocumented returns the names of fields and types that have no doc.
func undocumented(v any) []string {
	var names []string
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			names = append(names, undocumented(item)...)
		}
	case map[string]any:
		name, named := v["name"].(string)
		if doc, _ := v["doc"].(string); named && doc == "" {
			names = append(names, name)
		}
		for _, key := range []string{"fields", "type", "items"} {
			names = append(names, undocumented(v[key])...)
		}
	}
	return names
}

func TestEnumAndGoReasonsAgree(t *testing.T) {
	reason, ok := parsed(t, failedSchema).fieldNamed("reason")
	require.True(t, ok)
	var symbols []FailureReason
	for _, s := range reason.typ.symbols {
		symbols = append(symbols, FailureReason(s))
	}
	require.Equal(t, FailureReasons(), symbols)
	require.Equal(t, string(ReasonUnknown), reason.typ.fallback)
}

// The projection reads a missing field as nil or zero. This holds as long as no
// contract has another default.
func TestEveryDefaultIsNilOrZero(t *testing.T) {
	for event, text := range embedded {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		for _, d := range defaults(v) {
			require.Contains(t, []any{nil, "UNKNOWN", "empty array"}, d, event)
		}
	}
}

func defaults(v any) []any {
	var found []any
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = append(found, defaults(item)...)
		}
	case map[string]any:
		if d, ok := v["default"]; ok {
			if list, ok := d.([]any); ok && len(list) == 0 {
				d = "empty array"
			}
			found = append(found, d)
		}
		for _, key := range []string{"fields", "type", "items"} {
			found = append(found, defaults(v[key])...)
		}
	}
	return found
}
