package breaker

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefaultConfigIsValid(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate(12*time.Second))
}

func TestConfigValidateNamesSettingValueAndMend(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no window", func(c *Config) { c.Interval = 0 }, "breaker.interval is 0s: set at least 1ms"},
		{"window calls outlive", func(c *Config) { c.Interval = 24 * time.Second }, "breaker.interval is 24s, but calls may take gateway.timeout (5s) and would outlive what is counted: set at least 25s, 5 times that"},
		{"no calls", func(c *Config) { c.MinCalls = 0 }, "breaker.min_calls is 0: set at least 1"},
		{"ratio zero", func(c *Config) { c.FailureRatio = 0 }, "breaker.failure_ratio is 0: set it above 0 and at most 1"},
		{"ratio above one", func(c *Config) { c.FailureRatio = 1.5 }, "breaker.failure_ratio is 1.5: set it above 0 and at most 1"},
		{"ratio no number", func(c *Config) { c.FailureRatio = math.NaN() }, "breaker.failure_ratio is NaN: set it above 0 and at most 1"},
		{"slow below zero", func(c *Config) { c.SlowCall = -time.Second }, "breaker.slow_call is -1s: set how long a call may take, or 0 for gateway.timeout"},
		{"slow never", func(c *Config) { c.SlowCall = 5 * time.Second }, "breaker.slow_call is 5s, but no call takes longer than gateway.timeout (5s): set it below that, or 0"},
		{"never open", func(c *Config) { c.OpenFor = -time.Second }, "breaker.open_for is -1s: set it above 0"},
		{"no probes", func(c *Config) { c.Probes = 0 }, "breaker.probes is 0: set at least 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := DefaultConfig()
			c.change(&cfg)
			require.EqualError(t, cfg.Validate(5*time.Second), c.want)
		})
	}
}

func TestConfigValidateJoinsAllProblems(t *testing.T) {
	err := Config{}.Validate(time.Second)
	require.Len(t, strings.Split(err.Error(), "\n"), 5)
}
