package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
)

func adminWith(health processor.Health) http.Handler { return adminOf(health).handler() }

func adminOf(health processor.Health) *admin {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "coupongrant_test"}))
	return &admin{
		began: time.Now().Add(-time.Minute), version: "v1", metrics: metrics,
		engine: func() processor.Status {
			return processor.Status{Health: health, Gateway: processor.GatewayStatus{Trouble: []string{}}, Partitions: []processor.PartitionStatus{
				{Topic: "store", Partition: 3, Why: "its oldest request order-17 (offset 123) is being called for 4.2 s, attempt 3"},
				{Topic: "store", Partition: 4},
			}}
		},
		memory: newMemory("", nil),
	}
}

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w
}

var held = processor.Health{Live: true, Holds: []processor.Hold{
	{Kind: "gateway", Reason: "the breaker is open", Since: time.Unix(1, 0).UTC()},
}}

// alsoWaits is told whether or not the replica is ready.
const alsoWaits = `,"waiting":[{"topic":"store","partition":3,"why":"its oldest request order-17 (offset 123) is being called for 4.2 s, attempt 3"}]}`

func TestProbes(t *testing.T) {
	ready := processor.Health{Live: true}
	for name, tt := range map[string]struct {
		health        processor.Health
		livez, readyz int
		body          string
	}{
		"ready":   {ready, 200, 200, `{"holds":[]` + alsoWaits},
		"waiting": {held, 200, 503, `{"holds":[{"kind":"gateway","reason":"the breaker is open","since":"1970-01-01T00:00:01Z"}]` + alsoWaits},
		"stuck":   {processor.Health{}, 503, 503, `{"holds":[]` + alsoWaits},
	} {
		t.Run(name, func(t *testing.T) {
			h := adminWith(tt.health)
			require.Equal(t, tt.livez, ask(h, http.MethodGet, "/livez").Code)
			answer := ask(h, http.MethodGet, "/readyz")
			require.Equal(t, tt.readyz, answer.Code)
			require.JSONEq(t, tt.body, answer.Body.String())
			require.Equal(t, "application/json", answer.Header().Get("Content-Type"))
		})
	}
}

func TestStatusTellsVersionUptimeAndHolds(t *testing.T) {
	answer := ask(adminWith(held), http.MethodGet, "/api/status")
	require.Equal(t, http.StatusOK, answer.Code)
	var got status
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &got))
	require.Equal(t, "v1", got.Version)
	require.GreaterOrEqual(t, got.UptimeSeconds, int64(60))
	require.True(t, got.Live)
	require.False(t, got.Ready)
	require.Equal(t, held.Holds, got.Holds)
	require.Len(t, got.Partitions, 2)
	require.NotContains(t, answer.Body.String(), "null")
}

func TestAdminOnlyAnswersReads(t *testing.T) {
	h := adminWith(held)
	for path, want := range map[string]int{
		"/livez": http.StatusMethodNotAllowed, "/readyz": http.StatusMethodNotAllowed,
		"/metrics": http.StatusMethodNotAllowed, "/api/status": http.StatusMethodNotAllowed, "/": http.StatusMethodNotAllowed,
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			require.Equal(t, want, ask(h, method, path).Code, path)
		}
	}
	require.Contains(t, ask(h, http.MethodGet, "/metrics").Body.String(), "coupongrant_test 0")
}
