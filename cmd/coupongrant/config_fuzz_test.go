package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What must hold for every file and every text of a variable:
//   - reading them never panics, and no secret from the environment is repeated
//     in the error;
//   - what is accepted, `config print` writes as a file that gives the same again.
func FuzzConfiguration(f *testing.F) {
	const secret = "canary-9c1d"
	printed := func(t testing.TB, cfg Config) string {
		t.Helper()
		var out bytes.Buffer
		require.NoError(t, cfg.print(&out))
		return out.String()
	}
	cfg := defaultConfig()
	require.NoError(f, cfg.derive())
	for _, file := range []string{
		"", "# nothing\n", printed(f, cfg), "gateway:\n  timeout: 3s\n  max_in_flight: 0x10\n", "gateway.timeout: 2s\n", "kafka:\n  brokers: [a:1, 'b:2']\n",
		"gateway:\n  session_expires_at: 2026-12-01\n", "gateway:\n  app_secret: " + secret + "\n", "a: &a [1, *a]\n", "kafka: {}\ntopics:\n  inputs: []\n",
		"a: &a {b: c}\ngateway:\n  <<: *a\n", "? [1, 2]\n: 3\n", "\"gateway\": {\"timeout\": 1e3}", "--- 1\n--- 2\n", "gateway:\n\ttimeout: 3s\n",
	} {
		f.Add(file, "4s", "127.0.0.1:1,::1")
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, file, timeout, brokers string) {
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		environ := []string{"COUPONGRANT_GATEWAY_TIMEOUT=" + timeout, "COUPONGRANT_KAFKA_BROKERS=" + brokers, "COUPONGRANT_GATEWAY_APP_SECRET=" + secret}
		flags := newFlags(t)
		read, err := loadConfig(defaultConfig(), path, environ, flags)
		if err != nil {
			if !strings.Contains(file+timeout+brokers, secret) {
				require.NotContains(t, err.Error(), secret)
			}
			return
		}
		text := printed(t, read)
		if !strings.Contains(file+timeout+brokers, secret) {
			require.NotContains(t, text, secret)
		}
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		again, err := loadConfig(defaultConfig(), path, environ[2:], flags)
		require.NoError(t, err, text)
		for i, s := range read.settings() {
			require.Equal(t, s.value.String(), again.settings()[i].value.String(), s.key)
		}
	})
}
