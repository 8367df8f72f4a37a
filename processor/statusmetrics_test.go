package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestStatusMetricsAddUpThePartitions(t *testing.T) {
	cfg := DefaultConfig()
	store, retry := cfg.Topics.Store, cfg.Topics.Retry
	saved, ofDay, until := int64(40), int64(1000), time.Now().Add(time.Hour)
	s := &statusMetrics{cfg: cfg, status: func() Status {
		return Status{
			Health: Health{Live: true},
			Gateway: GatewayStatus{
				MaxInFlight: 256, Rate: 50, RateOfFleet: 200, BudgetLeft: &saved, BudgetOfDay: &ofDay, BannedUntil: &until,
			},
			Partitions: []PartitionStatus{
				{Topic: store, Backlog: 7, Oldest: &OldestStatus{Written: time.Now().Add(-time.Minute)}},
				{Topic: store, Partition: 1, Backlog: 3, Oldest: &OldestStatus{Written: time.Now().Add(-time.Hour)}},
				// Parked, and due in a minute: nobody is late, and there is nothing to scale for.
				{Topic: retry, Parked: 5, Unfinished: 5, Oldest: &OldestStatus{Written: time.Now().Add(time.Minute - cfg.Retry.Delay)}},
			},
		}
	}}
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(s))
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP coupongrant_parked_waiting_requests Parked requests taken in that are not due yet.
# TYPE coupongrant_parked_waiting_requests gauge
coupongrant_parked_waiting_requests 5
# HELP coupongrant_ready 1 if /readyz says so: this replica lives and nothing is held.
# TYPE coupongrant_ready gauge
coupongrant_ready 1
# HELP coupongrant_budget_saved_calls Calls of gateway.daily_budget that this replica has saved up and may make at once; 0 without a budget.
# TYPE coupongrant_budget_saved_calls gauge
coupongrant_budget_saved_calls 40
`), "coupongrant_parked_waiting_requests", "coupongrant_ready", "coupongrant_budget_saved_calls"))
	families, err := reg.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "coupongrant_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	require.InDelta(t, 10, got["backlog_requests "+store], 0)
	require.Zero(t, got["backlog_requests "+retry])
	require.Contains(t, got, "backlog_requests "+cfg.Topics.Loyalty, "a topic of which nothing is held is 0")
	require.InDelta(t, 3600, got["oldest_unfinished_age_seconds "+store], 5)
	require.Zero(t, got["oldest_unfinished_age_seconds "+retry])
	require.InDelta(t, 3600, got["ban_remaining_seconds"], 5)
	require.InDelta(t, 200, got["fleet_rate_limit_calls_per_second"], 0)
}
