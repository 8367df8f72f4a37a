//go:build synctests

package processor

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
			s.produce(0, []byte("hot"), s.requests("bad-"+time.Duration(second).String(), 10)...)
			s.produce(0, nil, s.requests("good-"+time.Duration(second).String(), 5)...)
			time.Sleep(time.Second)
			require.GreaterOrEqual(t, len(on(s.topics.Granted, s.allEnds())), 5*(second-1), "second %d", second)
		}

		parked := on(s.topics.Retry, s.allEnds())
		for more := 0; len(parked) < 10*seconds; more++ { // only while others are answered
			require.Less(t, more, 300)
			s.produce(0, nil, s.requests("more-"+strconv.Itoa(more), 5)...)
			time.Sleep(time.Second)
			parked = on(s.topics.Retry, s.allEnds())
		}
		for source, ends := range ids(s.allEnds()) {
			require.Equal(t, 1, ends, source)
		}
		require.NotEmpty(t, some(parked, func(p *kgo.Record) bool { return headerText(p, headerAttempts) == "0" }), "nobody was parked behind another")
		for _, p := range parked {
			require.Equal(t, headerText(p, headerAttempts) != "0", headerText(p, headerInDoubt) == "true", "who was not called is not in doubt")
		}
		require.NoError(t, r.stopped())
	})
}

// Who is in trouble is parked before retry.park_after, if the window would fill for it:
// more than a 64th of it waits in its lane, or the others have come four windows
// further. With one less it stays.
func TestRequestThatWouldFillItsWindowIsParkedSooner(t *testing.T) {
	for name, row := range map[string]struct {
		lane, others int // requests behind it
		parked       bool
	}{
		"in its lane":      {lane: 2, parked: true},
		"not yet":          {lane: 1},
		"overtaken":        {others: 4 * 128, parked: true},
		"not so far ahead": {others: 4*128 - 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(silentToBad))
				cfg := s.config("r1")
				cfg.WindowRecords, cfg.CallTimeout = 128, time.Second
				r := s.start(cfg)
				s.produce(0, []byte("key"), append(s.requests("bad", 1), s.requests("good-behind", row.lane)...)...)
				s.produce(0, nil, s.requests("good-other", row.others)...)
				for i := range 20 { // others are answered, while it is not
					time.Sleep(time.Second)
					s.produce(0, nil, s.requests("good-"+strconv.Itoa(i), 5)...)
				}
				require.Less(t, 20*time.Second, cfg.Retry.ParkAfter)
				require.Equal(t, row.parked, len(on(s.topics.Retry, s.allEnds())) == 1)
				require.NoError(t, r.stopped())
			})
		})
	}
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

// An outage, or a ban, leaves long lanes behind and first attempts that failed.
// When it is over nobody is parked for it: each key goes on in its order.
func TestBusyKeysKeepTheirOrderThroughAnOutage(t *testing.T) {
	for name, trouble := range map[string]func() *http.Response{
		"outage": func() *http.Response {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody}
		},
		"ban": func() *http.Response {
			const body = `{"error_response":{"code":7,"msg":"App Call Limited","sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 5 more seconds"}}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { keepsOrderThrough(t, trouble) })
		})
	}
}

func keepsOrderThrough(t *testing.T, trouble func() *http.Response) {
	const keys, each = 30, 80 // more than may wait for a request in trouble
	var down atomic.Bool
	down.Store(true)
	var mu sync.Mutex
	granting := map[string][]string{}
	s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
		id := outID(r)
		if down.Load() {
			return trouble(), nil
		}
		time.Sleep(20 * time.Millisecond)
		key, _, _ := strings.Cut(id, "-")
		mu.Lock()
		defer mu.Unlock()
		granting[key] = append(granting[key], id)
		return granted(1), nil
	}))
	cfg := s.config("r1")
	cfg.Rate = 20 // so that most wait for their turn when it is over
	r := s.start(cfg)
	for n := range each {
		for key := range keys {
			name := "key" + strconv.Itoa(key)
			s.produce(0, []byte(name), s.request(name+"-"+strconv.Itoa(n)))
		}
	}
	time.Sleep(2 * time.Minute)
	require.Empty(t, s.allEnds(), "nobody ends in an outage")
	down.Store(false)

	onceEach(t, keys*each, s.settled(keys*each))
	require.Len(t, on(s.topics.Granted, s.allEnds()), keys*each)
	for key := range keys {
		name := "key" + strconv.Itoa(key)
		for n, id := range granting[name] {
			require.Equal(t, name+"-"+strconv.Itoa(n), id)
		}
	}
	require.NoError(t, r.stopped())
}

// The retry topic does not take a request that is to be parked: it is a dead letter,
// and counted and remembered as one.
func TestRequestTooLargeToBeParkedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(refusedInDoubt))
		refused := s.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.Retry, Err: kerr.MessageTooLarge, Count: -1})
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("large"))
		letters := on(s.topics.DeadLetter, s.settled(1))
		require.Len(t, letters, 1)
		require.Equal(t, "too-large", headerText(letters[0], headerReason))
		require.Empty(t, letters[0].Value)
		require.EqualValues(t, 2, refused.Hits())
		found := r.Find("large")
		require.Len(t, found, 1)
		require.Equal(t, []string{"dead-letter", "too-large", stateCommitted}, []string{found[0].End, found[0].Reason, found[0].State})
		require.Equal(t, found, r.DeadLetters(10))
		require.InDelta(t, 1, testutil.ToFloat64(r.metrics.deadLetters.WithLabelValues("too-large")), 0)
		require.Zero(t, testutil.ToFloat64(r.metrics.parked))
		require.Empty(t, r.recent.ended)
		require.NoError(t, r.stopped())
	})
}

// A parked record that waits for its time again is not parked anew for what is
// behind it: it has not been called.
func TestParkedRequestsAreNotParkedUncalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parked = 400
		s := newShop(t, 1, always(grantsAlways))
		cfg := s.config("r1")
		cfg.WindowRecords, cfg.Retry.Delay = 64, 20*time.Second
		var records []*kgo.Record
		for n := range parked {
			records = append(records, s.parked(0, s.request("id-"+strconv.Itoa(n)), s.topics.Store+"/0/"+strconv.Itoa(n),
				kgo.RecordHeader{Key: headerAttempts, Value: []byte("5")},
				kgo.RecordHeader{Key: headerInDoubt, Value: []byte("true")},
				kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(rfc3339(time.Now()))},
				kgo.RecordHeader{Key: headerNextAt, Value: []byte(rfc3339(time.Now().Add(cfg.Retry.Delay)))}))
		}
		require.NoError(t, s.client.ProduceSync(t.Context(), records...).FirstErr())
		r := s.start(cfg)
		for range 10 {
			s.produce(0, nil, s.requests("other-"+time.Now().String(), 1)...) // somebody is answered
			time.Sleep(time.Second)
		}
		s.settled(2*parked + 10)

		require.Len(t, on(s.topics.Retry, s.allEnds()), parked, "none was parked again")
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
