package schemas

import (
	"fmt"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/stretchr/testify/require"
)

// withExtraField is the current request schema with one more field at its end.
func withExtraField(typ string) string {
	end := strings.LastIndex(requestedSchema, "]")
	return requestedSchema[:end] + `,{"name":"more","type":` + typ + `,"default":null}` + requestedSchema[end:]
}

func requireRefused(t *testing.T, text string) {
	t.Helper()
	g, err := newGate()
	require.NoError(t, err)
	_, err = g.admit(text)
	require.Error(t, err)
	require.Less(t, len(err.Error()), 1000)
	require.NotContains(t, err.Error(), "\n")
}

func TestGateRefusesWhatIsNoEventOfOurs(t *testing.T) {
	cases := map[string]string{
		"empty":                 ``,
		"not JSON":              `{"type": "record"`,
		"JSON null":             `null`,
		"JSON number":           `7`,
		"trailing JSON":         requestedSchema + requestedSchema,
		"a string":              `"string"`,
		"a union":               `["null", ` + requestedSchema + `]`,
		"another record":        `{"type":"record","name":"Order","namespace":"shop","fields":[]}`,
		"our name elsewhere":    strings.Replace(requestedSchema, "coupongrant.v1", "coupongrant.v2", 1),
		"our name as an enum":   `{"type":"enum","name":"coupongrant.v1.CouponGrantRequested","symbols":["A"]}`,
		"no fields":             `{"type":"record","name":"coupongrant.v1.CouponGrantRequested","fields":[]}`,
		"fields missing":        `{"type":"record","name":"coupongrant.v1.CouponGrantRequested"}`,
		"field of unknown type": withExtraField(`"Nowhere"`),
		"type missing":          withExtraField(`{}`),
		"field twice":           strings.Replace(requestedSchema, `"channel"`, `"biz_code"`, 1),
		"name with a space":     strings.Replace(requestedSchema, `"channel"`, `"chan nel"`, 1),
		"name with a newline":   withExtraField(`{"type":"record","name":"a\nb","fields":[]}`),
		"name over-long":        withExtraField(`{"type":"record","name":"` + strings.Repeat("n", 300) + `","fields":[]}`),
		"type defined twice":    withExtraField(`{"type":"record","name":"Trigger","fields":[]}`),
		"type named string":     withExtraField(`{"type":"fixed","name":"string","namespace":"","size":1}`),
		"request_id a long":     strings.Replace(requestedSchema, `"type": "string"`, `"type": "long"`, 1),
		"request_id optional":   strings.Replace(requestedSchema, `"type": "string"`, `"type": ["null","string"]`, 1),
		"microseconds":          strings.ReplaceAll(requestedSchema, "timestamp-millis", "timestamp-micros"),
		"logical type of pages": strings.ReplaceAll(requestedSchema, "timestamp-millis", strings.Repeat(`millis\n`, 5000)),
		"enum without symbols":  withExtraField(`{"type":"enum","name":"E","symbols":[]}`),
		"enum of numbers":       withExtraField(`{"type":"enum","name":"E","symbols":[1]}`),
		"fixed without size":    withExtraField(`{"type":"fixed","name":"F"}`),
		"fixed of size 0":       withExtraField(`{"type":"fixed","name":"F","size":0}`),
		"fixed of size 1e300":   withExtraField(`{"type":"fixed","name":"F","size":1e300}`),
		"fixed of half a byte":  withExtraField(`{"type":"fixed","name":"F","size":1.5}`),
		"union of nothing":      withExtraField(`[]`),
		"union in a union":      withExtraField(`["null",["string"]]`),
		"union of twins":        withExtraField(`["long",{"type":"long","logicalType":"timestamp-millis"}]`),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) { requireRefused(t, text) })
	}
}

