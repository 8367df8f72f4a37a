package schemas

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What must hold for every value, whatever schema it claims:
//   - Decode never panics and fails only by *DecodeError or *NotFetchedError,
//     on one line;
//   - what it accepts keeps the rules, and encodes to a value that decodes to
//     the same Request.
func FuzzDecode(f *testing.F) {
	fake, reg, codec := registeredCodec(f)
	seed(f, fake, reg, 100, history(f, "CouponGrantRequested")[0])
	seed(f, fake, reg, 101, withExtraField(`{"type":"array","items":{"type":"map","values":"string"}}`))
	full, err := codec.EncodeRequest("store", fullRequest())
	require.NoError(f, err)
	granted, err := codec.EncodeOutcome(fullGranted())
	require.NoError(f, err)
	for _, v := range [][]byte{
		nil, full, granted, full[:20], value(1).then(secondVersion()), value(100).then(firstVersion()),
		value(101).then(secondVersion()).long(1).long(1).text("k").text("v").long(0).long(0), value(7),
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, give []byte) {
		q, err := codec.Decode(give)
		requireTyped(t, err)
		_, outcomeErr := codec.DecodeOutcome(give)
		requireTyped(t, outcomeErr)
		if err != nil {
			return
		}
		require.Error(t, outcomeErr, "no value is both")
		require.NoError(t, Rules{}.Check(q))
		again, err := codec.EncodeRequest("store", q)
		require.NoError(t, err)
		same, err := codec.Decode(again)
		require.NoError(t, err)
		require.Equal(t, q, same)
	})
}

func requireTyped(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var refused *DecodeError
	var unknown *NotFetchedError
	require.True(t, errors.As(err, &refused) || errors.As(err, &unknown), "%T", err)
	require.NotContains(t, err.Error(), "\n")
}

// What must hold for every schema and every value of it:
//   - the gate never panics, and its refusals are one short line;
//   - a value that the scan passes, goavro decodes to the last byte: the two
//     readers agree. Maps may differ, in which goavro refuses a key twice.
func FuzzSchemaGate(f *testing.F) {
	for _, text := range []string{
		requestedSchema, grantedSchema, failedSchema, `"string"`, `[]`, ``,
		withExtraField(`{"type":"map","values":["null","double",{"type":"fixed","name":"F","size":3}]}`),
		withExtraField(chain(5)), withExtraField(chain(40)),
		withExtraField(`{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}`),
		record(coreFields + `,{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}}`),
	} {
		f.Add(text, []byte(secondVersion()))
		f.Add(text, []byte(firstVersion()))
	}
	g, err := newGate()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		w, err := g.admit(text)
		if err != nil {
			require.Nil(t, w)
			require.False(t, bytes.ContainsAny([]byte(err.Error()), "\n\r"))
			require.Less(t, len(err.Error()), 2000)
			return
		}
		if len(body) > MaxValueBytes || scan(w.root, body) != nil {
			return
		}
		_, rest, err := w.codec.NativeFromBinary(body)
		if !strings.Contains(text, "map") {
			require.NoError(t, err)
		}
		require.True(t, err != nil || len(rest) == 0)
	})
}
