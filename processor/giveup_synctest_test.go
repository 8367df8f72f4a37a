//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sick is a gateway that grants, but for requests whose id begins with stuck:
// for those it has a system exception, which leaves doubt, for ever.
func sick(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(outID(r), "stuck") {
		return refused("-9999"), nil
	}
	return granted(1), nil
}

// letters are the dead letters there are of a source.
func (s *shop) letters(source string) (letters []*kgo.Record) {
	for _, r := range on(s.topics.DeadLetter, s.allEnds()) {
		if headerText(r, headerSource) == source {
			letters = append(letters, r)
		}
	}
	return letters
}

// goOn lets time pass, with a request of others every twenty seconds.
func (s *shop) goOn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Second) {
		s.produce(0, nil, s.request(fmt.Sprint("other-", time.Now().UnixNano())))
	}
}

func (s *shop) patient(replica string) Config {
	cfg := s.config(replica)
	cfg.Retry.Delay, cfg.Retry.GiveUpAfter = time.Minute, 20*time.Minute
	return cfg
}

// givenUp waits, while others are served, until a source is given up.
func (s *shop) givenUp(source string) time.Duration {
	began := time.Now()
	for len(s.letters(source)) == 0 {
		s.goOn(20 * time.Second)
		require.Less(s.t, time.Since(began), time.Hour, "%s is never given up", source)
	}
	require.Equal(s.t, "grant-unknown", headerText(s.letters(source)[0], headerReason))
	return time.Since(began)
}

func TestRequestInDoubtIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(sick))
		cfg := s.patient("r1")
		r := s.start(cfg)
		s.goOn(time.Minute)
		s.produce(0, nil, s.request("stuck"))
		took := s.givenUp(s.topics.Store + "/0/3")
		require.GreaterOrEqual(t, took, cfg.Retry.GiveUpAfter)
		require.Less(t, took, cfg.Retry.GiveUpAfter+3*cfg.Retry.Delay)
		require.NoError(t, r.stopped())
	})
}

// An outage of an hour, three times as long as a request may wait, counts for
// nothing; nor is anyone parked because of it, while it lasts or when it ends.
func TestOutageDoesNotCountTowardsGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(sick)
		s := newShop(t, 1, gateway)
		cfg := s.patient("r1")
		r := s.start(cfg)
		s.goOn(time.Minute)
		s.produce(0, nil, s.request("stuck"))
		s.goOn(5 * time.Minute)
		gateway.to(status(503))
		for i := range 50 {
			s.produce(0, fmt.Append(nil, i), s.request(fmt.Sprint("during-", i)))
		}
		time.Sleep(time.Hour)
		gateway.to(sick)
		began := time.Now()
		took := s.givenUp(s.topics.Store + "/0/3")
		require.Greater(t, took, cfg.Retry.GiveUpAfter-6*time.Minute)
		require.Less(t, time.Since(began), cfg.Retry.GiveUpAfter)
		for _, parked := range on(s.topics.Retry, s.allEnds()) {
			require.Equal(t, s.topics.Store+"/0/3", headerText(parked, headerSource), "parked for an outage")
		}
		require.NoError(t, r.stopped())
	})
}

// What was counted goes with the request to the next replica, in a header; a
// record of an earlier version, without it, starts from nothing.
func TestWaitSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(sick))
		cfg := s.patient("r1")
		first := s.start(cfg)
		s.goOn(time.Minute)
		s.produce(0, nil, s.request("stuck"))
		s.goOn(15 * time.Minute)
		first.killed()
		var last *kgo.Record
		for _, parked := range on(s.topics.Retry, s.allEnds()) {
			last = parked
		}
		waited, err := time.ParseDuration(headerText(last, headerWaited))
		require.NoError(t, err)
		require.Greater(t, waited, 12*time.Minute)

		var old []kgo.RecordHeader // as a version before this one parks
		for _, h := range last.Headers {
			switch h.Key {
			case headerWaited:
			case headerSource:
				old = append(old, kgo.RecordHeader{Key: headerSource, Value: []byte("old/0/0")})
			default:
				old = append(old, h)
			}
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Retry, Value: last.Value, Headers: old}).FirstErr())

		time.Sleep(time.Hour) // nobody works: that does not count either
		second := s.start(cfg)
		took := s.givenUp(s.topics.Store + "/0/3")
		require.Greater(t, took, 3*time.Minute)
		require.Less(t, took, 9*time.Minute)
		require.Empty(t, s.letters("old/0/0"))
		took += s.givenUp("old/0/0")
		require.Greater(t, took, 19*time.Minute)
		require.NoError(t, second.stopped())
	})
}

// A partition that waits for a person has nothing to do with calling: what hangs
// elsewhere is parked all the same.
func TestUnrelatedHoldDoesNotKeepFromParking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hanging atomic.Int64
		s := newShop(t, 2, always(func(r *http.Request) (*http.Response, error) {
			if outID(r) == "hangs" {
				hanging.Add(1)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return granted(1), nil
		}))
		s.commit(partition{s.topics.Store, 1}, 0, "not ours")
		r := s.start(s.config("r1"))
		s.produce(0, []byte("key"), s.request("hangs"))
		s.goOn(3 * time.Minute)
		require.NotEmpty(t, reasons(r.Health().Holds, holdMetadata))
		require.Positive(t, hanging.Load())
		require.NotEmpty(t, on(s.topics.Retry, s.allEnds()))
		require.NoError(t, r.stopped())
	})
}
