package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof/freeport"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// troubled is `run` as it is assembled for production, on sockets: against an
// embedded broker and registry, and the simulator as its gateway.
type troubled struct {
	*site
	sim             *topsim.Simulator
	rule            *topsim.Rule // what it does wrong, if one is to be removed
	admin           string       // address
	secret, session string       // files
	stderr          output
	client          *http.Client
	stop            func() // nil: it does not run

	gateway, registry, broker *socket
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	sim, err := topsim.New(topsim.Config{Apps: map[string]topsim.App{"42": app("secret", "session")}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	dir := t.TempDir()
	r := &troubled{
		sim: sim, admin: freeAddress(t), secret: filepath.Join(dir, "secret"), session: filepath.Join(dir, "session"),
		client: &http.Client{Transport: &http.Transport{}}, gateway: newSocket(t), registry: newSocket(t), broker: newSocket(t),
	}
	serveOn(t, r.gateway, simulatorHandler(sim))
	registry := serveOn(t, r.registry, srfake.NewRegistry().Handler())
	r.site = newSiteAt(t, registry, kfake.ListenFn(func(string, string) (net.Listener, error) { return r.broker, nil }))
	r.write(r.secret, "secret")
	r.write(r.session, "session")
	t.Cleanup(func() {
		for _, s := range []*socket{r.gateway, r.registry, r.broker} {
			s.restore()
		}
		r.halt()
		r.client.CloseIdleConnections()
	})
	return r
}

func serveOn(t *testing.T, listener net.Listener, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// begin runs the program, again if it was halted.
func (r *troubled) begin(flags ...string) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	code := make(chan int, 1)
	args := slices.Concat([]string{"run"}, r.reach, []string{
		"--gateway.url", "http://" + r.gateway.Addr().String() + routerPath, "--gateway.app_key", "42", "--gateway.app_secret_file", r.secret,
		"--gateway.session_file", r.session, "--admin.listen", r.admin,
	}, flags)
	go func() { code <- run(ctx, args, strings.NewReader(""), new(output), &r.stderr) }()
	r.stop = func() {
		cancel()
		require.Equal(r, exitDone, <-code, r.stderr.String())
	}
}

// halt stops the program in good order.
func (r *troubled) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func startTroubled(t *testing.T) *troubled {
	t.Helper()
	r := newTroubled(t)
	r.ready()
	r.begin()
	r.granted("first")
	return r
}

func app(secret, session string) topsim.App {
	return topsim.App{Secret: secret, Sessions: map[string]time.Time{session: {}}}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

func (r *troubled) write(file, text string) {
	r.Helper()
	require.NoError(r, os.WriteFile(file, []byte(text+"\n"), 0o600))
}

// send asks for one coupon.
func (r *troubled) send(id string) {
	r.Helper()
	got := r.run(requestOf(id), "produce")
	require.Equal(r, exitDone, got.code, got.stderr)
}

func requestOf(id string) string {
	return `{"request_id":"` + id + `","biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247,"trigger":{"kind":"store-checkout"}}`
}

// granted sends a request and waits until it is granted, and nothing is held.
func (r *troubled) granted(id string) {
	r.Helper()
	r.send(id)
	r.eventually(20*time.Second, func() bool {
		code, _ := r.readyz()
		return code == http.StatusOK && r.sim.Ledger().Grants(id) == 1
	})
}

func (r *troubled) eventually(most time.Duration, so func() bool, seen ...*string) {
	r.Helper()
	for over := time.Now().Add(most); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(over) {
			for _, text := range seen {
				r.Log(*text)
			}
			require.Fail(r, "not within "+most.String(), r.stderr.String())
		}
	}
}

// told waits for a sentence in /readyz, which must come within five seconds of
// the gateway's first such answer.
func (r *troubled) told(says string) {
	r.Helper()
	r.eventually(5*time.Second, func() bool {
		code, holds := r.readyz()
		return code == http.StatusServiceUnavailable && strings.Contains(holds, says)
	})
}

func (r *troubled) get(path string) (int, string) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+r.admin+path, http.NoBody)
	require.NoError(r, err)
	response, err := r.client.Do(request)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(r, err)
	return response.StatusCode, string(body)
}

