package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// inBackground does something until the test ends.
func inBackground(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// The baselines must do the work that they are measured for.
func TestArmsGiveEveryRequestItsOutcome(t *testing.T) {
	const requests = 50
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	registry, stop, err := startRegistry()
	require.NoError(t, err)
	t.Cleanup(stop)
	url := startQuick(t)
	for name, do := range map[string]func(context.Context, order) error{armLoop: loop, armTx: transactions} {
		t.Run(name, func(t *testing.T) {
			s := base(name, 0, 8)
			c, err := newCluster(t.Context(), fake.ListenAddrs(), kadm.NewClient(client), registry, "bench."+name, s.Partitions)
			require.NoError(t, err)
			t.Cleanup(func() { c.drop(context.Background()) })
			seen, err := newArrivals(c, true)
			require.NoError(t, err)
			t.Cleanup(seen.client.Close)
			l, err := newLoad(s, c, seen)
			require.NoError(t, err)
			t.Cleanup(l.client.Close)
			inBackground(t, func(ctx context.Context) error { return seen.read(ctx, c.topics.Granted) })
			due := time.Now()
			for range requests {
				require.NoError(t, l.anyone(t.Context(), due))
			}
			require.NoError(t, l.flush(t.Context()))
			inBackground(t, func(ctx context.Context) error {
				return do(ctx, order{Brokers: c.brokers, Topics: c.topics, Registry: registry, Gateway: url, InFlight: s.InFlight})
			})

			require.Eventually(t, func() bool { return seen.count.Load() == requests }, time.Minute, look)
			figures := map[string]float64{}
			require.NoError(t, seen.percentiles(due, time.Now(), 0, figures))
			require.EqualValues(t, requests, figures["count"])
			require.Positive(t, figures[p50])
		})
	}
}

func startQuick(t *testing.T) string {
	t.Helper()
	reading, writing := io.Pipe()
	inBackground(t, func(ctx context.Context) error { return gateway(ctx, order{}, writing) })
	line := make([]byte, 200)
	n, err := reading.Read(line)
	require.NoError(t, err)
	return strings.TrimSpace(string(line[:n]))
}

// The gateway's timers fire late, so it says itself how long it had its calls: at
// least as long as it was told to.
func TestGatewayTellsHowLongItsCallsTook(t *testing.T) {
	const call, calls = 5 * time.Millisecond, 3
	server := httptest.NewServer(&timed{gateway: topsim.NewQuick(func(string) time.Duration { return call })})
	defer server.Close()
	for range calls {
		resp, err := http.Post(server.URL+"/router/rest", "application/x-www-form-urlencoded", strings.NewReader("x=1")) //nolint:noctx // it answers
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	answered, seconds, err := took(t.Context(), server.URL+"/router/rest")
	require.NoError(t, err)
	require.EqualValues(t, calls, answered)
	require.GreaterOrEqual(t, seconds, (calls * call).Seconds())
}