func TestGateRefusesBombs(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 5000) + `"int"` + strings.Repeat(`}`, 5000)
	cases := map[string]string{
		"recursive by record":      withExtraField(`{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}`),
		"recursive by array":       withExtraField(`{"type":"record","name":"Node","fields":[{"name":"next","type":{"type":"array","items":"Node"}}]}`),
		"recursive by the event":   withExtraField(`["null","CouponGrantRequested"]`),
		"array of nulls":           withExtraField(`{"type":"array","items":"null"}`),
		"array of empty records":   withExtraField(`{"type":"array","items":{"type":"record","name":"E","fields":[]}}`),
		"array of records of null": withExtraField(`{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"n","type":"null"}]}}`),
		"nested 5,000 deep":        withExtraField(deep),
		"nested 10,001 deep":       strings.Repeat("[", 10_001),
		"types in types":           withExtraField(strings.Repeat(`{"type":`, 5000) + `"int"` + strings.Repeat(`}`, 5000)),
		"deep by references":       withExtraField(chain(100)),
		"above the size cap":       requestedSchema + strings.Repeat(" ", maxSchemaBytes),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) { requireRefused(t, text) })
	}
}

// chain is a record of records that each hold the one before twice: n levels of
// values from a short text, 2 to the power of n values in no bytes.
func chain(n int) string {
	fields := `{"name":"f0","type":{"type":"record","name":"R0","fields":[{"name":"n","type":"null"}]}}`
	for i := 1; i <= n; i++ {
		fields += fmt.Sprintf(`,{"name":"f%d","type":{"type":"record","name":"R%d","fields":[`+
			`{"name":"a","type":"R%d"},{"name":"b","type":"R%d"}]}}`, i, i, i-1, i-1)
	}
	return `{"type":"record","name":"Chain","fields":[` + fields + `]}`
}

func TestGateAdmitsWhatOtherProducersWrite(t *testing.T) {
	cases := map[string]string{
		"Java's string":            strings.ReplaceAll(requestedSchema, `"type": "string"`, `"type": {"type":"string","avro.java.string":"String"}`),
		"plain long for a time":    strings.ReplaceAll(requestedSchema, `{"type": "long", "logicalType": "timestamp-millis"}`, `"long"`),
		"a later optional field":   withExtraField(`["null","string"]`),
		"a later list":             withExtraField(`{"type":"array","items":"string"}`),
		"a later map":              withExtraField(`{"type":"map","values":"null"}`),
		"a decimal without scale":  withExtraField(`{"type":"bytes","logicalType":"decimal"}`),
		"goavro's own pattern":     withExtraField(`{"type":"string","logicalType":"validated-string","pattern":"("}`),
		"a logical type unheard":   withExtraField(`{"type":"int","logicalType":"mood"}`),
		"a type used twice":        withExtraField(`["null","Trigger"]`),
		"a type in no namespace":   withExtraField(`{"type":"record","name":"T","namespace":"","fields":[{"name":"u","type":["null",{"type":"fixed","name":"U","size":2}]}]}`),
		"default of another type":  withExtraField(`"int"`),
		"trigger in a namespace":   strings.Replace(requestedSchema, `"name": "Trigger"`, `"name": "shop.Trigger"`, 1),
		"the full name as name":    strings.Replace(requestedSchema, `"name": "CouponGrantRequested",`, `"name": "coupongrant.v1.CouponGrantRequested",`, 1),
		"twice as large as usual":  withExtraField(`{"type":"string","doc":"` + strings.Repeat("d", 4000) + `"}`),
		"a type named as goavro's": withExtraField(`{"type":"record","name":"t1","namespace":"","fields":[]}`),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := newGate()
			require.NoError(t, err)
			w, err := g.admit(text)
			require.NoError(t, err)
			require.Equal(t, requestedName, w.event)
		})
	}
}

func TestGateLimitsGoavro(t *testing.T) {
	_, err := newGate()
	require.NoError(t, err)
	require.EqualValues(t, maxBlockCount, goavro.MaxBlockCount)
}