// readyz is the status, and the sentences of the holds.
func (r *troubled) readyz() (int, string) {
	code, body := r.get("/readyz")
	var answer struct{ Holds []processor.Hold }
	if json.Unmarshal([]byte(body), &answer) != nil {
		return 0, ""
	}
	var all []string
	for _, hold := range answer.Holds {
		all = append(all, hold.Kind+": "+hold.Reason)
	}
	return code, strings.Join(all, "\n")
}

// The assembled program says within seconds which trouble it is and what mends
// it, and goes on when a person has done that. Nobody fails. (That it also goes on
// by itself, by a probe within half a minute, is tested in fake time.)
func TestReadyzSaysWhatTroubleTheAppIsIn(t *testing.T) {
	r := startTroubled(t)
	elsewhere := app("secret-2", "session-2")
	elsewhere.IPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	expired := topsim.App{Secret: "secret-2", Sessions: map[string]time.Time{"session": time.Now()}}
	for i, row := range []struct {
		name, kind, says string
		begin, mend      func()
	}{
		{
			"wrong secret", "signature", "code 25: the secret is wrong or was changed at Tmall: check gateway.app_secret_file",
			func() { r.sim.SetApp("42", app("secret-2", "session")) },
			func() { r.write(r.secret, "secret-2") },
		},
		{
			"session expired", "session", "code 27 (session-expired): the session has expired: authorise again and replace the content of gateway.session_file",
			func() { r.sim.SetApp("42", expired) },
			func() { r.sim.SetApp("42", app("secret-2", "session-2")); r.write(r.session, "session-2") },
		},
		{
			"address refused", "address", "code 11 (isv.permission-ip-whitelist-limit): this host's address is not on the app's white list",
			func() { r.sim.SetApp("42", elsewhere) },
			func() { r.sim.SetApp("42", app("secret-2", "session-3")); r.write(r.session, "session-3") },
		},
		{
			"clock off by an hour", "clock", "code 31: check this host's clock",
			func() { r.sim.SetClockOffset(time.Hour) },
			func() {
				r.sim.SetClockOffset(0)
				r.sim.SetApp("42", app("secret-2", "session-4"))
				r.write(r.session, "session-4")
			},
		},
	} {
		t.Run(row.name, func(*testing.T) {
			row.begin()
			held, after := "held-"+strconv.Itoa(i), "after-"+strconv.Itoa(i)
			r.send(held)
			r.told("app: the gateway refuses our app with " + row.says)
			_, metrics := r.get("/metrics")
			require.Contains(r, metrics, `coupongrant_app_trouble{trouble="`+row.kind+`"} 1`)
			require.Len(r, regexp.MustCompile(`coupongrant_app_trouble\{trouble="[a-z-]+"\} 1`).FindAllString(metrics, -1), 1, "and no other")
			row.mend()
			r.granted(after)
			require.Equal(r, 1, r.sim.Ledger().Grants(held))
		})
	}
	r.nobodyFailed()
}

func (r *troubled) nobodyFailed() {
	r.Helper()
	topics := defaultConfig().Processor.Topics
	for _, topic := range []string{topics.Failed, topics.DeadLetter, topics.Retry} {
		require.Zero(r, r.records(topic), topic)
	}
}

func TestReadyzSaysHowLongABanLasts(t *testing.T) {
	now := time.Now()
	midnight := now.Add(8*time.Hour + 15*time.Minute).Truncate(day).Add(day - 8*time.Hour) // in Beijing, and not in a moment
	for name, row := range map[string]struct {
		lasts time.Duration
		says  string
	}{
		"71 s":           {71 * time.Second, "gateway: the gateway limits our calls until "},
		"until midnight": {midnight.Sub(now), ", midnight in Beijing: the calls of the day are used up"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startTroubled(t)
			r.sim.On(topsim.Match{}, topsim.Ban(row.lasts)).Once()
			r.send("held")
			r.told(row.says)
			r.nobodyFailed()
			require.Zero(t, r.sim.Ledger().Grants("held"))
		})
	}
}
