package processor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusMetrics are the numbers that follow from Status, worked out when somebody
// asks for them: nothing is counted twice, and nothing on the way of a record.
type statusMetrics struct {
	cfg    Config
	status func() Status
}

func statusGauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("coupongrant_"+name, help, labels, nil)
}

var (
	backlogDesc = statusGauge("backlog_requests",
		"Requests that this replica knows of and that have no committed end: taken in, or seen at the brokers. Neither transaction markers nor parked requests that are not due count. While a partition is full or held, what is at the brokers is told by its offsets, which count markers too. Sum over the replicas, and scale by it.", "topic")
	oldestDesc = statusGauge("oldest_unfinished_age_seconds",
		"Age of the oldest request taken in that has no committed end, by its Kafka timestamp; 0: there is none. Parked requests that are not due count from when they are.", "topic")
	waitingDesc = statusGauge("parked_waiting_requests", "Parked requests taken in that are not due yet.")
	readyDesc   = statusGauge("ready", "1 if /readyz says so: this replica lives and nothing is held.")
	rateDesc    = statusGauge("rate_limit_calls_per_second", "Calls a second that this replica may make: its share of gateway.rate; 0: none now, or no limit.")
	fleetDesc   = statusGauge("fleet_rate_limit_calls_per_second", "gateway.rate, of the whole fleet; 0: no limit.")
	budgetDesc  = statusGauge("budget_saved_calls", "Calls of gateway.daily_budget that this replica has saved up and may make at once; 0 without a budget.")
	dayDesc     = statusGauge("fleet_budget_calls_per_day", "gateway.daily_budget, of the whole fleet; 0: no limit.")
	slotsDesc   = statusGauge("calls_in_flight_limit", "gateway.max_in_flight of this replica.")
	bannedDesc  = statusGauge("ban_remaining_seconds", "How long the gateway limits our calls still; 0: it does not.")
)

// Describe implements prometheus.Collector.
func (s *statusMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{backlogDesc, oldestDesc, waitingDesc, readyDesc, rateDesc, fleetDesc, budgetDesc, dayDesc, slotsDesc, bannedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *statusMetrics) Collect(ch chan<- prometheus.Metric) {
	now, status := time.Now(), s.status()
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	var waiting int64
	backlog, oldest := map[string]int64{}, map[string]float64{}
	for _, p := range status.Partitions {
		backlog[p.Topic] += p.Backlog
		waiting += p.Parked
		if p.Oldest != nil {
			oldest[p.Topic] = max(oldest[p.Topic], s.waits(&p, now).Seconds())
		}
	}
	for _, topic := range s.cfg.Topics.Inputs() {
		tell(backlogDesc, float64(backlog[topic]), topic)
		tell(oldestDesc, oldest[topic], topic)
	}
	tell(waitingDesc, float64(waiting))
	tell(readyDesc, oneIf(status.Ready()))
	tellGateway(tell, &status.Gateway, now)
}

// waits is how long the oldest request of a partition has waited. One that was
// parked waits on purpose until it is due, and the oldest is due first.
func (s *statusMetrics) waits(p *PartitionStatus, now time.Time) time.Duration {
	waits := now.Sub(p.Oldest.Written)
	if p.Topic == s.cfg.Topics.Retry {
		waits -= s.cfg.Retry.Delay
	}
	return waits
}

func tellGateway(tell func(*prometheus.Desc, float64, ...string), g *GatewayStatus, now time.Time) {
	tell(rateDesc, g.Rate)
	tell(fleetDesc, g.RateOfFleet)
	var saved, ofDay, banned float64
	if g.BudgetLeft != nil {
		saved, ofDay = float64(*g.BudgetLeft), float64(*g.BudgetOfDay)
	}
	if g.BannedUntil != nil {
		banned = max(g.BannedUntil.Sub(now).Seconds(), 0)
	}
	tell(budgetDesc, saved)
	tell(dayDesc, ofDay)
	tell(slotsDesc, float64(g.MaxInFlight))
	tell(bannedDesc, banned)
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}
