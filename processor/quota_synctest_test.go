//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
)

// meter is a gateway that notes when it is called, and by whom.
type meter struct {
	mu    sync.Mutex
	calls []time.Time
	by    map[string][]time.Time
}

// of is the gateway as a replica sees it.
func (m *meter) of(replica string, answer always) always {
	return func(r *http.Request) (*http.Response, error) {
		m.mu.Lock()
		if m.by == nil {
			m.by = map[string][]time.Time{}
		}
		m.calls = append(m.calls, time.Now())
		m.by[replica] = append(m.by[replica], time.Now())
		m.mu.Unlock()
		return answer(r)
	}
}

// all are the calls so far, of one replica or of the fleet ("").
func (m *meter) all(replica string) []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if replica == "" {
		return slices.Clone(m.calls)
	}
	return slices.Clone(m.by[replica])
}

// between counts the calls of a span of time.
func between(calls []time.Time, from, to time.Time) int {
	low, _ := slices.BinarySearchFunc(calls, from, time.Time.Compare)
	high, _ := slices.BinarySearchFunc(calls, to, time.Time.Compare)
	return high - low
}

// mostIn is the most calls that there were in any span of that length.
func mostIn(calls []time.Time, length time.Duration) (most int) {
	for _, from := range calls {
		most = max(most, between(calls, from, from.Add(length)))
	}
	return most
}

// Four replicas with more to do than the quota lets them, through one that leaves
// in good order, one that is killed, and one that brokers and others hear nothing
// of for three session timeouts; each comes back.
func TestFleetKeepsWithinItsRate(t *testing.T) {
	for _, protocol := range []GroupProtocol{Classic, Consumer} {
		t.Run(string(protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fleetKeepsWithinItsRate(t, protocol) })
		})
	}
}

func fleetKeepsWithinItsRate(t *testing.T, protocol GroupProtocol) {
	const partitions, demand, perSecond, quiet, window = 8, 3000, 200, 16 * time.Second, 10 * time.Second
	var m meter
	s := newShop(t, partitions, nil, kfake.BrokerConfigs(map[string]string{
		"group.consumer.session.timeout.ms": "6000", "group.consumer.heartbeat.interval.ms": "1000", // as the classic protocol has them from us
	}))
	// Who comes back may be given any partitions: fewer than a share have nothing to do.
	admin := kadm.NewClient(s.client)
	_, err := admin.DeleteTopic(t.Context(), s.topics.Retry)
	require.NoError(t, err)
	_, err = admin.CreateTopic(t.Context(), partitions/4, 1, nil, s.topics.Retry)
	require.NoError(t, err)
	timeout := s.config("").SessionTimeout
	start := func(name string) *replica {
		cfg := s.config(name)
		cfg.Rate, cfg.GroupProtocol = perSecond, protocol
		s.gateway = m.of(name, func(*http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return granted(1), nil
		})
		return s.start(cfg)
	}
	for partition := range int32(partitions) {
		s.produceTo(s.topics.Store, partition, nil, s.requests(fmt.Sprint("store-", partition), demand)...)
		s.produceTo(s.topics.Loyalty, partition, nil, s.requests(fmt.Sprint("loyalty-", partition), demand)...)
	}
	var changes []time.Time
	change := func(do func()) {
		changes = append(changes, time.Now())
		do()
		time.Sleep(time.Until(changes[len(changes)-1].Add(quiet)))
	}
	fleet := make([]*replica, 4)
	change(func() {
		for i := range fleet {
			fleet[i] = start(fmt.Sprint("r", i))
		}
	})
	change(func() { require.NoError(t, fleet[0].stopped()) })
	change(func() { fleet[0] = start("r0-again") })
	change(func() { fleet[1].killed() })
	change(func() { fleet[1] = start("r1-again") })
	change(fleet[2].line.freeze)
	change(fleet[2].line.thaw)
	end := time.Now()

	require.Positive(t, s.lag("coupongrant"), "there was demand to the end")
	most := mostIn(m.all(""), window)
	t.Logf("most in %v: %d", window, most)
	for i, at := range changes {
		until := append(changes, end)[i+1]
		used := float64(between(m.all(""), at.Add(timeout), until)) / (until.Sub(at) - timeout).Seconds() / perSecond
		t.Logf("change %d: %.1f%% used", i, 100*used)
		require.Greater(t, used, 0.9, "after change %d", i)
	}
	require.LessOrEqual(t, most, int(205*window.Seconds()))
	require.Positive(t, between(m.all("r2"), changes[6].Add(timeout), end), "it has come back")
	for _, r := range fleet {
		require.NoError(t, r.stopped())
	}
}

