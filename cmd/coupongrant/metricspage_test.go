package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
)

//go:generate go test -run TestMetricsPageIsCurrent -update

const (
	metricsPage = "../../docs/metrics.md"
	metricsHead = "| metric | type | labels | unit | meaning | what to do with it |\n|---|---|---|---|---|---|\n"
)

var update = flag.Bool("update", false, "write the table into "+metricsPage)

// uses says of each metric what it is for. Those of the Kafka client share a row
// of advice.
var uses = map[string]string{
	"coupongrant_app_trouble":                       "Alert at once: nothing is called. The kind says what to mend.",
	"coupongrant_attempts_total":                    "Rate by about and code: which answers Tmall gives. More attempts than outcomes are retries.",
	"coupongrant_backlog_requests":                  "Scale by its sum over all replicas, by topic or in all. With no replica there is no figure: keep at least one.",
	"coupongrant_ban_remaining_seconds":             "Above 0 requests wait; lower gateway.rate or raise the app's quota if it comes often.",
	"coupongrant_breaker_state":                     "Read together with the holds; by itself no reason to act.",
	"coupongrant_budget_saved_calls":                "Sum over the replicas: how many calls can be made at once now.",
	"coupongrant_build_info":                        "Join for the version; its absence means that nothing runs.",
	"coupongrant_call_duration_seconds":             "Quantiles of Tmall's latency; compare with gateway.timeout.",
	"coupongrant_calls_in_flight":                   "Near its limit calls wait for a slot: Tmall is slow, or gateway.max_in_flight low.",
	"coupongrant_calls_in_flight_limit":             "The upper edge of calls_in_flight.",
	"coupongrant_dead_letters_total":                "Alert on any increase: a person has to look at each.",
	"coupongrant_fleet_budget_calls_per_day":        "Compare with the increase of attempts_total over a day.",
	"coupongrant_fleet_rate_limit_calls_per_second": "Compare with the rate of attempts_total, summed over the replicas.",
	"coupongrant_granted_twice_total":               "Alert on any increase: the member has two coupons; the log names both.",
	"coupongrant_holds":                             "Alert by reason; /readyz has the sentence.",
	"coupongrant_oldest_unfinished_age_seconds":     "The maximum over the replicas is how late we are.",
	"coupongrant_outcome_age_seconds":               "Quantiles by topic: what tills and customers feel. Its buckets end at 3 days.",
	"coupongrant_outcomes_total":                    "Rate by reason: what comes of the requests; the share that is not granted.",
	"coupongrant_parked_total":                      "Rate: how many leave their lane because they would hold it up.",
	"coupongrant_parked_waiting_requests":           "A pile means doubtful answers, or slow requests; no reason to scale.",
	"coupongrant_partitions_assigned":               "The sum over the replicas is the number of input partitions while nobody rebalances.",
	"coupongrant_rate_limit_calls_per_second":       "The sum over the replicas stays below gateway.rate.",
	"coupongrant_ready":                             "Alert when it stays 0.",
	"coupongrant_records_polled_total":              "Rate by topic: what comes in.",
	"coupongrant_records_redelivered_total":         "Harmless; rises after aborted transactions.",
	"coupongrant_requests_unfinished":               "How full the windows are; see window.records.",
	"coupongrant_session_rebuilds_total":            "Alert on many in a short time; the log says why each.",
	"coupongrant_session_remaining_seconds":         "Alert a week ahead; the program itself warns from two. Exposed only where gateway.session_expires_at is set.",
	"coupongrant_stale_results_total":               "Harmless; rises when partitions move with calls in flight.",
	"coupongrant_transaction_duration_seconds":      "Quantiles; near kafka.transaction_timeout brokers end transactions.",
	"coupongrant_transactions_total":                "The share of aborted and error; unknown is a commit that had to be looked up.",
	"coupongrant_window_bytes":                      "Memory of the windows; bounded by window.total_bytes.",
}

const kafkaUse = "Of the Kafka client of the session: begins anew with each session. For finding out why brokers are slow."

// openLabels have values that no list can give.
var openLabels = map[string]string{
	"about": "`app` `gateway` `request` `unknown`, empty: granted", "code": "Tmall's, or ours, such as `canceled`: [gateway.md](gateway.md); empty: granted",
	"topic": "name of a topic", "node_id": "of a broker, `seed_0` … before it is known", "version": "of the program",
}

// exposed is what a metric says of itself.
type exposed struct {
	name, kind, help string
	labels           []string
	values           map[string][]string // of a label, those that were there
}

// recorder notes what is registered.
type recorder struct {
	prometheus.Registerer

	all []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.all = append(r.all, c)
	return r.Registerer.Register(c)
}

