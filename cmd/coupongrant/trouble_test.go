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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// troubled is `run` as it is assembled for production, on sockets: against an
// embedded broker and registry, and the simulator as its gateway.
type troubled struct {
	*site
	sim             *topsim.Simulator
	admin           string // address
	secret, session string // files
	stderr          output
	client          *http.Client
}

func startTroubled(t *testing.T) *troubled {
	t.Helper()
	sim, err := topsim.New(topsim.Config{Apps: map[string]topsim.App{"42": app("secret", "session")}})
	require.NoError(t, err)
	gateway := httptest.NewServer(simulatorHandler(sim))
	t.Cleanup(func() { gateway.Close(); require.NoError(t, sim.Close()) })
	dir := t.TempDir()
	r := &troubled{
		site: newSite(t).ready(), sim: sim, admin: freeAddress(t),
		secret: filepath.Join(dir, "secret"), session: filepath.Join(dir, "session"), client: &http.Client{Transport: &http.Transport{}},
	}
	r.write(r.secret, "secret")
	r.write(r.session, "session")
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	args := append([]string{"run"}, r.reach...)
	args = append(args, "--gateway.url", gateway.URL+routerPath, "--gateway.app_key", "42", "--gateway.app_secret_file", r.secret,
		"--gateway.session_file", r.session, "--admin.listen", r.admin)
	go func() { code <- run(ctx, args, strings.NewReader(""), new(output), &r.stderr) }()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, exitDone, <-code, r.stderr.String())
		r.client.CloseIdleConnections()
	})
	r.granted("first")
	return r
}

func app(secret, session string) topsim.App {
	return topsim.App{Secret: secret, Sessions: map[string]time.Time{session: {}}}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return listener.Addr().String()
}

func (r *troubled) write(file, text string) {
	require.NoError(r, os.WriteFile(file, []byte(text+"\n"), 0o600))
}

// send asks for one coupon.
func (r *troubled) send(id string) {
	r.Helper()
	got := r.run(`{"request_id":"`+id+`","biz_code":"b","open_id":"o","channel":"c","coupon_code":"u","coupon_type":247,"trigger":{"kind":"store-checkout"}}`, "produce")
	require.Equal(r, exitDone, got.code, got.stderr)
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

func (r *troubled) eventually(most time.Duration, so func() bool) {
	r.Helper()
	require.Eventually(r, so, most, 20*time.Millisecond, "%s", r.stderr.String())
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