// A replica that hears nothing of the group's coordinator calls no more once its
// partitions may be another's, though it has enough that it may call for: requests
// that are called again and again. Without a quota it goes on, which is the control.
func TestNoCallOnAShareThatMayBeAnothers(t *testing.T) {
	for name, perSecond := range map[string]float64{"with a quota": 50, "control: without": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m meter
				s := newShop(t, 1, m.of("r1", func(*http.Request) (*http.Response, error) { return refused("-9999"), nil }))
				cfg := s.config("r1")
				cfg.Rate = perSecond
				cfg.Retry.MinBackoff, cfg.Retry.MaxBackoff, cfg.Retry.DoubtfulAttempts = time.Second, time.Second, 1e9
				r := s.start(cfg)
				s.produce(0, nil, s.requests("again", 10)...)
				time.Sleep(20 * time.Second)
				r.line.freeze()
				silent := time.Now()
				time.Sleep(3 * cfg.SessionTimeout)
				held := reasons(r.Health().Holds, holdKafka)
				require.Positive(t, between(m.all(""), silent, silent.Add(cfg.SessionTimeout-cfg.HeartbeatInterval)))
				during := between(m.all(""), silent.Add(cfg.SessionTimeout), time.Now())
				r.line.thaw()
				thawed := time.Now()
				time.Sleep(10 * time.Second)
				require.Positive(t, between(m.all(""), thawed, time.Now()), "it goes on by itself")
				if perSecond > 0 {
					require.Zero(t, during)
					require.Contains(t, held, "may be another replica's")
					require.Empty(t, r.Health().Holds)
				} else {
					require.Positive(t, during)
				}
				require.NoError(t, r.stopped())
			})
		})
	}
}

// When a topic gets more partitions, those that come to one replica are less of a
// share to the others, who get none.
func TestSharesFollowPartitionsThatAreAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, window = 100, 10 * time.Second
		var m meter
		s := newShop(t, 1, nil)
		start := func(name string) *replica {
			cfg := s.config(name)
			cfg.Rate = perSecond
			s.gateway = m.of(name, grantsAlways)
			return s.start(cfg)
		}
		first, second := start("first"), start("second")
		time.Sleep(10 * time.Second)
		_, err := kadm.NewClient(s.client).UpdatePartitions(t.Context(), 2, s.topics.Store)
		require.NoError(t, err)
		time.Sleep(3 * metadataMaxAge)
		s.client.ForceMetadataRefresh()
		s.produce(0, nil, s.requests("store-0", 2000)...)
		s.produce(1, nil, s.requests("store-1", 2000)...)
		s.produceTo(s.topics.Loyalty, 0, nil, s.requests("loyalty", 2000)...)
		began := time.Now()
		time.Sleep(3 * window)
		require.LessOrEqual(t, mostIn(m.all(""), window), int(1.025*perSecond*window.Seconds()))
		require.Greater(t, between(m.all(""), began, time.Now()), int(0.9*perSecond*3*window.Seconds()))
		require.NoError(t, first.stopped())
		require.NoError(t, second.stopped())
	})
}

// An hour before midnight in Beijing there are calls left for an hour, however
// often replicas leave, die and come; then a new day begins.
func TestDailyBudgetIsKeptThroughRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, hourly, quarter = 4, 1000, 15 * time.Minute
		end := time.Now().UTC().Truncate(24 * time.Hour).Add(16 * time.Hour)
		time.Sleep(time.Until(end.Add(-time.Hour)))
		var m meter
		s := newShop(t, partitions, nil)
		start := func(name string) *replica {
			cfg := s.config(name)
			cfg.DailyBudget = 24 * hourly
			s.gateway = m.of(name, grantsAlways)
			return s.start(cfg)
		}
		for partition := range int32(partitions) {
			s.produce(partition, nil, s.requests(fmt.Sprint("id-", partition), 600)...)
		}
		first := start("first")
		time.Sleep(quarter)
		require.Contains(t, reasons(first.Health().Holds, holdGateway), "gateway.daily_budget (24000 calls)")
		second := start("second")
		time.Sleep(quarter)
		first.killed()
		first = start("first")
		time.Sleep(quarter)
		require.NoError(t, second.stopped())
		second = start("second")
		time.Sleep(time.Until(end.Add(quarter)))

		before, after := between(m.all(""), end.Add(-time.Hour), end), between(m.all(""), end, end.Add(quarter))
		require.LessOrEqual(t, before, hourly)
		require.Greater(t, before, hourly*8/10)
		require.LessOrEqual(t, after, hourly/4)
		require.Greater(t, after, hourly/4*8/10)
		require.Positive(t, s.lag("coupongrant"), "there was more to do")
		require.NoError(t, first.stopped())
		require.NoError(t, second.stopped())
		ends := s.allEnds()
		require.Len(t, on(s.topics.Granted, ends), len(ends), "nobody fails, nobody is parked")
	})
}
