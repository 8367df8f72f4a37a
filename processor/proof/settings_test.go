//go:build integration

package proof_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWrongConfigurationSaysWhatToDo needs no broker: all of these are found
// before anybody is contacted.
func TestWrongConfigurationSaysWhatToDo(t *testing.T) {
	const secret = "the-secret-itself"
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("gateway:\n  app_secret: "+secret+"\n"), 0o600))
	for _, test := range []struct {
		name string
		give []string // variables
		args []string
		want []string // what the sentence must hold: key, value, mend
	}{
		{"no unit", []string{"GATEWAY_TIMEOUT=10"}, nil, []string{"gateway.timeout", `"10"`, "1500ms"}},
		{"no number", []string{"GATEWAY_MAX_IN_FLIGHT=many"}, nil, []string{"gateway.max_in_flight", `"many"`, "whole number"}},
		{"out of range", []string{"KAFKA_TRANSACTION_TIMEOUT=10ms"}, nil, []string{"kafka.transaction_timeout", "10ms", "15s"}},
		{"no such word", []string{"RETRY_REFUSAL_IN_DOUBT=maybe"}, nil, []string{"retry.refusal_in_doubt", `"maybe"`, "park or fail"}},
		{"two that do not fit", []string{"STOP_TIMEOUT=5s"}, nil, []string{"stop_timeout", "5s", "gateway.timeout"}},
		{"breaker blind to slow calls", []string{"BREAKER_INTERVAL=11s"}, nil, []string{"breaker.interval", "11s", "50s"}},
		{"one topic twice", []string{"TOPICS_FAILED=coupon-granted"}, nil, []string{"topics.failed", `"coupon-granted"`, "topics.granted", "of its own"}},
		{"no address", []string{"ADMIN_LISTEN=8080"}, nil, []string{"admin.listen", `"8080"`, "127.0.0.1:8080"}},
		{"no port", []string{"KAFKA_BROKERS=kafka-1"}, nil, []string{"kafka.brokers", `"kafka-1"`, "host:port"}},
		{"no URL", []string{"REGISTRY_URL=registry:8081"}, nil, []string{"registry.url", "http://host:port"}},
		{"no gateway URL", []string{"GATEWAY_URL=gw"}, nil, []string{"gateway.url", "such as https://"}},
		{"no app key", []string{"GATEWAY_APP_KEY="}, nil, []string{"gateway.app_key", "empty", "name the app"}},
		{"no secret", []string{"GATEWAY_APP_SECRET="}, nil, []string{"gateway.app_secret_file", "empty", "COUPONGRANT_GATEWAY_APP_SECRET"}},
		{"no such file", []string{"GATEWAY_SESSION_FILE=/no/such"}, nil, []string{"gateway.session_file", "/no/such"}},
		{"misspelt variable", []string{"KAFKA_BROKER=a:1"}, nil, []string{"COUPONGRANT_KAFKA_BROKER", "did you mean COUPONGRANT_KAFKA_BROKERS"}},
		{"misspelt flag", nil, []string{"--gateway.tiemout", "1s"}, []string{"--gateway.tiemout"}},
		{"no such config", nil, []string{"--config", "/no/such.yaml"}, []string{"--config", "/no/such.yaml"}},
		{"secret in the file", nil, []string{"--config", file}, []string{"gateway.app_secret", "gateway.app_secret_file", "a file of its own"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := []string{"COUPONGRANT_GATEWAY_APP_KEY=app", "COUPONGRANT_GATEWAY_APP_SECRET=" + secret, "COUPONGRANT_GATEWAY_SESSION=" + secret}
			for _, variable := range test.give {
				env = append(env, "COUPONGRANT_"+variable)
			}
			p := runProcess(t, env, buildBinary(t), append([]string{"run"}, test.args...)...)

			require.Equal(t, 2, p.wait(t, patience))

			said := p.stderr.String()
			require.Equal(t, 1, strings.Count(said, "\n"), "one sentence: %s", said)
			for _, word := range test.want {
				require.Contains(t, said, word)
			}
			require.NotContains(t, said, secret)
			require.Empty(t, p.stdout.String())
		})
	}
}
