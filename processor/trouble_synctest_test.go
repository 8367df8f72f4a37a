//go:build synctests

package processor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// tmall is a shop whose gateway is the simulator, with credentials in files that
// are read again when they change.
type tmall struct {
	*shop
	sim             *topsim.Simulator
	secret, session string // files
	calls           atomic.Int64
	sent            int
}

func newTmall(t *testing.T) *tmall {
	t.Helper()
	sim, err := topsim.New(topsim.Config{Apps: map[string]topsim.App{"app": knownApp("secret", "session")}, Latency: 10 * time.Millisecond})
	require.NoError(t, err)
	dir := t.TempDir()
	m := &tmall{sim: sim, secret: filepath.Join(dir, "secret"), session: filepath.Join(dir, "session")}
	m.shop = newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
		m.calls.Add(1)
		return sim.Transport().RoundTrip(r)
	}))
	m.write(m.secret, "secret")
	m.write(m.session, "session")
	m.credentials, err = topclient.FromFiles(topclient.FilesConfig{AppKey: "app", AppSecretFile: m.secret, SessionFile: m.session})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.credentials.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; require.NoError(t, sim.Close()) })
	return m
}

func knownApp(secret, session string) topsim.App {
	return topsim.App{Secret: secret, Sessions: map[string]time.Time{session: {}}}
}

func (m *tmall) write(file, text string) {
	require.NoError(m.t, os.WriteFile(file, []byte(text+"\n"), 0o600))
}

// serve sends requests for a while, eight a second.
func (m *tmall) serve(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		m.spread(fmt.Sprint("id-", m.sent), 2, 2)
		m.sent += 2
	}
}

// until serves until a condition holds, and returns how long it took.
func (m *tmall) until(most time.Duration, so func() bool) time.Duration {
	began := time.Now()
	for !so() {
		require.LessOrEqual(m.t, time.Since(began), most)
		m.serve(250 * time.Millisecond)
		synctest.Wait() // what is told in two places is told in both
	}
	return time.Since(began)
}

// Each trouble is told of within five seconds, by the sentence that mends it,
// stops all calls but a probe now and then, fails nobody, and is over by itself
// when it is mended.
func TestTroubleIsToldStopsCallsAndEndsWhenMended(t *testing.T) {
	midnight := time.Date(2000, 1, 1, 16, 0, 0, 0, time.UTC)
	const probed, renewed = probeApp + 2*time.Second, 5 * time.Second
	for name, row := range map[string]struct {
		begin func(*tmall)
		kind  string // for the metric; empty: a ban
		says  string
		lasts time.Duration // until it is mended
		mend  func(*tmall)
		over  time.Duration // after which it must be over
	}{
		"wrong secret": {
			begin: func(m *tmall) { m.sim.SetApp("app", knownApp("rotated", "session")) }, kind: "signature", says: "code 25: the secret is wrong or was changed at Tmall: check gateway.app_secret_file",
			mend: func(m *tmall) { m.write(m.secret, "rotated") }, over: renewed,
		},
		"expired session": {
			begin: func(m *tmall) {
				m.sim.SetApp("app", topsim.App{Secret: "secret", Sessions: map[string]time.Time{"session": time.Now()}})
			}, kind: "session", says: "code 27 (session-expired): the session has expired: authorise again and replace the content of gateway.session_file",
			mend: func(m *tmall) {
				m.sim.SetApp("app", knownApp("secret", "second"))
				m.write(m.session, "second")
			}, over: renewed,
		},
		"unknown app key": {
			begin: func(m *tmall) { m.sim.RemoveApp("app") }, kind: "app-key", says: "check gateway.app_key",
			mend: func(m *tmall) { m.sim.SetApp("app", knownApp("secret", "session")) }, over: probed,
		},
		"address refused": {
			begin: func(m *tmall) {
				app := knownApp("secret", "session")
				app.IPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
				m.sim.SetApp("app", app)
			}, kind: "address", says: "this host's address is not on the app's white list",
			mend: func(m *tmall) { m.sim.SetApp("app", knownApp("secret", "session")) }, over: probed,
		},
		"no permission": {
			begin: func(m *tmall) {
				app := knownApp("secret", "session")
				app.NoPackage = true
				m.sim.SetApp("app", app)
			}, kind: "permission", says: "the app lacks the permission for this API: ask for it",
			mend: func(m *tmall) { m.sim.SetApp("app", knownApp("secret", "session")) }, over: probed,
		},
		"clock off by an hour": {
			begin: func(m *tmall) { m.sim.SetClockOffset(time.Hour) }, kind: "clock", says: "check this host's clock",
			mend: func(m *tmall) { m.sim.SetClockOffset(0) }, over: probed,
		},
		"ban of 71 s": {
			begin: func(m *tmall) { m.sim.On(topsim.Match{}, topsim.Ban(71*time.Second)).Once() }, says: "the gateway limits our calls until 2000-01-01T",
			lasts: 60 * time.Second, mend: func(*tmall) {}, over: 15 * time.Second,
		},
		"ban until midnight": {
			begin: func(m *tmall) { m.sim.On(topsim.Match{}, topsim.Ban(time.Until(midnight))).Once() }, says: ", midnight in Beijing: the calls of the day are used up",
			lasts: 59 * time.Minute, mend: func(*tmall) {}, over: 75 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(15 * time.Hour) // of a day in fake time
				m := newTmall(t)
				r := m.start(m.config("r1"))
				m.until(20*time.Second, func() bool { return len(r.Health().Holds) == 0 })
				m.serve(2 * time.Second)
				row.begin(m)
				kind := holdApp
				if row.kind == "" {
					kind = holdGateway
				}
				told := m.until(5*time.Second, func() bool { return reasons(r.Health().Holds, kind) != "" })
				require.Contains(t, reasons(r.Health().Holds, kind), row.says)
				if row.kind != "" {
					require.InDelta(t, 1, testutil.ToFloat64(r.metrics.trouble.WithLabelValues(row.kind)), 0)
				}

				before, lasts := m.calls.Load(), row.lasts
				if lasts == 0 {
					lasts = 10 * time.Minute
				}
				time.Sleep(lasts)
				require.LessOrEqual(t, m.calls.Load()-before, 2+2*int64(10*time.Minute/probeApp), "a probe now and then")
				if row.kind == "" {
					require.Equal(t, before, m.calls.Load(), "nobody calls in a ban")
				}
				require.Contains(t, reasons(r.Health().Holds, kind), row.says)

				row.mend(m)
				over := m.until(row.over, func() bool { return len(r.Health().Holds) == 0 })
				t.Logf("told after %v, over after %v", told, over)
				for _, kind := range troubleKinds() {
					require.Zero(t, testutil.ToFloat64(r.metrics.trouble.WithLabelValues(kind)))
				}
				ends := m.settled(m.sent)
				onceEach(t, m.sent, ends)
				require.Len(t, on(m.topics.Granted, ends), m.sent, "nobody fails, and nobody is parked")
				require.NoError(t, r.stopped())
			})
		})
	}
}
