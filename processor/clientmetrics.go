package processor

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/plugin/kprom"
)

// clientMetrics are those of the Kafka client of the moment: each session has a
// client of its own, and its counters begin anew with it. Between two sessions
// they are those of the last.
type clientMetrics struct{ of atomic.Pointer[kprom.Metrics] }

func newClientMetrics() *kprom.Metrics {
	return kprom.NewMetrics("coupongrant", kprom.Subsystem("kafka"),
		kprom.Registry(nil), // we are the collector: a registry would not take the next client's
		kprom.FetchAndProduceDetail(kprom.ByNode, kprom.ByTopic, kprom.UncompressedBytes, kprom.Records, kprom.Batches, kprom.ConsistentNaming),
		kprom.HistogramsFromOpts(kprom.HistogramOpts{Enable: kprom.RequestDurationE2E, Buckets: transactionBuckets}),
		kprom.NativeBucketFactor(1)) // classic buckets only, like ours
}

// Describe tells of nothing before the first client, which registers it as a
// collector whose metrics may come and go.
func (c *clientMetrics) Describe(ch chan<- *prometheus.Desc) {
	if m := c.of.Load(); m != nil {
		m.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *clientMetrics) Collect(ch chan<- prometheus.Metric) {
	if m := c.of.Load(); m != nil {
		m.Collect(ch)
	}
}
