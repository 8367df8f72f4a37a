//go:build synctests

package processor

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a person has accepted is committed, also where nothing comes to an end from
// which a commit would follow: the flag is needed once, on a quiet partition as well.
func TestWhatWasAcceptedIsAcceptedForGood(t *testing.T) {
	for name, c := range map[string]struct {
		offset   int64
		metadata string
		deleted  int64 // by retention
		held     string
		accept   func(*Config)
		at       int64
	}{
		"a log that ends below the commit":  {40, "", 0, holdLostInput, func(cfg *Config) { cfg.AcceptLostInput = true }, 5},
		"a log that begins above it":        {2, "", 5, holdLostInput, func(cfg *Config) { cfg.AcceptLostInput = true }, 5},
		"a commit that is of somebody else": {5, "lost", 0, holdMetadata, func(cfg *Config) { cfg.AcceptForeignOffsets = true }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(grantsAlways)
				s := newShop(t, 1, gateway)
				s.produce(0, nil, s.requests("there", 5)...)
				s.commit(storeZero, c.offset, c.metadata)
				if c.deleted > 0 {
					require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, c.deleted))
				}
				require.Contains(t, s.heldBy(s.config("r1")), c.held, "the control")
				accepting := s.config("r1")
				c.accept(&accepting)
				require.Empty(t, s.heldBy(accepting))
				require.Empty(t, s.heldBy(s.config("r1")), "without the flag again")

				offset, meta := s.position("coupongrant", storeZero)
				require.Equal(t, c.at, offset)
				require.NotZero(t, meta.nonce, "it is a commit of ours")
				require.Zero(t, gateway.total())
				require.Empty(t, s.allEnds())
			})
		})
	}
}

// heldBy is what a replica holds that runs for a while.
func (s *shop) heldBy(cfg Config) []string {
	s.t.Helper()
	r := s.start(cfg)
	time.Sleep(30 * time.Second)
	held := kinds(r.Health().Holds)
	require.NoError(s.t, r.stopped())
	return held
}

// A partition has no leader for a while when it is gone on with over a commit of somebody
// else. Until its end is known nobody is called: to one who had been granted before, and
// is refused now, all of it is in doubt.
func TestForeignOffsetsAreNotGoneOnFromWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(func(*http.Request) (*http.Response, error) { return refused("-7"), nil })
		s := newShop(t, 1, gateway)
		s.produce(0, nil, s.requests("maybe", 5)...)
		s.commit(storeZero, 0, "lost")
		leaderless := s.kafka.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: storeZero.topic, Partitions: []int32{0}, Err: kerr.LeaderNotAvailable, Count: -1,
		})
		cfg := s.config("r1")
		cfg.AcceptForeignOffsets = true
		r := s.start(cfg)
		time.Sleep(time.Minute)
		require.Positive(t, leaderless.Hits())
		require.Zero(t, gateway.total())
		require.Contains(t, reasons(r.Health().Holds, holdKafka), "listing where "+storeZero.String()+" begins and ends")

		leaderless.Remove()
		ends := s.settled(5)
		require.Len(t, on(s.topics.Retry, ends), 5)
		require.Empty(t, on(s.topics.Failed, ends))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}
