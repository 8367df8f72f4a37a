package topsim

import (
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// forms are signed before the clock runs: signing is the caller's work.
func forms(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = newParams("out-"+strconv.Itoa(i), time.Now()).signed(DemoAppSecret).form()
	}
	return out
}

func benchmark(b *testing.B, sim *Simulator, c caller) {
	calls := forms(min(b.N, 50_000))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		resp, err := c.rt.RoundTrip(c.request(b.Context(), calls[i%len(calls)]))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // unpacking is the caller's work too
		_ = resp.Body.Close()
	}
	b.StopTimer()
	require.Equal(b, int64(len(calls)), sim.Stats().Grants)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkTransport(b *testing.B) {
	sim := newSim(b, DefaultConfig())
	benchmark(b, sim, inProcess(sim))
}

func BenchmarkTransportGzip(b *testing.B) {
	sim := newSim(b, DefaultConfig())
	c := inProcess(sim)
	c.gzip = true
	benchmark(b, sim, c)
}

func BenchmarkTransportDataFile(b *testing.B) {
	cfg := DefaultConfig()
	cfg.DataFile = b.TempDir() + "/ledger.jsonl"
	sim := newSim(b, cfg)
	benchmark(b, sim, inProcess(sim))
}

func BenchmarkSockets(b *testing.B) {
	sim := newSim(b, DefaultConfig())
	benchmark(b, sim, overSockets(b, sim))
}
