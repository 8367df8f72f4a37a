//go:build synctests

package processor

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// silentToBad does not answer those whose id begins with bad, and grants the
// others.
func silentToBad(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(outID(r), "bad") {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(20 * time.Millisecond)
	return granted(1), nil
}

// No call for one key is answered, and its requests come faster than one after the other can be
// parked. The others of its partition must not feel it, for as long as it lasts.
func TestKeyInTroubleDoesNotFillItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds = 120
		s := newShop(t, 1, always(silentToBad))
		cfg := s.config("r1")
		cfg.WindowRecords, cfg.CallTimeout = 256, 2*time.Second
		cfg.Retry.Delay = time.Hour // none comes back in this test
		r := s.start(cfg)
		for second := range seconds {
			s.produce(0, []byte("hot"), s.requests("bad-"+time.Duration(second).String(), 20)...)
			s.produce(0, nil, s.requests("good-"+time.Duration(second).String(), 5)...)
			time.Sleep(time.Second)
			require.GreaterOrEqual(t, len(on(s.topics.Granted, s.allEnds())), 5*(second-1), "second %d", second)
		}

		parked := on(s.topics.Retry, s.allEnds())
		for more := 0; len(parked) < 20*seconds; more++ { // only while others are answered
			require.Less(t, more, 300)
			s.produce(0, nil, s.requests("more-"+strconv.Itoa(more), 5)...)
			time.Sleep(time.Second)
			parked = on(s.topics.Retry, s.allEnds())
		}
		for source, ends := range ids(s.allEnds()) {
			require.Equal(t, 1, ends, source)
		}
		require.NotEmpty(t, some(parked, func(p *kgo.Record) bool { return header(p, headerAttempts) == "0" }), "nobody was parked behind another")
		for _, p := range parked {
			require.Equal(t, header(p, headerAttempts) != "0", header(p, headerInDoubt) == "true", "who was not called is not in doubt")
		}
		require.NoError(t, r.stopped())
	})
}

// A key that is only busy keeps its order, however long its requests wait.
func TestBusyKeyIsNeverParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 200
		var order []string
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			order = append(order, outID(r)) // of one lane: never two at once
			time.Sleep(time.Second)
			return granted(1), nil
		}))
		cfg := s.config("r1")
		cfg.WindowRecords = 256
		r := s.start(cfg)
		all := s.requests("id", requests)
		s.produce(0, []byte("busy"), all...)

		require.Len(t, on(s.topics.Granted, s.settled(requests)), requests)
		for i, id := range order {
			require.Equal(t, all[i].RequestID, id)
		}
		require.Greater(t, requests*time.Second, 2*cfg.Retry.ParkAfter)
		require.NoError(t, r.stopped())
	})
}

// A request without an answer is parked when the attempt ends in which its time
// is up, whatever the rhythm of attempts and looks.
func TestSilentRequestIsParkedWithTheAttemptInWhichItsTimeIsUp(t *testing.T) {
	for _, timeout := range []time.Duration{700 * time.Millisecond, 2 * time.Second, 7 * time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { silentIsParked(t, timeout) })
		})
	}
}

func silentIsParked(t *testing.T, timeout time.Duration) {
	s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
		if outID(r) == "silent" {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return granted(1), nil
	}))
	cfg := s.config("r1")
	cfg.CallTimeout, cfg.Retry.ParkAfter, cfg.Retry.MaxBackoff = timeout, 5*time.Second, 200*time.Millisecond
	r := s.start(cfg)
	s.produce(0, nil, s.request("silent"))
	began := time.Now()
	for len(on(s.topics.Retry, s.allEnds())) == 0 {
		s.produce(0, nil, s.requests("other-"+time.Since(began).String(), 1)...)
		time.Sleep(100 * time.Millisecond)
		const group, commit = time.Second, 300 * time.Millisecond
		require.Less(t, time.Since(began), group+cfg.Retry.ParkAfter+timeout+cfg.Retry.MaxBackoff+commit)
	}
	require.NoError(t, r.stopped())
}

func some(records []*kgo.Record, so func(*kgo.Record) bool) (out []*kgo.Record) {
	for _, r := range records {
		if so(r) {
			out = append(out, r)
		}
	}
	return out
}
