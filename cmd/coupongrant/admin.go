package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/fx"

	"github.com/coupongrant/coupongrant/processor"
)

// adminModule serves probes, metrics and the console. It stands before the
// processor in the graph, so that it answers while the processor stops.
var adminModule = fx.Module("admin", fx.Provide(newAdmin), fx.Invoke(func(*admin) {}))

// admin answers probes, scrapers and people, and asks nobody who he is. What it tells,
// SECURITY.md says: no secret, open_id or payload is in it.
type admin struct {
	began   time.Time
	version string
	replica string
	group   string
	expires time.Time // of the merchant's session; zero: nobody has said when
	metrics prometheus.Gatherer
	engine  func() processor.Status // set before it serves, as are those of memory
	memory  memory
}

// status is the answer of /api/status.
type status struct {
	Version       string                      `json:"version"`
	StartedAt     time.Time                   `json:"started_at"`
	UptimeSeconds int64                       `json:"uptime_seconds"`
	Replica       string                      `json:"replica"`
	Group         string                      `json:"group"`
	Live          bool                        `json:"live"`
	Ready         bool                        `json:"ready"`
	Holds         []processor.Hold            `json:"holds"`
	At            time.Time                   `json:"at"` // of what the partitions say
	Gateway       processor.GatewayStatus     `json:"gateway"`
	Partitions    []processor.PartitionStatus `json:"partitions"`
	Counts        totals                      `json:"counts"`
}

func newAdmin(lc fx.Lifecycle, cfg Config, log *slog.Logger, metrics prometheus.Gatherer) *admin {
	a := &admin{
		began: time.Now(), version: cfg.Processor.Version, metrics: metrics,
		replica: cfg.Processor.TransactionalID, group: cfg.Processor.Group, expires: cfg.SessionExpiresAt.Time,
		engine: func() processor.Status { return processor.Status{} },
		memory: newMemory(flagsToReach(cfg), newTopicScan(cfg)),
	}
	log = log.With("component", "admin")
	serveAt(lc, listening{"admin.listen", cfg.AdminListen, "/"}, func(l net.Listener) *httpService { return newHTTPService(l, a.handler(), log).bounded() }, log)
	return a
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /api/status", a.status)
	a.memory.serve(mux)
	servePage(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	return mux
}

// livez fails only when a restart is what helps.
func (a *admin) livez(w http.ResponseWriter, _ *http.Request) {
	if !a.engine().Live {
		http.Error(w, "stuck", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz is decided by the holds. What else waits is told too: it is why this
// replica is slow with something, not that it is in no state to work.
func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	now := a.engine()
	code := http.StatusOK
	if !now.Ready() {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, struct {
		Holds   []processor.Hold `json:"holds"`
		Waiting []waiting        `json:"waiting"`
	}{holdsOf(now.Health), waitingOf(now)})
}

// waiting is a partition that waits, and why.
type waiting struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Why       string `json:"why"`
}

func waitingOf(s processor.Status) []waiting {
	list := []waiting{}
	for _, p := range s.Partitions {
		if p.Why != "" {
			list = append(list, waiting{p.Topic, p.Partition, p.Why})
		}
	}
	return list
}

func (a *admin) status(w http.ResponseWriter, _ *http.Request) {
	counts, err := readTotals(a.metrics)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	now := a.engine()
	if !a.expires.IsZero() {
		at := a.expires.UTC()
		now.Gateway.SessionExpiresAt = &at
	}
	answer(w, http.StatusOK, status{
		Version: a.version, StartedAt: a.began.UTC(), UptimeSeconds: int64(time.Since(a.began).Seconds()),
		Replica: a.replica, Group: a.group, Live: now.Live, Ready: now.Ready(), Holds: holdsOf(now.Health),
		At: now.At, Gateway: now.Gateway, Partitions: now.Partitions, Counts: counts,
	})
}

// holdsOf is never null in JSON.
func holdsOf(h processor.Health) []processor.Hold {
	if h.Holds == nil {
		return []processor.Hold{}
	}
	return h.Holds
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // an error means that the caller left
}
