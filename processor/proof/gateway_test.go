//go:build integration || chaos || apart

package proof_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// demoApp may call every gateway of these tests.
var demoApp = topclient.Credentials{
	AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
}

// gateway is a simulator that replicas reach over a socket. It is in this
// process, where rules and ledger are at hand, unless url is all there is.
type gateway struct {
	*topsim.Simulator
	url string // without path

	mu   sync.Mutex
	dtos map[string]map[string]any // of the last call of each out_id, as it was sent
}

// newGateway serves a simulator for t; edit may change what it does.
func newGateway(t testing.TB, edit func(*topsim.Config)) *gateway {
	t.Helper()
	cfg := topsim.DefaultConfig()
	if edit != nil {
		edit(&cfg)
	}
	sim, err := topsim.New(cfg)
	require.NoError(t, err)
	g := &gateway{Simulator: sim, dtos: map[string]map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/", g.serve)
	mux.Handle("/control/", sim.Control())
	server := httptest.NewServer(mux)
	g.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections() // calls that a rule still stalls
		server.Close()
		require.NoError(t, sim.Close())
	})
	return g
}

// serve notes the business content of a call on its way.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.note(body)
	g.ServeHTTP(w, r)
}

func (g *gateway) note(body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return // the simulator says what is wrong
	}
	var dto map[string]any
	if json.Unmarshal([]byte(form.Get("nrt_coupon_send_dto")), &dto) != nil {
		return
	}
	id, _ := dto["out_id"].(string)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dtos[id] = dto
}

// sent is the business content of the last call of an out_id.
func (g *gateway) sent(outID string) map[string]any {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dtos[outID]
}

// startGateway runs the program's own simulator as a process.
func startGateway(t testing.TB, args ...string) *gateway {
	t.Helper()
	args = append([]string{"gateway", "--listen", "127.0.0.1:0"}, args...)
	p := runProcess(t, nil, buildBinary(t), args...)
	const line = "ledger for audit: "
	require.Eventually(t, func() bool { return strings.Contains(p.stdout.String(), line) }, patience, lookEvery, "the gateway must start")
	_, after, _ := strings.Cut(p.stdout.String(), line)
	base, _, _ := strings.Cut(after, "\n")
	return &gateway{url: base}
}

// counts are the simulator's, also of one in another process.
func (g *gateway) counts(t testing.TB) (s topsim.Stats) {
	t.Helper()
	g.control(t, "stats", &s)
	return s
}

// entries is the whole ledger by out_id, also of another process.
func (g *gateway) entries(t testing.TB) map[string]topsim.LedgerEntry {
	t.Helper()
	all := map[string]topsim.LedgerEntry{}
	for after := ""; ; {
		var page topsim.LedgerPage
		g.control(t, "ledger?after="+url.QueryEscape(after), &page)
		for _, e := range page.Entries {
			_, twice := all[e.OutID] // NotContains would search the whole map each time
			require.False(t, twice, e.OutID)
			all[e.OutID] = e
		}
		if after = page.Next; after == "" {
			return all
		}
	}
}

func (g *gateway) control(t testing.TB, what string, into any) {
	t.Helper()
	answer, err := http.Get(g.url + "/control/" + what)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NoError(t, json.NewDecoder(answer.Body).Decode(into))
}
