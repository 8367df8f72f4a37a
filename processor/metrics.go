package processor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// metrics are the numbers that are counted on the way of a record; statusMetrics and
// clientMetrics have the others. A struct built from a
// registerer, not globals: two processors can live in one process.
type metrics struct {
	polled       *prometheus.CounterVec // by topic
	redelivered  prometheus.Counter
	outcomes     *prometheus.CounterVec // by reason: granted, or a FailureReason
	granted      prometheus.Counter     // of outcomes
	outcomeAge   *prometheus.HistogramVec
	ages         map[string]prometheus.Observer // of outcomeAge, by input topic
	deadLetters  *prometheus.CounterVec         // by reason
	parked       prometheus.Counter
	attempts     *prometheus.CounterVec // by about and code
	answered     prometheus.Counter     // of attempts: granted
	callSeconds  prometheus.Histogram
	inFlight     prometheus.Gauge
	transactions *prometheus.CounterVec // by state: committed, aborted, unknown, error
	endSeconds   prometheus.Histogram
	rebuilds     prometheus.Counter
	grantedTwice prometheus.Counter
	staleResults prometheus.Counter
	holds        *prometheus.GaugeVec // by kind
	trouble      *prometheus.GaugeVec // by kind
	unfinished   prometheus.Gauge
	windowBytes  prometheus.Gauge
	partitions   prometheus.Gauge
	kafka        clientMetrics
}

func newMetrics(reg prometheus.Registerer, b *breaker.Breaker, inputs []string) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "coupongrant_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "coupongrant_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "coupongrant_" + name, Help: help})
	}
	m := &metrics{
		polled:       counters("records_polled_total", "Records read from an input topic, redeliveries included.", "topic"),
		redelivered:  counter("records_redelivered_total", "Records that Kafka delivered again and the window dropped."),
		outcomes:     counters("outcomes_total", "Outcomes published in committed transactions; granted, or the reason of a failure.", "reason"),
		outcomeAge:   outcomeAge(),
		ages:         map[string]prometheus.Observer{},
		deadLetters:  counters("dead_letters_total", "Dead letters published in committed transactions.", "reason"),
		parked:       counter("parked_total", "Requests handed to the retry topic in committed transactions."),
		attempts:     counters("attempts_total", "Calls of the gateway by whom the answer is about; empty: granted.", "about", "code"),
		callSeconds:  histogram("call_duration_seconds", "How long a call of the gateway took.", callBuckets),
		inFlight:     gauge("calls_in_flight", "Calls of the gateway at this moment."),
		transactions: counters("transactions_total", "Transactions by how they ended.", "state"),
		endSeconds:   histogram("transaction_duration_seconds", "From encoding the first result to the certain outcome of End.", transactionBuckets),
		rebuilds:     counter("session_rebuilds_total", "Times the Kafka session was thrown away and built anew."),
		grantedTwice: counter("granted_twice_total", "Answers that granted a request another coupon than it was granted before, as far as this replica knows."),
		staleResults: counter("stale_results_total", "Answers that came after their partition had moved; harmless, out_id covers them."),
		holds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupongrant_holds", Help: "Reasons why something waits at this moment, by kind.",
		}, []string{"reason"}),
		trouble: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupongrant_app_trouble", Help: "1 while all calls are stopped for this trouble of our app, which a person must mend.",
		}, []string{"trouble"}),
		unfinished:  gauge("requests_unfinished", "Requests taken in that have no committed end."),
		windowBytes: gauge("window_bytes", "Bytes of records in the windows of this replica."),
		partitions:  gauge("partitions_assigned", "Input partitions this replica holds."),
	}
	state := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coupongrant_breaker_state", Help: "The breaker: 0 closed, 1 half-open, 2 open.",
	}, func() float64 { return float64(b.State()) })
	m.startAtZero(inputs)
	for _, c := range []prometheus.Collector{
		m.polled, m.redelivered, m.outcomes, m.outcomeAge, m.deadLetters, m.parked, m.attempts, m.callSeconds, m.inFlight,
		m.transactions, m.endSeconds, m.rebuilds, m.grantedTwice, m.staleResults, m.holds, m.trouble, m.unfinished, m.windowBytes,
		m.partitions, state, &m.kafka,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Buckets double where a share of the bound itself is what matters, and are the
// times that people think in where it is not.
var (
	// From a simulator next door to beyond gateway.timeout, which is 10 s by default.
	callBuckets = prometheus.ExponentialBuckets(0.001, 2, 15)
	// From a broker next door to beyond kafka.transaction_timeout.
	transactionBuckets = prometheus.ExponentialBuckets(0.001, 2, 17)
	// From a grant at the first call to what an outage or the retry topic held up
	// for days: the customer at the till waits for seconds, the one at home does not.
	ageBuckets = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600, 72 * 3600}
)

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "coupongrant_" + name, Help: help, Buckets: buckets})
}

