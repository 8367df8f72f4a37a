package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const systemFile = "SSL_CERT_FILE" // where Go looks for the system's authorities

// An image from scratch has no file of authorities: https works all the same. A
// file in its place replaces what is built in.
func TestAuthoritiesAreBuiltIn(t *testing.T) {
	const child = "COUPONGRANT_TEST_SAY_ROOTS"
	if os.Getenv(child) != "" {
		sayRoots(t)
		return
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	own := filepath.Join(t.TempDir(), "authorities.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(own, text, 0o600))
	for file, want := range map[string]string{"/nowhere": "roots: built in", own: "roots: of the file"} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), child+"=1", systemFile+"="+file, "SSL_CERT_DIR=/nowhere")
		said, err := again.CombinedOutput()
		require.NoError(t, err, string(said))
		require.Contains(t, string(said), want)
	}
}

func sayRoots(t *testing.T) {
	t.Helper()
	trusted, err := x509.SystemCertPool()
	require.NoError(t, err)
	none, file := x509.NewCertPool(), x509.NewCertPool()
	if text, err := os.ReadFile(os.Getenv(systemFile)); err == nil {
		require.True(t, file.AppendCertsFromPEM(text))
	}
	switch {
	case trusted.Equal(none):
		fmt.Fprintln(os.Stdout, "roots: none")
	case trusted.Equal(file):
		fmt.Fprintln(os.Stdout, "roots: of the file")
	default:
		fmt.Fprintln(os.Stdout, "roots: built in")
	}
}
