package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProfilesAreForThisHostOnly(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "127.0.0.1:6060": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "10.1.2.3:6060": false, "coupongrant:6060": false, "6060": false,
	} {
		err := checkPprof(address)
		if ok {
			require.NoError(t, err, address)
			continue
		}
		require.ErrorContains(t, err, "admin.pprof_listen", address)
		require.ErrorContains(t, err, "127.0.0.1:6060", address)
	}
	got := runWith(t, "", "config", "print", "--admin.pprof_listen=0.0.0.0:6060")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.stderr, `admin.pprof_listen is "0.0.0.0:6060"`)
}

// Profiles are on a listener of their own, and only there.
func TestProfilesAreServedApart(t *testing.T) {
	h := pprofHandler()
	require.Equal(t, http.StatusOK, ask(h, http.MethodGet, "/debug/pprof/goroutine").Code)
	require.Contains(t, ask(h, http.MethodGet, "/debug/pprof/").Body.String(), "heap")
	require.NotEqual(t, http.StatusOK, ask(h, http.MethodPost, "/debug/pprof/heap").Code)
	require.Equal(t, http.StatusNotFound, ask(adminWith(held), http.MethodGet, "/debug/pprof/").Code)
}

func TestProfilesOfARunningProgram(t *testing.T) {
	r := newTroubled(t)
	r.ready()
	profiles := freeAddress(t)
	r.begin("--admin.pprof_listen", profiles)
	r.granted("first")
	require.Contains(t, r.stderr.String(), `"page":"http://`+r.admin+`/"`, "of the console")
	require.Contains(t, r.stderr.String(), `"page":"http://`+profiles+`/debug/pprof/"`)
	r.admin = profiles
	code, body := r.get("/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "processor.(*session)")
	code, _ = r.get("/metrics")
	require.Equal(t, http.StatusNotFound, code)
}
