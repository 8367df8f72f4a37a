package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
)

func TestHealthTellsLifeFromReadiness(t *testing.T) {
	for name, tt := range map[string]struct {
		health      processor.Health
		live, ready int
		told        string
	}{
		"ready":   {processor.Health{Live: true}, exitDone, exitDone, ""},
		"waiting": {held, exitDone, exitFailed, "the breaker is open"},
		"stuck":   {processor.Health{}, exitFailed, exitFailed, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(adminWith(tt.health))
			defer server.Close()
			address := server.Listener.Addr().String()
			require.Equal(t, tt.live, runWith(t, "", "health", "--admin.listen", address).code)
			got := runWith(t, "", "health", "--ready", "--admin.listen", address)
			require.Equal(t, tt.ready, got.code)
			require.Contains(t, got.stderr, tt.told)
		})
	}
}

func TestHealthOfNobodyIsAFailure(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	got := runWith(t, "", "health", "--admin.listen", address)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, address)
}

// What listens everywhere is called at the loopback address, with the settings
// of the environment, as in a container.
func TestHealthFindsWhatListensEverywhere(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	server := &http.Server{Handler: adminWith(processor.Health{Live: true})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	t.Setenv("COUPONGRANT_ADMIN_LISTEN", "0.0.0.0:"+port)
	require.Equal(t, ran{exitDone, "ok\n", ""}, runWith(t, "", "health"))
	for listen, want := range map[string]string{
		":1": "127.0.0.1:1", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "replica:1": "replica:1", "10.0.0.1:1": "10.0.0.1:1",
	} {
		require.Equal(t, want, dialable(listen), listen)
	}
}

// What a start would be refused for is no reason to end a replica that lives.
func TestHealthIsNotOfOtherSettings(t *testing.T) {
	server := httptest.NewServer(adminWith(processor.Health{Live: true}))
	defer server.Close()
	address := server.Listener.Addr().String()
	listen := "admin: {listen: '" + address + "'}\n"
	for name, tt := range map[string]struct{ file, variable, value string }{
		"a certificate that is away": {file: listen + "kafka: {tls: {enabled: true, ca_file: absent.pem}}\n"},
		"a password that is away":    {file: listen + "registry: {user: u, password_file: absent}\n"},
		"a key that is mistyped":     {file: listen + "gateway: {rte: 5}\n"},
		"a value that is none":       {file: listen + "retry: {delay: soon}\n"},
		"a secret in the file":       {file: listen + "gateway: {session: canary}\n"},
		"a variable of nobody":       {file: listen, variable: "COUPONGRANT_GATEWAY_RTE", value: "5"},
		"a file that is none":        {file: "kafka: [\n", variable: "COUPONGRANT_ADMIN_LISTEN", value: address},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.variable != "" {
				t.Setenv(tt.variable, tt.value)
			}
			require.Equal(t, ran{exitDone, "ok\n", ""}, runWith(t, "", "health", "--config", writeFile(t, tt.file)))
		})
	}
	away := filepath.Join(t.TempDir(), "away.yaml")
	require.Equal(t, ran{exitDone, "ok\n", ""}, runWith(t, "", "health", "--config", away, "--admin.listen", address))

	server.Close()
	got := runWith(t, "", "health", "--config", away, "--admin.listen", address)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, address)
	require.Contains(t, got.stderr, "--config: open "+away, "it may be why the address is a wrong one")
	require.Equal(t, exitUsage, runWith(t, "", "health", "--admin.listen", "127.0.0.1").code)

	broken := writeFile(t, listen+"kafka: [\n")
	asked, trouble, err := loadAdminListen(broken, nil, newFlags(t))
	require.NoError(t, err)
	require.Equal(t, defaultConfig().AdminListen, asked, "the address stands in the file alone")
	require.ErrorContains(t, trouble, broken+" is not YAML")
}
