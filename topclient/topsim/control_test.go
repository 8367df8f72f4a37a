package topsim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// control makes one request of the control API.
func control(t *testing.T, sim *Simulator, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	sim.Control().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestControlLedger(t *testing.T) {
	now := &clock{now: noon}
	cfg := DefaultConfig()
	cfg.Clock, cfg.Retention = now.Now, time.Hour
	sim := newSim(t, cfg)
	refused := sim.On(Match{OutID: "out-2"}, Error(10, "", "")).Always()
	first := inProcess(sim).grant(t, sim, "out-1").instance(t)
	now.Add(time.Hour)
	inProcess(sim).grant(t, sim, "out-1")
	inProcess(sim).grant(t, sim, "out-2")
	require.Equal(t, int64(1), refused.Count())

	status, text := control(t, sim, "GET", "/control/ledger?limit=1", "")
	require.Equal(t, http.StatusOK, status)
	var page LedgerPage
	require.NoError(t, json.Unmarshal([]byte(text), &page))
	require.Equal(t, sim.Ledger().Violations(), page.Entries)
	require.Equal(t, first, page.Entries[0].Coupon.InstanceID)
	for _, name := range []string{
		`"app_key":"12345678"`, `"out_id":"out-1"`, `"calls":2`, `"answers":2`, `"granted":true`, `"grants":2`, `"granted_at":"2026-04-01T04:00:00Z"`,
		`"uuid":"coupon-1"`, `"coupon_type":247`, `"template_id":`, `"discount":1000`, `"start_fee":5000`, `"dto_hash":"`, `"member":"`,
	} {
		require.Contains(t, text, name)
	}

	_, text = control(t, sim, "GET", "/control/ledger?after="+page.Next, "")
	require.JSONEq(t, `{"entries":[{"app_key":"12345678","out_id":"out-2","calls":1,"answers":1,"granted":false,"grants":0}]}`, text)

	for _, query := range []string{"limit=0", "limit=10001", "limit=x", "after=x"} {
		status, text = control(t, sim, "GET", "/control/ledger?"+query, "")
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, text, `{"error":"`)
	}
}

func TestControlRules(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	_, id := control(t, sim, "POST", "/control/rules", `{"fault":"error 15 isp.x","times":2,"out_id":"out-*"}`)
	require.JSONEq(t, `{"id":1}`, id)
	_, _ = control(t, sim, "POST", "/control/rules", `{"fault":"lost-answers","probability":1,"uuid":"none"}`)
	status, _ := control(t, sim, "POST", "/control/script", "0s-10s outage out_id=in-*\n")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "15 isp.x", answerOf(t, inProcess(sim).grant(t, sim, "out-1")))

	_, rules := control(t, sim, "GET", "/control/rules", "")
	require.JSONEq(t, `[
		{"id":1,"fault":"error 15 isp.x","times":1,"count":1,"out_id":"out-*"},
		{"id":2,"fault":"lost-answers","count":0,"probability":1,"uuid":"none"},
		{"id":3,"fault":"outage","count":0,"script":true,"from":"0s","to":"10s","out_id":"in-*"}
	]`, rules)

	status, _ = control(t, sim, "DELETE", "/control/rules/1", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "granted", answerOf(t, inProcess(sim).grant(t, sim, "out-1")))
	for _, id := range []string{"1", "3", "x"} {
		status, _ = control(t, sim, "DELETE", "/control/rules/"+id, "")
		require.Equal(t, http.StatusNotFound, status, "gone, of the script, no number")
	}
}

func TestControlRefusesMistakes(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	for _, tt := range []struct{ path, body, want string }{
		{"/control/rules", `{"fault":"typo"}`, `no fault \"typo\"`},
		{"/control/rules", `{"fault":"outage","time":1}`, "unknown field"},
		{"/control/rules", `{"fault":"outage","from":"10s"}`, "unknown field"},
		{"/control/rules", `{"fault":"outage","to":"20s"}`, "unknown field"},
		{"/control/rules", `{"fault":"outage","id":7}`, "unknown field"},
		{"/control/rules", `{"fault":"outage","count":7}`, "unknown field"},
		{"/control/rules", `null`, "no fault"},
		{"/control/rules", `{"fault":"gzip-bomb-after-grant"}`, `\"gzip-bomb\" has no second kind`},
		{"/control/rules", `{"fault":"outage","times":0}`, "times is 0"},
		{"/control/rules", `{"fault":"outage","probability":2}`, "probability is 2"},
		{"/control/rules", `{"fault":"outage"}{}`, "more than one"},
		{"/control/rules", ``, "not the JSON"},
		{"/control/script", `10s outage`, "line 1"},
		{"/control/clock", `{"offset":"soon"}`, "a duration such as 11m"},
		{"/control/clock", `[]`, "not the JSON"},
		{"/control/script", strings.Repeat("#\n", maxControlBody), "too large"},
	} {
		t.Run(tt.path+" "+tt.want, func(t *testing.T) {
			status, text := control(t, sim, "POST", tt.path, tt.body)
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, text, tt.want)
		})
	}
	require.Empty(t, sim.rules.all())
}

func TestControlClockStatsAndFaults(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	form := newParams("out-1", time.Now()).signed(DemoAppSecret).form()
	status, _ := control(t, sim, "POST", "/control/clock", `{"offset":"-11m"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "31", answerOf(t, inProcess(sim).call(t.Context(), form)))

	_, stats := control(t, sim, "GET", "/control/stats", "")
	require.JSONEq(t, `{"calls":1,"rejected":{"31":1},"faulted":0,"max_calls_in_1s":1,"max_calls_in_10s":1,"max_concurrent":1,
		"concurrent":0,"out_ids":0,"grants":0,"replays":0,"conflicts":0,"violations":0}`, stats)

	_, list := control(t, sim, "GET", "/control/faults", "")
	var faults []Fault
	require.NoError(t, json.Unmarshal([]byte(list), &faults))
	require.Len(t, faults, len(Faults()))
	require.NotEmpty(t, faults[0].Text)
}

func TestControlRefusesPagesOfABrowser(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	server := httptest.NewServer(sim.Control())
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/control/script", strings.NewReader("0s- outage"))
	require.NoError(t, err)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := server.Client().Do(r)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Empty(t, sim.rules.all())
}
