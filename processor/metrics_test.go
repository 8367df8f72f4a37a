package processor

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/topclient"
)

// An outcome is as old as its request: one that was parked is told of under the
// retry topic, by its first attempt, and only when it has ended.
func TestOutcomeAgeCountsFromTheRequest(t *testing.T) {
	const written, firstCall = 100, 40 // seconds, of the record and of whom it was parked for
	for name, row := range map[string]struct {
		topic  string
		called bool // before it was parked
		kind   endKind
		want   []float64
	}{
		"granted at once":                  {pastTopics.Store, false, endGranted, []float64{written}},
		"failed":                           {pastTopics.Loyalty, false, endFailed, []float64{written}},
		"dead letter":                      {pastTopics.Store, false, endDeadLetter, []float64{written}},
		"parked: it has not ended":         {pastTopics.Store, false, endParked, nil},
		"granted after it was parked":      {pastTopics.Retry, true, endGranted, []float64{written + firstCall}},
		"parked again after it was parked": {pastTopics.Retry, true, endParked, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := newMetrics(prometheus.NewRegistry(), breaker.New(breaker.DefaultConfig(), nil), pastTopics.Inputs())
			require.NoError(t, err)
			task := pastTask("order-1", row.topic, 500, 0)
			if row.called {
				task.firstCall = task.record.Timestamp.Add(-firstCall * time.Second)
			}
			m.published(&end{kind: row.kind, task: task}, task.record.Timestamp.Add(written*time.Second))
			for _, topic := range pastTopics.Inputs() {
				var got dto.Metric
				require.NoError(t, m.outcomeAge.WithLabelValues(topic).(prometheus.Histogram).Write(&got))
				want := row.want
				if topic != row.topic {
					want = nil
				}
				require.EqualValues(t, len(want), got.GetHistogram().GetSampleCount(), topic)
				for _, seconds := range want {
					require.InDelta(t, seconds, got.GetHistogram().GetSampleSum(), 1e-9)
				}
			}
		})
	}
}

// An alert on what a counter gains sees no first answer that brings the counter with it.
func TestAnswersOfNoListAreCountedFromZero(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry(), breaker.New(breaker.DefaultConfig(), nil), nil)
	require.NoError(t, err)
	for _, answer := range answersOfEveryKind() {
		if answer.About == topclient.AboutUnknown {
			before := testutil.CollectAndCount(m.attempts)
			m.attempt(answered{err: answer})
			require.Equal(t, before, testutil.CollectAndCount(m.attempts), answer.Code)
		}
	}
}
