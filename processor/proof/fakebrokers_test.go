//go:build chaos || apart

package proof_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// fakeBrokers are kfake in this process, behind the wires: the short form that
// needs nothing installed. A broker's death is that of its connections, since
// its data live as long as the process.
type fakeBrokers struct {
	kafka *kfake.Cluster
	wires *wires
}

// advertised is a listener that names the wire before it.
type advertised struct {
	net.Listener
	at net.Addr
}

func (a advertised) Addr() net.Addr { return a.at }

func startFakeBrokers(t testing.TB, w *wires) *fakeBrokers {
	t.Helper()
	next := 0
	kafka, err := kfake.NewCluster(
		kfake.NumBrokers(len(w.lines)), kfake.GroupMinSessionTimeout(time.Second),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			listener, err := net.Listen(network, "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			line := w.lines[next]
			next++
			line.target = listener.Addr().String()
			return advertised{listener, line.listener.Addr()}, nil
		}))
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	return &fakeBrokers{kafka: kafka, wires: w}
}

func (f *fakeBrokers) name() string        { return "kfake" }
func (f *fakeBrokers) addresses() []string { return f.wires.addresses() }

func (f *fakeBrokers) kill(i int) error {
	f.wires.lines[i].cutOff()
	return nil
}

func (f *fakeBrokers) stop(i int) error { return f.kill(i) }

func (f *fakeBrokers) start(i int) error {
	defer f.wires.lines[i].heal()
	if !f.wires.lines[i].wasMet() {
		return errors.New("nobody has missed the broker")
	}
	return nil
}

func (f *fakeBrokers) moveCoordinators(_ context.Context, group, _ string) error {
	before := f.kafka.CoordinatorFor(group)
	for range 100 {
		f.kafka.RehashCoordinators()
		if f.kafka.CoordinatorFor(group) != before {
			return nil
		}
	}
	return errors.New("the coordinator has not moved")
}

func (f *fakeBrokers) moveLeaders(_ context.Context, topics ...string) error {
	for _, topic := range topics {
		before := f.kafka.LeaderFor(topic, 0)
		if err := f.kafka.MoveTopicPartition(topic, 0, (before+1)%brokerCount); err != nil {
			return err
		}
	}
	return nil
}
