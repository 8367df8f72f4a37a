package topsim

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTransportDelaysInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Latency = time.Hour
		sim := newSim(t, cfg)
		c := inProcess(sim)
		c.timeout = 2 * time.Hour
		start := time.Now()
		require.Equal(t, "granted", answerOf(t, c.grant(t, sim, "out-1")))
		require.Equal(t, time.Hour, time.Since(start))
	})
}

func TestTransportStalledCallerLeaves(t *testing.T) {
	for _, tt := range []struct {
		name   string
		b      Behaviour
		grants int
	}{
		{"before the grant", Stall(time.Hour), 0},
		{"after the grant", Stall(time.Hour).AfterGrant(), 1},
		{"in the body, before the grant", MustParse("stall-in-body"), 0},
		{"in the body, after the grant", MustParse("stall-in-body-after-grant"), 1},
		{"dripping", MustParse("drip-after-grant"), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSim(t, DefaultConfig())
				rule := sim.On(Match{}, tt.b).Always()
				start := time.Now()
				got := inProcess(sim).grant(t, sim, "out-1")
				require.ErrorIs(t, got.err, context.DeadlineExceeded)
				require.Equal(t, 10*time.Second, time.Since(start))
				require.Equal(t, int64(1), rule.Count())
				require.Equal(t, tt.grants, sim.Ledger().Grants("out-1"))
				require.Zero(t, sim.Stats().Concurrent)
			})
		})
	}
}

func TestStallEndsAsUsualForWhoStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, DefaultConfig())
		rule := sim.On(Match{}, Stall(5*time.Second)).Always()
		start := time.Now()
		require.Equal(t, "granted", answerOf(t, inProcess(sim).grant(t, sim, "out-1")))
		entry, _ := sim.Ledger().Entry("out-1")
		require.Equal(t, 5*time.Second, entry.GrantedAt.Sub(start))
		require.Equal(t, int64(1), rule.Count())
	})
}

// Whether a call was sent is what a client tells by whether its body was read.
func TestTransportRefusedCallIsNotRead(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	rule := sim.On(Match{}, MustParse("refuse")).Times(2)
	never := sim.On(Match{OutID: "out-1"}, MustParse("refuse")).Always()
	body := &countingBody{Reader: strings.NewReader("")}
	r := inProcess(sim).request(t.Context(), "")
	r.Body = body
	_, err := sim.Transport().RoundTrip(r)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Zero(t, body.reads)
	require.True(t, body.closed)
	require.Zero(t, sim.Stats().Calls)

	require.True(t, inProcess(sim).grant(t, sim, "out-1").early)
	require.Equal(t, "granted", answerOf(t, inProcess(sim).grant(t, sim, "out-1")))
	require.Equal(t, int64(2), rule.Count())
	require.Zero(t, never.Count(), "at the door nothing is known of the call")
}

type countingBody struct {
	io.Reader
	reads  int
	closed bool
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.reads++
	return b.Reader.Read(p)
}

func (b *countingBody) Close() error {
	b.closed = true
	return nil
}

func TestTransportCancelledCallIsNotMade(t *testing.T) {
	sim := newSim(t, DefaultConfig())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sim.Transport().RoundTrip(inProcess(sim).request(ctx, "a=b"))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, sim.Stats().Calls)
}

func TestCloseEndsDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, DefaultConfig())
		before := sim.On(Match{OutID: "before"}, Stall(time.Hour)).Always()
		during := sim.On(Match{OutID: "during"}, MustParse("stall-in-body-after-grant")).Always()
		answers := make(chan seen)
		for _, outID := range []string{"before", "during"} {
			go func() { answers <- inProcess(sim).grant(t, sim, outID) }()
		}
		synctest.Wait()
		require.NoError(t, sim.Close())
		require.ErrorIs(t, (<-answers).err, errClosed)
		require.ErrorIs(t, (<-answers).err, errClosed)
		require.Equal(t, int64(2), before.Count()+during.Count())
		require.NoError(t, sim.Close(), "twice is once")
	})
}

func TestTransportBodyCanBeClosedInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, DefaultConfig())
		drip := sim.On(Match{}, MustParse("drip-after-grant")).Always()
		form := newParams("out-1", time.Now()).signed(DemoAppSecret).form()
		resp, err := sim.Transport().RoundTrip(inProcess(sim).request(t.Context(), form))
		require.NoError(t, err)
		failed := make(chan error)
		go func() {
			_, err := io.ReadAll(resp.Body)
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, resp.Body.Close())
		require.ErrorIs(t, <-failed, http.ErrBodyReadAfterClose)
		require.Equal(t, int64(1), drip.Count())
	})
}
