//go:build synctests

package processor

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// limitFirst is a gateway that looks at the member's limit, which one coupon uses up,
// before it looks whether it knows the out_id. The answer takes as long again as the
// grant.
func limitFirst(took time.Duration) always {
	var mu sync.Mutex
	given := map[string]bool{}
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(took)
		mu.Lock()
		before := given[outID(r)]
		given[outID(r)] = true
		mu.Unlock()
		time.Sleep(took)
		if before {
			return refused("-7"), nil
		}
		return granted(1), nil
	}
}

// Of two records with one request the first is granted, and the second refused for what
// the first has used up: to say of it that it failed would tell the customer of no
// coupon.
func TestRefusedRepeatOfAGrantIsNotFailed(t *testing.T) {
	const id = "sent-twice"
	for name, send := range map[string]func(*shop, *replica, schemas.Request){
		"with a key":    func(s *shop, _ *replica, q schemas.Request) { s.produce(0, []byte("key"), q, q) },
		"without a key": func(s *shop, _ *replica, q schemas.Request) { s.produce(0, nil, q, q) },
		"from both inputs": func(s *shop, _ *replica, q schemas.Request) {
			s.produce(0, []byte("key"), q)
			s.produceTo(s.topics.Loyalty, 0, []byte("key"), q)
		},
		"in two sessions": func(s *shop, r *replica, q schemas.Request) {
			s.produce(0, nil, q)
			s.settled(1)
			s.fault(kmsg.EndTxn, kerr.InvalidTxnState)
			s.produce(0, nil, s.requests("other", 3*leastAhead)...) // some of which the next session finds in doubt
			s.settled(1 + 3*leastAhead)
			require.EqualValues(s.t, 1, testutil.ToFloat64(r.metrics.rebuilds))
			s.produce(0, nil, q)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, limitFirst(20*time.Millisecond))
				cfg := s.config("r1")
				cfg.Retry.Delay, cfg.Retry.GiveUpAfter = time.Minute, 3*time.Minute
				r := s.start(cfg)
				send(s, r, s.request(id))
				time.Sleep(15 * time.Minute)
				ends := slices.DeleteFunc(s.allEnds(), func(r *kgo.Record) bool { return !bytes.Contains(r.Value, []byte(id)) })
				require.Len(t, on(s.topics.Granted, ends), 1)
				require.Empty(t, on(s.topics.Failed, ends))
				letters := on(s.topics.DeadLetter, ends)
				require.Len(t, letters, 1, "a person reads that it was granted once and refused then")
				require.Equal(t, string(schemas.GrantUnknown), headerText(letters[0], headerReason))
				require.NoError(t, r.stopped())
			})
		})
	}
}

func TestRepeatOfAGrantThatIsRefusedForAMomentIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
			if calls++; calls > 1 && calls < 5 {
				return refused("isv.invalid-parameter"), nil
			}
			return granted(1), nil
		}))
		cfg := s.config("r1")
		cfg.MaxInFlight = 1
		r := s.start(cfg)
		q := s.request("id")
		s.produce(0, []byte("key"), q, q)
		time.Sleep(2 * cfg.Retry.Delay)
		require.Len(t, on(s.topics.Granted, s.allEnds()), 2)
		require.Empty(t, on(s.topics.Failed, s.allEnds()))
		require.NoError(t, r.stopped())
	})
}

func TestExpiredRepeatOfAGrantIsAskedFor(t *testing.T) {
	for name, key := range map[string][]byte{"with a key": []byte("key"), "without a key": nil} { // which waits while the first is called
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
					time.Sleep(4 * time.Second)
					return granted(1), nil
				}))
				r := s.start(s.config("r1"))
				q := s.request("id")
				q.ExpiresAt = q.OccurredAt.Add(1500 * time.Millisecond)
				s.produce(0, key, q, q)
				ends := s.settled(2)
				require.Len(t, on(s.topics.Granted, ends), 2, "the second was granted before it expired, by the first")
				require.NoError(t, r.stopped())
			})
		})
	}
}

// The opposite: where nothing was granted a repeat is refused like any other.
func TestRefusedRepeatOfARefusalFails(t *testing.T) {
	for name, key := range map[string][]byte{"with a key": []byte("key"), "without a key": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
					time.Sleep(20 * time.Millisecond)
					return refused("-7"), nil
				}))
				r := s.start(s.config("r1"))
				q := s.request("id")
				s.produce(0, key, q, q, q)
				require.Len(t, on(s.topics.Failed, s.settled(3)), 3)
				require.NoError(t, r.stopped())
			})
		})
	}
}

// A repeat that came long after the grant must not be called: Tmall may have forgotten.
func TestRepeatBeyondTheWindowIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		cfg := s.config("r1")
		cfg.IdempotencyWindow = 10 * time.Minute
		r := s.start(cfg)
		q := s.request("id")
		s.produce(0, nil, q)
		s.settled(1)
		time.Sleep(cfg.IdempotencyWindow - time.Minute)
		s.produce(0, nil, q)
		require.Len(t, on(s.topics.Granted, s.settled(2)), 2)
		time.Sleep(2 * time.Minute)
		s.produce(0, nil, q)
		letters := on(s.topics.DeadLetter, s.settled(3))
		require.Len(t, letters, 1)
		require.Equal(t, string(schemas.GrantUnknown), headerText(letters[0], headerReason))
		require.Equal(t, 2, gateway.total())
		require.NoError(t, r.stopped())
	})
}
