//go:build synctests

package processor

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// What docs/operations.md says of two fleets at once.

// Two groups on the same topics know nothing of each other: each calls for every
// request, under one out_id, and ends it. No hold says so; the audit does, from
// the side of either group.
func TestTwoGroupsEndEverythingTwiceAndTheAuditTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 2, gateway)
		blue := s.start(s.config("blue-0"))
		cfg := s.config("green-0")
		cfg.Group = "green"
		green := s.start(cfg)
		s.spread("id", 20, 2)
		ends := s.settled(40)
		time.Sleep(time.Minute)
		require.Empty(t, blue.Health().Holds)
		require.Empty(t, green.Health().Holds)
		require.NoError(t, blue.stopped())
		require.NoError(t, green.stopped())

		require.Len(t, on(s.topics.Granted, ends), 40)
		for i := range 20 {
			require.Equal(t, 2, gateway.of(fmt.Sprint("id-", i)))
		}
		for _, group := range []string{"coupongrant", "green"} {
			report := s.auditedAs(group)
			require.Equal(t, proof.Violated, report.Verdict())
			require.EqualValues(t, 20, report.Violations[proof.Doubled].Total)
		}
	})
}

// Two clusters with a copy of the input each, and a fleet each: all is called for
// twice as well, and no audit sees it.
func TestTwoClustersEndEverythingTwiceAndNoAuditTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		for range 2 {
			s := newShop(t, 1, gateway)
			r := s.start(s.config("r1"))
			s.produce(0, nil, s.requests("id", 10)...)
			onceEach(t, 10, s.settled(10))
			require.NoError(t, r.stopped())
			require.Equal(t, proof.Balanced, s.audited().Verdict())
		}
		for i := range 10 {
			require.Equal(t, 2, gateway.of(fmt.Sprint("id-", i)))
		}
	})
}

// One group is one fleet, whatever its replicas are called: the partitions are
// shared, and each request is called once and ends once.
func TestOneGroupIsOneFleetWhateverItsTransactionalIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 4, gateway)
		blue, green := s.start(s.config("blue-0")), s.start(s.config("green-0"))
		time.Sleep(30 * time.Second)
		for _, r := range []*replica{blue, green} {
			require.NotZero(t, len(r.Status().Partitions), "it has its share")
		}
		s.spread("id", 40, 4)
		onceEach(t, 40, s.settled(40))
		blue.killed()
		s.spread("more", 40, 4)
		onceEach(t, 80, s.settled(80))
		require.NoError(t, green.stopped())
		require.Equal(t, 80, gateway.total())
		require.Equal(t, proof.Balanced, s.audited().Verdict())
	})
}

// In one group, two fleets of other topics each get the partitions of their own,
// and the whole of gateway.rate each: two of 10 a second are twenty.
func TestOneGroupWithOtherTopicsHasTheRateTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, n = 10, 400
		var m meter
		s := newShop(t, 2, nil)
		other := s.topics
		other.Store, other.Loyalty, other.Retry = "other-store", "other-loyalty", "other-retry"
		for _, topic := range []string{other.Store, other.Loyalty, other.Retry} {
			require.NoError(t, s.kafka.CreateTopic(topic, 2, nil))
		}
		own := schemas.Topics{Inputs: []string{other.Store, other.Loyalty}, Granted: other.Granted, Failed: other.Failed}
		require.NoError(t, s.newRegistry().Register(t.Context(), own))
		start := func(name string, topics Topics) *replica {
			cfg := s.config(name)
			cfg.Topics, cfg.Rate = topics, rate
			s.gateway = m.of(name, grantsAlways)
			return s.start(cfg)
		}
		mine := s.topics
		blue := start("blue", mine)
		green := start("green", other)
		time.Sleep(30 * time.Second)
		for i, request := range s.requests("id", 2*n) {
			value, err := s.codec.EncodeRequest(mine.Store, request)
			require.NoError(t, err)
			topic := []string{mine.Store, other.Store}[i%2]
			require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value}).FirstErr())
		}
		from := time.Now().Add(5 * time.Second)
		time.Sleep(15 * time.Second)
		t.Logf("%d and %d calls in 10 s", between(m.all("blue"), from, from.Add(10*time.Second)), between(m.all("green"), from, from.Add(10*time.Second)))
		require.InDelta(t, 10*rate, between(m.all("blue"), from, from.Add(10*time.Second)), 5)
		require.InDelta(t, 10*rate, between(m.all("green"), from, from.Add(10*time.Second)), 5)
		for _, p := range blue.Status().Partitions {
			require.Contains(t, mine.Inputs(), p.Topic)
		}
		for _, p := range green.Status().Partitions {
			require.Contains(t, other.Inputs(), p.Topic)
		}
		require.NoError(t, blue.stopped())
		require.NoError(t, green.stopped())
	})
}

// Two replicas with one transactional id throw each other out. The second to lose
// within a minute ends, and says why; the other goes on, and nothing is doubled.
func TestOneTransactionalIDTwiceEndsWhoLosesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 2, gateway)
		twins := []*replica{s.start(s.config("twin")), s.start(s.config("twin"))}
		n := 0
		var loser error
		for loser == nil {
			s.spread(fmt.Sprint("id-", n), 10, 2)
			n += 10
			time.Sleep(time.Second)
			for _, twin := range twins {
				select {
				case loser = <-twin.done:
					twin.done <- nil
				default:
				}
			}
			require.Less(t, n, 5000, "nobody has lost")
		}
		require.ErrorContains(t, loser, `another process uses kafka.transactional_id "twin" (fenced twice within a minute): give each replica a name of its own`)
		onceEach(t, n, s.settled(n))
		require.Equal(t, proof.Balanced, s.audited().Verdict())
		for _, twin := range twins {
			_ = twin.stopped()
		}
	})
}
