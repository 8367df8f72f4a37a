package proof

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/schemas"
)

func loadConfig(seed uint64) LoadConfig {
	return LoadConfig{
		Seed: seed, Store: "store", Loyalty: "loyalty", From: start, Every: time.Second,
		Keys: 10, NullKeys: 0.1, Flawed: 0.1, Repeats: 0.1,
	}
}

func events(cfg LoadConfig, n int) []Event {
	l := NewLoad(cfg)
	all := make([]Event, n)
	for i := range all {
		all[i] = l.Next()
	}
	return all
}

func TestLoadOfOneSeedIsAlwaysTheSame(t *testing.T) {
	require.Equal(t, events(loadConfig(1), 1000), events(loadConfig(1), 1000))
}

func TestLoadIDsOfDifferentSeedsDiffer(t *testing.T) {
	ids := map[string]bool{}
	for seed := range uint64(3) {
		for _, e := range events(loadConfig(seed), 1000) {
			require.True(t, e.Repeat || !ids[e.Request.RequestID])
			ids[e.Request.RequestID] = true
		}
	}
}

func TestLoadKeepsItsShares(t *testing.T) {
	var loyalty, null, flawed, repeats int
	for i, e := range events(loadConfig(3), 10_000) {
		require.Equal(t, start.Add(time.Duration(i)*time.Second), e.At)
		require.Contains(t, e.Request.OpenID.Reveal(), Canary)
		loyalty += strings.Count(e.Topic, "loyalty")
		null += map[bool]int{true: 1}[e.Key == nil]
		flawed += map[bool]int{true: 1}[e.Flaw != Flawless]
		repeats += map[bool]int{true: 1}[e.Repeat]
	}
	require.InDelta(t, 3333, loyalty, 300)
	require.InDelta(t, 1000, null, 150)
	require.InDelta(t, 1000, flawed, 150)
	require.InDelta(t, 900, repeats, 150)
}

func TestLoadFlawsAreWhatTheySay(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: fake.URL()})
	require.NoError(t, err)
	defer registry.Close()
	require.NoError(t, registry.Register(t.Context(), schemas.Topics{Inputs: []string{"store", "loyalty"}}))
	codec := schemas.NewCodec(registry, schemas.Rules{})
	met := map[Flaw]bool{}
	for _, e := range events(loadConfig(5), 1000) {
		met[e.Flaw] = true
		value, err := e.Value(codec)
		require.NoError(t, err)
		_, err = codec.Decode(value)
		require.Equal(t, e.Flaw.Reason(), reasonOf(err), "flaw %d: %v", e.Flaw, err)
	}
	require.Len(t, met, int(flaws)+1)
}
