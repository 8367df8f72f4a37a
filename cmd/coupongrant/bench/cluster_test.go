package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A run that cannot begin leaves nothing on the brokers but what was there before.
func TestTopicsOfARunThatCannotBeginAreDropped(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer kafka.Close()
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	require.NoError(t, err)
	defer admin.Close()
	left := func() []string {
		fresh, err := kadm.NewOptClient(kgo.SeedBrokers(kafka.ListenAddrs()...)) // one that remembers nothing
		require.NoError(t, err)
		defer fresh.Close()
		found, err := fresh.ListTopics(t.Context())
		require.NoError(t, err)
		return found.Names()
	}
	var asked atomic.Int64
	registry, stop, err := startRegistry()
	require.NoError(t, err)
	defer stop()

	_, err = newCluster(t.Context(), kafka.ListenAddrs(), admin, "http://127.0.0.1:1", "bench.one", 1)
	require.Error(t, err, "without a registry")
	require.Empty(t, left())

	others := topicsOf("bench.two").Granted
	_, err = admin.CreateTopic(t.Context(), 1, 1, nil, others)
	require.NoError(t, err)
	_, err = newCluster(t.Context(), kafka.ListenAddrs(), admin, registry, "bench.two", 1)
	require.ErrorContains(t, err, "creating the topics bench.two.*")
	require.Equal(t, []string{others}, left())

	kafka.ControlKey(kmsg.CreateTopics.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		asked.Add(1)
		return nil, errors.New("the connection is cut"), true
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = newCluster(ctx, kafka.ListenAddrs(), admin, registry, "bench.two", 1)
	require.ErrorContains(t, err, "creating the topics bench.two.*")
	require.Positive(t, asked.Load(), "the fault was met")
	require.Equal(t, []string{others}, left(), "what was asked for in vain is nobody's")
}