// exposedMetrics are those of the assembled program, after it has granted.
func exposedMetrics(t *testing.T) map[string]*exposed {
	t.Helper()
	var gathered []*dto.MetricFamily
	cfg := devConfig()
	cfg.AdminListen = freeAddress(t)
	require.NoError(t, cfg.derive())
	cfg.SessionExpiresAt = expiry{time.Now().Add(day)}
	seen := &recorder{}
	var gatherer prometheus.Gatherer
	end := newEnding()
	app := fx.New(devGraph(devPlace{cfg: cfg}, quiet(), end), fx.Populate(&gatherer),
		fx.Decorate(func(r prometheus.Registerer) prometheus.Registerer { seen.Registerer = r; return seen }))
	all := map[string]*exposed{}
	require.NoError(t, live(t.Context(), app, end, time.Minute, func(context.Context) error {
		require.Eventually(t, func() bool {
			var err error
			gathered, err = gatherer.Gather()
			return err == nil && slices.ContainsFunc(gathered, func(f *dto.MetricFamily) bool {
				return f.GetName() == "coupongrant_kafka_fetch_bytes_total" || f.GetName() == "coupongrant_kafka_read_bytes_total"
			})
		}, 20*time.Second, 20*time.Millisecond)
		for _, c := range seen.all {
			describe(t, c, all)
		}
		return nil
	}))
	for _, family := range gathered {
		name := family.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if all[name] == nil { // registered before anybody could note it
			all[name] = &exposed{name: name, help: family.GetHelp(), values: map[string][]string{}}
			for _, label := range family.GetMetric()[0].GetLabel() {
				all[name].labels = append(all[name].labels, label.GetName())
			}
		}
		all[name].gathered(family)
	}
	return all
}

var (
	descText = regexp.MustCompile(`^Desc\{fqName: ("[^"]*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	// What the client's plug-in describes and was not asked for.
	notAsked = regexp.MustCompile(`_(write|read)_(wait|time)_seconds|_compressed_bytes_total|_throttled_seconds`)
)

func describe(t *testing.T, c prometheus.Collector, into map[string]*exposed) {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() { defer close(descs); c.Describe(descs) }()
	for d := range descs {
		found := descText.FindStringSubmatch(d.String())
		require.NotNil(t, found, d.String())
		name, err := strconv.Unquote(found[1])
		require.NoError(t, err)
		if ours := strings.HasPrefix(name, "coupongrant_"); !ours || notAsked.MatchString(name) && !strings.Contains(name, "_uncompressed_") {
			continue
		}
		help, err := strconv.Unquote(found[2])
		require.NoError(t, err)
		m := &exposed{name: name, help: help, kind: "histogram", values: map[string][]string{}}
		if strings.HasSuffix(name, "_total") { // until it is gathered
			m.kind = "counter"
		}
		for _, label := range strings.Split(found[3]+","+found[4], ",") {
			if label, _, _ = strings.Cut(label, "="); label != "" {
				m.labels = append(m.labels, label)
			}
		}
		slices.Sort(m.labels) // the client's plug-in gives them in any order
		into[name] = m
	}
}

func (m *exposed) gathered(family *dto.MetricFamily) {
	m.kind = strings.ToLower(family.GetType().String())
	for _, one := range family.GetMetric() {
		for _, label := range one.GetLabel() {
			if values := m.values[label.GetName()]; !slices.Contains(values, label.GetValue()) {
				m.values[label.GetName()] = append(values, label.GetValue())
			}
		}
	}
}

func (m *exposed) unit() string {
	name := strings.TrimSuffix(m.name, "_total")
	for _, unit := range []string{"calls_per_second", "calls_per_day", "seconds", "bytes", "requests", "calls", "records"} {
		if strings.HasSuffix(name, "_"+unit) {
			return strings.ReplaceAll(unit, "_", " ")
		}
	}
	return ""
}

func (m *exposed) labelText() string {
	var texts []string
	for _, label := range m.labels {
		open, ok := openLabels[label]
		if !ok {
			values := slices.Sorted(slices.Values(m.values[label]))
			open = "`" + strings.Join(values, "` `") + "`"
		}
		texts = append(texts, "`"+label+"`: "+open)
	}
	return strings.Join(texts, "; ")
}

func (m *exposed) row() string {
	use := uses[m.name]
	if strings.HasPrefix(m.name, "coupongrant_kafka_") {
		use = kafkaUse
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", m.name, m.kind, m.labelText(), m.unit(), m.help, use)
}

func TestMetricsPageIsCurrent(t *testing.T) {
	all := exposedMetrics(t)
	for name := range all {
		require.True(t, strings.HasPrefix(name, "coupongrant_"), "%s: each but those of the runtime begins so", name)
	}
	for name := range uses {
		require.NotNil(t, all[name], "there is advice for %s, and nobody exposes it", name)
	}
	var rows strings.Builder
	for _, name := range sortedKeys(all) {
		if !strings.HasPrefix(name, "coupongrant_kafka_") {
			require.Contains(t, uses, name, "say what it is for")
		}
		rows.WriteString(all[name].row())
	}
	page, err := os.ReadFile(metricsPage)
	require.NoError(t, err)
	text, current, found := strings.Cut(string(page), metricsHead)
	require.True(t, found, "the page has no table")
	if *update {
		current = rows.String()
		require.NoError(t, os.WriteFile(metricsPage, []byte(text+metricsHead+current), 0o644)) //nolint:gosec // a page
	}
	require.Equal(t, rows.String(), current, "run go generate ./cmd/coupongrant")
}
