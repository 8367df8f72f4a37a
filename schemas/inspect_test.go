package schemas

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestInspectTellsWhatTheRegistryHolds(t *testing.T) {
	for name, row := range map[string]struct {
		latest  string // the answer for store-value, in place of ours; empty: ours
		refused string
	}{
		"ours":            {},
		"protobuf":        {schemaAnswer(t, `syntax = "proto3";`, `,"schemaType":"PROTOBUF","version":9`), "not Avro"},
		"a type unheard":  {schemaAnswer(t, requestedSchema, `,"schemaType":"XSD","version":9`), "not Avro"},
		"with references": {schemaAnswer(t, requestedSchema, `,"references":[{"name":"a","subject":"b","version":1}],"version":9`), "refers to other schemas"},
		"not an event":    {schemaAnswer(t, `{"type":"record","name":"Order","fields":[]}`, `,"version":9`), "another kind of record"},
		"another event":   {schemaAnswer(t, grantedSchema, `,"version":9`), "another kind of event"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, reg, _ := fakeRegistry(t)
			require.NoError(t, reg.Register(t.Context(), testTopics))
			fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				theirs := row.latest != "" && strings.HasSuffix(r.URL.Path, "/subjects/store-value/versions/latest")
				if theirs {
					_, _ = w.Write([]byte(row.latest))
				}
				return theirs
			})
			found, err := reg.Inspect(t.Context(), testTopics)
			require.NoError(t, err)
			require.Len(t, found, 4)
			for _, s := range found {
				require.False(t, s.Missing, s.Name)
				require.Equal(t, FullTransitive, s.Compatibility)
				if s.Name != "store-value" || row.latest == "" {
					require.Equal(t, 1, s.Latest)
					require.NoError(t, s.Refused)
					continue
				}
				require.Equal(t, 9, s.Latest)
				require.ErrorContains(t, s.Refused, row.refused)
			}
		})
	}
}

func TestInspectTellsWhatTheRegistryLacks(t *testing.T) {
	fake, reg, _ := fakeRegistry(t)
	_, _, err := fake.RegisterSchema("failed-value", sr.Schema{Schema: history(t, "CouponGrantFailed")[0]})
	require.NoError(t, err)
	found, err := reg.Inspect(t.Context(), testTopics)
	require.NoError(t, err)
	for _, s := range found {
		require.True(t, s.Missing, s.Name)
		require.NoError(t, s.Refused, "an earlier version of ours is read")
	}
	require.False(t, fake.SubjectExists("store-value"), "looking registers nothing")

	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	_, err = reg.Inspect(t.Context(), testTopics)
	require.ErrorIs(t, err, ErrRegistryDown)
}
