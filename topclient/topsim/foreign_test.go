//go:build integration

package topsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// foreignDTO has what encodings trip over. The order of members is not ours, and
// so is the space.
const foreignDTO = `{"uuid": "fsdfsfee1f2","out_id":"order-1","extra":"满100减10 a/b & c+d=é %41 \"x\"","open_id":"AAHd5d-EAAeGwJedwSHpg8bT","coupon_type":247,"channel":"app","biz_code":"YXX"}`

// foreignClient is a client of the platform that shares no code with ours or the
// simulator. Both write the host's own time as the timestamp.
type foreignClient struct {
	name    string
	command []string
	zone    string // TZ of the gateway's zone, as its language spells it
	install string // the environment variable that says where its packages are
}

func foreignClients() []foreignClient {
	node, python := "COUPONGRANT_TEST_NODE_MODULES", "COUPONGRANT_TEST_PYTHON"
	return []foreignClient{
		{"npm node-taobao-topclient", []string{"node", "testdata/foreign/send.js"}, "Asia/Shanghai", node},
		{"PyPI taobaopy", []string{os.Getenv(python), "-B", "testdata/foreign/send.py"}, "CST-8", python},
	}
}

// foreignAnswer is what such a client got.
type foreignAnswer struct {
	Success struct {
		Model struct {
			InstanceID json.Number `json:"coupon_instance_id"`
		} `json:"model"`
	} `json:"tmall_nrt_coupon_send_response"`
	Error struct {
		Code json.Number `json:"code"`
	} `json:"error_response"`
}

// send makes the client call a gateway in a zone.
func (f foreignClient) send(t *testing.T, gateway, zone string, more ...string) foreignAnswer {
	t.Helper()
	require.NotEmpty(t, os.Getenv(f.install), "%s must say where the client's packages are; make kafka-test installs them", f.install)
	args := append(f.command[1:len(f.command):len(f.command)], gateway+"/router/rest",
		topsim.DemoAppKey, topsim.DemoAppSecret, topsim.DemoSession, foreignDTO)
	cmd := exec.CommandContext(t.Context(), f.command[0], append(args, more...)...)
	cmd.Env = append(os.Environ(), "TZ="+zone, "NODE_PATH="+os.Getenv("COUPONGRANT_TEST_NODE_MODULES"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", f.name, stderr.String())
	var answer foreignAnswer
	require.NoError(t, json.Unmarshal(out, &answer), "%s", out)
	return answer
}

// serve gives the address of a server.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// spoiled changes one byte of a parameter on its way to the simulator.
func spoiled(sim *topsim.Simulator, parameter string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form.Set(parameter, flip(form.Get(parameter), uint(len(form.Get(parameter))/2)))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form.Encode())), int64(len(form.Encode()))
		sim.ServeHTTP(w, r)
	})
}

func TestForeignClientsAreUnderstood(t *testing.T) {
	for _, f := range foreignClients() {
		t.Run(f.name, func(t *testing.T) {
			sim := newSimulator(t)
			gateway := serve(t, sim)
			first := f.send(t, gateway, f.zone)
			require.NotEmpty(t, first.Success.Model.InstanceID, "granted")
			entry, ok := sim.Ledger().Entry("order-1")
			require.True(t, ok)
			require.EqualValues(t, 1, entry.Calls)

			f.send(t, gateway, f.zone)
			require.EqualValues(t, 1, sim.Stats().Grants, "a repeat grants nothing")
			require.EqualValues(t, 2, sim.Stats().Calls)
		})
	}
}

func TestChangedByteOfAForeignClientIsFoundOut(t *testing.T) {
	for _, f := range foreignClients() {
		for _, parameter := range []string{"sign", "session", "nrt_coupon_send_dto"} {
			t.Run(f.name+", "+parameter, func(t *testing.T) {
				sim := newSimulator(t)
				require.Equal(t, json.Number("25"), f.send(t, serve(t, spoiled(sim, parameter)), f.zone).Error.Code)
				require.EqualValues(t, 1, sim.Stats().Rejected["25"])
				require.Zero(t, sim.Stats().Grants)
			})
		}
	}
}

// Elsewhere than in the gateway's zone those two do not work; ours does.
func TestLocalTimeOfAForeignClientIsRefused(t *testing.T) {
	for _, f := range foreignClients() {
		t.Run(f.name, func(t *testing.T) {
			require.Equal(t, json.Number("31"), f.send(t, serve(t, newSimulator(t)), "UTC").Error.Code)
		})
	}
}

// node-taobao-topclient can put everything into the URL.
func TestForeignClientMayGet(t *testing.T) {
	f := foreignClients()[0]
	require.NotEmpty(t, f.send(t, serve(t, newSimulator(t)), f.zone, "GET").Success.Model.InstanceID)
}
