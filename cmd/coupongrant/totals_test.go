package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/schemas"
)

// Totals know metrics, and their reasons, by name: one that the processor calls otherwise
// would never be counted.
func TestTotalsKnowTheProcessorsMetrics(t *testing.T) {
	cfg := devConfig()
	require.NoError(t, cfg.derive())
	metrics := prometheus.NewRegistry()
	_, err := processor.New(cfg.Processor, processor.Deps{
		Metrics: metrics, Breaker: breaker.New(breaker.DefaultConfig(), nil), Logger: quiet(),
	})
	require.NoError(t, err)
	families, err := metrics.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	require.Subset(t, names, []string{
		outcomesName, deadName, waitingName, parkedName, attemptsName, callsName, outcomeAgeName,
	})
	// The processor starts all that it knows at zero.
	got, err := readTotals(metrics)
	require.NoError(t, err)
	require.ElementsMatch(t, schemas.FailureReasons(), reasonsOf[schemas.FailureReason](got.Failed))
	require.ElementsMatch(t, schemas.DeadLetterReasons(), reasonsOf[schemas.DeadLetterReason](got.DeadLetters))
	require.Equal(t, map[string]int64{"/": 0}, got.Attempts)
}

func reasonsOf[T ~string](counts map[string]int64) (all []T) {
	for reason := range counts {
		all = append(all, T(reason))
	}
	return all
}