func outcomeAge() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "coupongrant_outcome_age_seconds", Buckets: ageBuckets,
		Help: "From the Kafka timestamp of a request to its committed outcome or dead letter, by the topic it was read from last; of a parked one from its first attempt.",
	}, []string{"topic"})
}

const outcomeGranted = "granted"

// startAtZero creates every label value that is known, so that rates work from
// the first event on, and keeps those at hand that most events count in.
func (m *metrics) startAtZero(inputs []string) {
	for _, topic := range inputs {
		m.polled.WithLabelValues(topic)
		m.ages[topic] = m.outcomeAge.WithLabelValues(topic)
	}
	m.answered = m.attempts.WithLabelValues("", "")
	for _, row := range allRows() {
		if row.About == topclient.AboutUnknown {
			m.attempts.WithLabelValues(row.About.String(), row.Answer().Label())
		}
	}
	m.granted = m.outcomes.WithLabelValues(outcomeGranted)
	for _, reason := range schemas.FailureReasons() {
		m.outcomes.WithLabelValues(string(reason))
	}
	for _, reason := range schemas.DeadLetterReasons() {
		m.deadLetters.WithLabelValues(string(reason))
	}
	for _, state := range []string{"committed", "aborted", "unknown", "error"} {
		m.transactions.WithLabelValues(state)
	}
	for _, kind := range holdKinds {
		m.holds.WithLabelValues(kind)
	}
	m.showTrouble([2]string{})
}

// showTrouble shows the kinds of trouble that stop all calls, and no others.
func (m *metrics) showTrouble(now [2]string) {
	for _, kind := range troubleKinds() {
		m.trouble.WithLabelValues(kind).Set(0)
	}
	for _, kind := range now {
		if kind != "" {
			m.trouble.WithLabelValues(kind).Set(1)
		}
	}
}

func (m *metrics) attempt(ans answered) {
	m.callSeconds.Observe(ans.took.Seconds())
	if ans.err == nil {
		m.answered.Inc()
		return
	}
	m.attempts.WithLabelValues(ans.err.About.String(), ans.err.Label()).Inc()
}

// published counts an end whose transaction has committed.
func (m *metrics) published(e *end, now time.Time) {
	if e.kind != endParked {
		m.ages[e.task.topic].Observe(max(now.Sub(e.task.askedAt()).Seconds(), 0))
	}
	switch e.kind {
	case endGranted:
		m.granted.Inc()
	case endFailed:
		m.outcomes.WithLabelValues(string(e.failure)).Inc()
	case endDeadLetter:
		m.deadLetters.WithLabelValues(string(e.reason)).Inc()
	case endParked:
		m.parked.Inc()
	}
}

// over: without a session nothing is held, and nobody is called.
func (m *metrics) over() {
	for _, g := range []prometheus.Gauge{m.inFlight, m.unfinished, m.windowBytes, m.partitions} {
		g.Set(0)
	}
}
