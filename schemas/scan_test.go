package schemas

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each value is a sound request with one more field of this type and these bytes.
func TestValuesThatAskForTooMuchAreRefused(t *testing.T) {
	perItem := wire{}
	for range 250 {
		perItem = perItem.long(maxBlockCount).then(make(wire, maxBlockCount))
	}
	cases := map[string]struct {
		typ    string
		charge wire
	}{
		"5 bytes ask for 2^31-1 items":     {`{"type":"array","items":"int"}`, wire{}.long(math.MaxInt32)},
		"134M items":                       {`{"type":"array","items":"string"}`, wire{}.long(134_000_000)},
		"negative block count":             {`{"type":"array","items":"int"}`, wire{}.long(-math.MaxInt32).long(1)},
		"smallest block count":             {`{"type":"array","items":"int"}`, wire{}.long(math.MinInt64).long(1)},
		"16.7M map entries":                {`{"type":"map","values":"int"}`, wire{}.long(16_700_000)},
		"many blocks of one-byte records":  {`{"type":"array","items":{"type":"record","name":"B","fields":[{"name":"b","type":"boolean"}]}}`, perItem.long(0)},
		"bytes beyond the end":             {`"bytes"`, wire{}.long(math.MaxInt32)},
		"fixed beyond the end":             {`{"type":"fixed","name":"F","size":200000}`, wire{}.raw(1)},
		"a billion values in no bytes":     {chain(28), nil},
		"items that carry many no-bytes":   {`{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"b","type":"boolean"},{"name":"c","type":` + chain(12) + `}]}}`, wire{}.long(1000).then(make(wire, 1000)).long(0)},
		"boolean that is neither":          {`"boolean"`, wire{}.raw(2)},
		"enum beyond its symbols":          {`{"type":"enum","name":"E","symbols":["A"]}`, wire{}.long(1)},
		"map with the same key twice":      {`{"type":"map","values":"int"}`, wire{}.long(2).text("k").long(1).text("k").long(1).long(0)},
		"map key that is not UTF-8":        {`{"type":"map","values":"int"}`, wire{}.long(1).text("\xff").long(1).long(0)},
		"skipped string that is not UTF-8": {`"string"`, wire{}.text("\xc3\x28")},
		"double cut short":                 {`"double"`, wire{}.raw(0, 0, 0, 0)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fake, reg, codec := registeredCodec(t)
			seed(t, fake, reg, 100, withExtraField(c.typ))
			give := value(100).then(secondVersion()).then(c.charge)
			require.LessOrEqual(t, len(give), MaxValueBytes)
			_, err := codec.Decode(give)
			requireReason(t, Undecodable, err)
		})
	}
}

func TestFieldsWeDoNotKnowAreReadOver(t *testing.T) {
	nested := `{"type":"record","name":"N","fields":[{"name":"f","type":"float"},{"name":"d","type":"double"},` +
		`{"name":"x","type":{"type":"fixed","name":"X","size":2}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}]}`
	cases := map[string]struct {
		typ   string
		bytes wire
	}{
		"null":               {`"null"`, nil},
		"boolean":            {`"boolean"`, wire{}.raw(1)},
		"string":             {`"string"`, wire{}.text("券")},
		"bytes":              {`"bytes"`, wire{}.long(2).raw(0xff, 0xfe)},
		"empty array":        {`{"type":"array","items":"int"}`, wire{}.long(0)},
		"array of 2 blocks":  {`{"type":"array","items":"int"}`, wire{}.long(1).long(5).long(2).long(6).long(7).long(0)},
		"array with sizes":   {`{"type":"array","items":"int"}`, wire{}.long(-1).long(1).long(5).long(0)},
		"map":                {`{"type":"map","values":"null"}`, wire{}.long(2).text("a").text("b").long(0)},
		"nested":             {nested, wire{}.raw(0, 0, 0, 0).raw(0, 0, 0, 0, 0, 0, 0, 0).raw(1, 2).long(1)},
		"decimal":            {`{"type":"bytes","logicalType":"decimal"}`, wire{}.long(1).raw(5)},
		"pattern of goavro":  {`{"type":"string","logicalType":"validated-string","pattern":"("}`, wire{}.text("x")},
		"years beyond JSON":  {`{"type":"long","logicalType":"timestamp-millis"}`, wire{}.long(math.MaxInt64)},
		"a few empty levels": {chain(8), nil},
		"another trigger":    {`["null","Trigger"]`, wire{}.long(1).text("k").long(0).long(0).long(0).long(0)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fake, reg, codec := registeredCodec(t)
			seed(t, fake, reg, 100, withExtraField(c.typ))
			q, err := codec.Decode(value(100).then(secondVersion()).then(c.bytes))
			require.NoError(t, err)
			require.Equal(t, canary, q.OpenID.Reveal())
		})
	}
}

func TestWorstValueThatIsReadTakesFewMegabytes(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	seed(t, fake, reg, 100, withExtraField(
		`{"type":"array","items":{"type":"record","name":"B","fields":[{"name":"b","type":"boolean"}]}}`))
	give := value(100).then(secondVersion())
	for range 4 {
		give = give.long(1000).then(make(wire, 1000))
	}
	give = give.long(900).then(make(wire, 900)).long(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := codec.Decode(give)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}
