package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"

	"go.uber.org/fx"
)

// pprofHandler serves the profiles of this process.
func pprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// servePprof listens apart from admin.listen: who may see probes and numbers may
// not therefore make a process write down its memory, or keep it busy.
func servePprof(lc fx.Lifecycle, cfg Config, log *slog.Logger) {
	if cfg.PprofListen == "" {
		return
	}
	log = log.With("component", "pprof")
	serveAt(lc, listening{"admin.pprof_listen", cfg.PprofListen, "/debug/pprof/"}, func(l net.Listener) *httpService { return newHTTPService(l, pprofHandler(), log) }, log)
}

// checkPprof refuses what others can reach.
func checkPprof(address string) error {
	if address == "" {
		return nil
	}
	if err := checkAddress("admin.pprof_listen", address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("admin.pprof_listen is %q, which others may reach, and profiles show what is in memory: use a loopback address such as 127.0.0.1:6060, or leave it empty", address)
	}
	return nil
}
