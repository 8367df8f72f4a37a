package schemas

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestAbsenceIsBelievedOnlyWhenConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, reg, road := fakeRegistry(t)
		codec := NewCodec(reg, Rules{})
		start := time.Now()
		for reg.Fetch(t.Context(), 7) != nil {
			_, err := codec.Decode(value(7))
			require.Equal(t, &NotFetchedError{ID: 7}, err)
			time.Sleep(300 * time.Millisecond)
		}
		require.GreaterOrEqual(t, time.Since(start), 2*absentSpacing, "denials in quick succession count once")
		_, err := codec.Decode(value(7))
		requireReason(t, UnknownSchema, err)
		asked := road.exchanges.Load()
		require.NoError(t, reg.Fetch(t.Context(), 7))
		require.Equal(t, asked, road.exchanges.Load(), "a believed absence is not asked for again")
	})
}

func TestSchemaThatAppearsBeforeConfirmationIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, reg, _ := fakeRegistry(t)
		require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
		time.Sleep(absentSpacing)
		require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
		fake.SeedSchema("store-value", 1, 7, sr.Schema{Schema: requestedSchema})
		require.NoError(t, reg.Fetch(t.Context(), 7))
		_, err := NewCodec(reg, Rules{}).Decode(value(7).then(secondVersion()))
		require.NoError(t, err)
	})
}

func confirmAbsent(t *testing.T, reg *Registry, id int) {
	t.Helper()
	for range absentAfter - 1 {
		require.ErrorIs(t, reg.Fetch(t.Context(), id), ErrRegistryDown)
		time.Sleep(absentSpacing)
	}
	require.NoError(t, reg.Fetch(t.Context(), id))
}

func TestAbsenceIsForgottenAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, reg, _ := fakeRegistry(t)
		codec := NewCodec(reg, Rules{})
		confirmAbsent(t, reg, 7)
		time.Sleep(absentFor)
		_, err := codec.Decode(value(7))
		require.Equal(t, &NotFetchedError{ID: 7}, err)
		confirmAbsent(t, reg, 7)

		time.Sleep(absentFor)
		fake.SeedSchema("store-value", 1, 7, sr.Schema{Schema: requestedSchema})
		require.NoError(t, reg.Fetch(t.Context(), 7))
		_, err = codec.Decode(value(7).then(secondVersion()))
		require.NoError(t, err)
	})
}

func TestOutageAfterDenialsConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, reg, _ := fakeRegistry(t)
		for range absentAfter - 1 {
			require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
			time.Sleep(absentSpacing)
		}
		fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
		for range absentAfter {
			require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
			time.Sleep(absentSpacing)
		}
		_, err := NewCodec(reg, Rules{}).Decode(value(7))
		require.Equal(t, &NotFetchedError{ID: 7}, err)
	})
}

func TestMadeUpIDsDoNotGrowMemory(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	fake.SeedSchema("old-value", 1, 5000, sr.Schema{Schema: requestedSchema})
	for id := range 3 * cacheSize {
		require.Error(t, reg.Fetch(t.Context(), 10_000+id))
		require.NoError(t, reg.Fetch(t.Context(), 5000))
	}
	require.Equal(t, cacheSize, reg.known.recent.Len())
	require.Len(t, reg.known.entries, cacheSize)
	_, err := codec.Decode(value(5000).then(secondVersion()))
	require.NoError(t, err, "an id in use stays")
	_, err = codec.EncodeOutcome(fullGranted())
	require.NoError(t, err, "own ids stay")
	_, err = codec.Decode(value(1).then(secondVersion()))
	require.NoError(t, err, "own schemas stay")
}

// Whoever may register schemas can register large ones without end.
func TestLargeSchemasDoNotGrowMemory(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	var fields strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&fields, `,{"name":"f%d","type":["null","int"]}`, i)
	}
	large := requestedSchema[:strings.LastIndex(requestedSchema, "]")] + fields.String() + "]}"
	require.Less(t, len(large), maxSchemaBytes)
	body := secondVersion().then(make(wire, 1500)) // each of them null
	const first, many = 1000, 40
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	seed(t, fake, reg, 500, requestedSchema)
	require.Error(t, reg.Fetch(t.Context(), 501))
	before := held()
	for id := range many {
		seed(t, fake, reg, first+id, large)
		_, err := codec.Decode(value(500).then(secondVersion()))
		require.NoError(t, err, "an id in use stays")
	}
	require.Less(t, held()-before, uint64(64<<20), "one of these schemas takes 2 MiB")
	require.LessOrEqual(t, reg.known.text, maxCachedText)
	text := 0
	for _, at := range reg.known.entries {
		text += at.Value.(*entry).text()
	}
	require.Equal(t, text, reg.known.text)

	_, err := codec.Decode(value(first).then(body))
	require.Equal(t, &NotFetchedError{ID: first}, err)
	require.NoError(t, reg.Fetch(t.Context(), first))
	_, err = codec.Decode(value(first).then(body))
	require.NoError(t, err, "what fell out is fetched again")
	require.Equal(t, 1, reg.known.entries[501].Value.(*entry).denials, "a denial takes no room, and counts")
	_, err = codec.EncodeOutcome(fullGranted())
	require.NoError(t, err, "own ids stay")
	_, err = codec.Decode(value(1).then(secondVersion()))
	require.NoError(t, err, "own schemas stay")
}
