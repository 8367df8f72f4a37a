//go:build chaos || apart

package proof_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof/freeport"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// What no output may show, beside proof.Canary.
const (
	canarySecret  = "canaryAppSecret-7d1f0c"
	canarySession = "canarySession-b83e52"
)

// gatewayOrder tells a copy of this test binary to be the gateway.
const gatewayOrder = "COUPONGRANT_CHAOS_GATEWAY"

// gatewaySetup is what the copy is told.
type gatewaySetup struct {
	Address, DataFile string
	Seed              uint64
	Session           string      // the only one that it knows
	Script            string      // of what it does wrong all the time
	Ways              []repeatWay // in which it answers repeats; none: as limitedCoupons says
}

// limitedCoupons can be had once: a repeat of their grant is answered with -7,
// as a gateway that checks limits before it recognises the out_id would.
func limitedCoupons() []string { return []string{"c276-00", "c276-01", "c247-00", "c357-00"} }

// usedUpCoupons are refused with -6, overCoupons with -3.
func usedUpCoupons() []string { return []string{"c276-07", "c247-07"} }

func overCoupons() []string { return []string{"c276-08", "c357-08"} }

func (g gatewaySetup) config() topsim.Config {
	cfg := topsim.DefaultConfig()
	cfg.Apps = map[string]topsim.App{topsim.DemoAppKey: {
		Secret: canarySecret, Sessions: map[string]time.Time{g.Session: {}},
	}}
	cfg.Replay, cfg.Seed, cfg.DataFile = topsim.ReplayLimitFirst, g.Seed, g.DataFile
	cfg.Latency, cfg.Spread = 20*time.Millisecond, 40*time.Millisecond
	cfg.Coupons = map[string]topsim.Coupon{}
	for _, uuid := range limitedCoupons() {
		cfg.Coupons[uuid] = topsim.Coupon{PerMember: 1}
	}
	for _, uuid := range usedUpCoupons() {
		cfg.Coupons[uuid] = topsim.Coupon{Stock: -1}
	}
	for _, uuid := range overCoupons() {
		cfg.Coupons[uuid] = topsim.Coupon{ValidUntil: time.Unix(1, 0)}
	}
	return cfg
}

// baseScript is what the gateway does wrong all the time, under whatever the plan
// adds.
const baseScript = `0s- lost-answers 1%
0s- business -11 1%
`

// TestGatewayProcess is no test: it is the gateway of the chaos runs, as a
// process of its own. It ends when its standard input does, so that it cannot
// outlive the run.
func TestGatewayProcess(t *testing.T) {
	order := os.Getenv(gatewayOrder)
	if order == "" {
		t.Skip("only the chaos runs start it")
	}
	var setup gatewaySetup
	require.NoError(t, json.Unmarshal([]byte(order), &setup))
	mux := http.NewServeMux()
	if len(setup.Ways) > 0 {
		newWaysGateway(t, setup).route(mux)
	} else {
		sim := newSimulator(t, setup.config(), setup.Script)
		mux.Handle("/", sim)
		mux.Handle("/control/", sim.Control())
	}
	listener, err := net.Listen("tcp", setup.Address)
	require.NoError(t, err)
	go func() { _ = http.Serve(listener, mux) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func newSimulator(t testing.TB, cfg topsim.Config, script string) *topsim.Simulator {
	t.Helper()
	var err error
	cfg.Script, err = topsim.ParseScript(strings.NewReader(script))
	require.NoError(t, err)
	sim, err := topsim.New(cfg)
	require.NoError(t, err)
	return sim
}

// gatewayProcess is the simulator as the run sees it.
type gatewayProcess struct {
	*gateway
	setup gatewaySetup
	log   *os.File
	cmd   *exec.Cmd
	stdin io.Closer
}

// newGatewayProcess starts it on a port that it keeps.
func newGatewayProcess(t testing.TB, dir string, setup gatewaySetup, seed uint64) *gatewayProcess {
	t.Helper()
	address := freeAddress(t)
	log, err := os.Create(filepath.Join(dir, "gateway.log"))
	require.NoError(t, err)
	g := &gatewayProcess{
		gateway: &gateway{url: "http://" + address}, log: log,
		setup: setup,
	}
	g.setup.Address, g.setup.DataFile, g.setup.Seed = address, filepath.Join(dir, "ledger"), seed
	g.setup.Session, g.setup.Script = canarySession, cmp.Or(setup.Script, baseScript)
	require.NoError(t, g.start())
	t.Cleanup(func() {
		_ = g.kill()
		_ = log.Close()
	})
	return g
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

// start returns once it serves.
func (g *gatewayProcess) start() error {
	order, err := json.Marshal(g.setup)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	g.cmd = exec.Command(self, "-test.run=^TestGatewayProcess$", "-test.timeout=0")
	g.cmd.Env = append(os.Environ(), gatewayOrder+"="+string(order))
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := g.cmd.Start(); err != nil {
		return err
	}
	return within(startWithin, "the gateway does not serve", func() bool {
		answer, err := http.Get(g.url + "/control/stats")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

func (g *gatewayProcess) kill() error {
	err := g.cmd.Process.Kill()
	_ = g.cmd.Wait() // killed is what it is
	return err
}

// imposed is a rule in force.
type imposed struct {
	gateway *gateway
	id      int64
}

// impose puts a rule in force, as the control API takes it.
func (g *gateway) impose(rule map[string]any) (imposed, error) {
	var made struct{ ID int64 }
	err := g.send(http.MethodPost, "rules", rule, &made)
	return imposed{g, made.ID}, err
}

// struck is how many calls have met it.
func (i imposed) struck() (int64, error) {
	var rules []struct{ ID, Count int64 }
	if err := i.gateway.send(http.MethodGet, "rules", nil, &rules); err != nil {
		return 0, err
	}
	for _, r := range rules {
		if r.ID == i.id {
			return r.Count, nil
		}
	}
	return 0, errors.New("the simulator has forgotten the rule")
}

func (i imposed) end() error {
	return i.gateway.send(http.MethodDelete, "rules/"+strconv.FormatInt(i.id, 10), nil, nil)
}

// clock sets the gateway's clock against the real one.
func (g *gatewayProcess) clock(offset time.Duration) error {
	return g.send(http.MethodPost, "clock", map[string]string{"offset": offset.String()}, nil)
}

func (g *gateway) send(method, what string, order, into any) error {
	var body bytes.Buffer
	if order != nil {
		if err := json.NewEncoder(&body).Encode(order); err != nil {
			return err
		}
	}
	req, err := http.NewRequest(method, g.url+"/control/"+what, &body)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the simulator answers %d to %s %s", answer.StatusCode, method, what)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
