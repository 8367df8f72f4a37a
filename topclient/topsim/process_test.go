package topsim

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

const gatewayFileVariable = "TOPSIM_TEST_LEDGER"

// serveLedger is the process that TestLedgerFileSurvivesKill kills.
func serveLedger(path string) {
	cfg := DefaultConfig()
	cfg.DataFile = path
	sim, err := New(cfg)
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, httptest.NewServer(sim).URL)
	select {} // until the kill
}

func TestLedgerFileSurvivesKill(t *testing.T) {
	cfg := fileConfig(t)
	cfg.OtherCoupon = Coupon{}
	process := exec.CommandContext(t.Context(), os.Args[0])
	process.Env = append(os.Environ(), gatewayFileVariable+"="+cfg.DataFile)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())

	c := overSockets(t, newSim(t, DefaultConfig())) // for its transport
	c.url = lines.Text() + routerPath
	clock := newSim(t, DefaultConfig())
	answered := map[string]int64{}
	for i := range 200 {
		outID := fmt.Sprintf("out-%d", i)
		answered[outID] = c.grant(t, clock, outID).instance(t)
	}
	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())

	after := newSim(t, cfg)
	for outID, instance := range answered {
		entry, _ := after.Ledger().Entry(outID)
		require.Equal(t, instance, entry.InstanceID(), outID)
	}
	require.Equal(t, int64(len(answered)), after.Stats().Grants)
}
