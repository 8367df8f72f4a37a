package bench

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEngineIsMeasuredWithTheSettingsOfTheCaseAlone(t *testing.T) {
	got := engineEnviron(
		[]string{"HOME=/home/me", "COUPONGRANT_GATEWAY_RATE=50", "COUPONGRANT_KAFKA_BROKERS=kafka-1:9092"},
		map[string]string{"kafka.brokers": "127.0.0.1:9092", "gateway.max_in_flight": "64"})
	require.Equal(t, []string{"COUPONGRANT_GATEWAY_MAX_IN_FLIGHT=64", "COUPONGRANT_KAFKA_BROKERS=127.0.0.1:9092", "HOME=/home/me"}, slices.Sorted(slices.Values(got)))
}
