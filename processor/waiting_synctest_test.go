//go:build synctests

package processor

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// switched is a gateway whose answer can be changed.
type switched struct{ answer atomic.Pointer[always] }

func (s *switched) to(a always) { s.answer.Store(&a) }

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	return (*s.answer.Load()).RoundTrip(r)
}

func status(code int) always {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}, nil
	}
}

func platform(code int, extra string) always {
	return func(*http.Request) (*http.Response, error) {
		r := refused("")
		r.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"error_response":{"code":%d,"msg":"m"%s,"request_id":"r"}}`, code, extra)))
		r.ContentLength = -1
		return r, nil
	}
}

// reasons are the sentences of the holds of a kind.
func reasons(holds []Hold, kind string) string {
	var all []string
	for _, h := range holds {
		if h.Kind == kind {
			all = append(all, h.Reason)
		}
	}
	return strings.Join(all, "; ")
}

func TestOutageIsNotAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var granting, failing atomic.Int64
		gateway := &switched{}
		gateway.to(takes(10*time.Millisecond, &granting))
		s := newShop(t, 2, gateway)
		r := s.start(s.config("r1"))
		s.spread("before", 20, 2)
		s.settled(20)
		gateway.to(func(r *http.Request) (*http.Response, error) { failing.Add(1); return status(503)(r) })
		s.spread("during", 100, 2)
		time.Sleep(10 * time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdGateway), "the gateway is in trouble")
		probes := int64(s.breaker.Probes) * int64(10*time.Minute/s.breaker.OpenFor)
		require.LessOrEqual(t, failing.Load(), probes+2*int64(s.breaker.MinCalls), "the breaker must hold calls back")
		require.Len(t, s.allEnds(), 20, "nobody fails and nobody is parked for an outage")
		gateway.to(takes(10*time.Millisecond, &granting))
		onceEach(t, 120, s.settled(120))
		time.Sleep(time.Minute)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// Who waited has expired, and nobody calls who could find that the gateway works again. But
// those who come now and then, and expire, are an outage, of which people are told after a
// quarter of an hour.
func TestHoldOfTheGatewayOutlastsWhoWaitedOnlyForAWhile(t *testing.T) {
	for name, requests := range map[string]int{"few failures": 1, "the breaker is open": 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }))
				r := s.start(s.config("r1"))
				expiring := s.requests("id", requests)
				for i := range expiring {
					expiring[i].ExpiresAt = time.Now().Add(time.Minute)
				}
				s.produce(0, nil, expiring...)
				time.Sleep(30 * time.Second)
				require.Contains(t, reasons(r.Health().Holds, holdGateway), "the gateway is in trouble")
				time.Sleep(time.Minute)
				require.Len(t, on(s.topics.Failed, s.allEnds()), requests)
				for range 10 {
					time.Sleep(troubleLasts / 2)
					require.Len(t, r.Health().Holds, 1)
					soon := s.request("now and then")
					soon.ExpiresAt = time.Now().Add(10 * time.Second)
					s.produce(0, nil, soon)
				}
				time.Sleep(troubleLasts + 12*time.Second)
				require.Empty(t, r.Health().Holds, "nobody waits")
				s.produce(0, nil, s.request("next"))
				time.Sleep(3 * time.Second)
				require.Contains(t, reasons(r.Health().Holds, holdGateway), "the gateway is in trouble", "it was not forgotten")
				require.NoError(t, r.stopped())
			})
		})
	}
}

func TestRefusedAppStopsAllCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var granting, refusing atomic.Int64
		gateway := &switched{}
		gateway.to(func(r *http.Request) (*http.Response, error) { refusing.Add(1); return platform(27, "")(r) })
		s := newShop(t, 2, gateway)
		r := s.start(s.config("r1"))
		s.spread("id", 200, 2)
		time.Sleep(10 * time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdApp), "gateway.session_file")
		require.Less(t, refusing.Load(), int64(100), "a probe now and then")
		require.Empty(t, s.allEnds())
		gateway.to(takes(10*time.Millisecond, &granting))
		onceEach(t, 200, s.settled(200))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func TestBanIsObeyedToTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var times []time.Time
		banned := false
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now())
			if !banned {
				banned = true
				return platform(7, `,"sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 71 more seconds"`)(r)
			}
			return granted(1), nil
		}))
		cfg := s.config("r1")
		cfg.MaxInFlight = 1
		r := s.start(cfg)
		s.spread("id", 5, 1)
		time.Sleep(30 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdGateway), "limits our calls until")
		onceEach(t, 5, s.settled(5))
		require.Len(t, times, 6)
		require.GreaterOrEqual(t, times[1].Sub(times[0]), 71*time.Second)
		require.Less(t, times[1].Sub(times[0]), 73*time.Second)
		require.NoError(t, r.stopped())
	})
}

func TestBanSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		gateway := &switched{}
		gateway.to(platform(7, `,"sub_msg":"This ban will last for 600 more seconds"`))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.spread("id", 5, 1)
		time.Sleep(30 * time.Second)
		r.killed()
		gateway.to(takes(0, &calls))
		second := s.start(s.config("r1"))
		time.Sleep(9 * time.Minute)
		require.Zero(t, calls.Load(), "the ban is not over")
		onceEach(t, 5, s.settled(5))
		require.NoError(t, second.stopped())
	})
}

func TestSystemExceptionIsParkedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		gateway := &switched{}
		gateway.to(func(*http.Request) (*http.Response, error) { calls.Add(1); return refused("-9999"), nil })
		s := newShop(t, 1, gateway)
		cfg := s.config("r1")
		r := s.start(cfg)
		s.produce(0, []byte("key"), s.request("id"))
		ends := s.settled(1)
		require.Equal(t, s.topics.Retry, ends[0].Topic)
		require.Equal(t, []byte("key"), ends[0].Key)
		require.EqualValues(t, cfg.Retry.DoubtfulAttempts, calls.Load())
		var granting atomic.Int64
		gateway.to(takes(0, &granting))
		outcomes := on(s.topics.Granted, s.settled(2))
		require.Len(t, outcomes, 1)
		require.Equal(t, s.topics.Store+"/0/0", headerText(outcomes[0], headerSource), "the outcome answers the original record")
		outcome, err := s.codec.DecodeOutcome(outcomes[0].Value)
		require.NoError(t, err)
		require.Equal(t, "id", outcome.(*schemas.Granted).RequestID)
		require.NoError(t, r.stopped())
	})
}

func TestHangingRequestIsParkedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			if outID(r) == "hangs" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return granted(1), nil
		}))
		cfg := s.config("r1")
		r := s.start(cfg)
		s.produce(0, []byte("key"), s.request("hangs"), s.request("behind"))
		began := time.Now()
		for len(on(s.topics.Retry, s.allEnds())) == 0 {
			s.produce(0, nil, s.request(fmt.Sprint("other-", time.Since(began))))
			time.Sleep(time.Second)
			require.Less(t, time.Since(began), cfg.Retry.ParkAfter+3*cfg.CallTimeout)
		}
		time.Sleep(5 * time.Second)
		require.Equal(t, "true", headerText(on(s.topics.Retry, s.allEnds())[0], headerInDoubt))
		ended := ids(s.allEnds())
		require.Equal(t, 1, ended[s.topics.Store+"/0/1"], "the lane goes on")
		require.NoError(t, r.stopped())
	})
}

func TestLaneIsCalledInOrderOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		inFlight := 0
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			order = append(order, outID(r))
			inFlight++
			overlapping := inFlight > 1
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			inFlight--
			mu.Unlock()
			if overlapping {
				return status(400)(r)
			}
			return granted(1), nil
		}))
		r := s.start(s.config("r1"))
		s.produce(0, []byte("one key"), s.requests("id", 30)...)
		onceEach(t, 30, s.settled(30))
		want := make([]string, 30)
		for i := range want {
			want[i] = fmt.Sprint("id-", i)
		}
		require.Equal(t, want, order)
		require.NoError(t, r.stopped())
	})
}

func TestFullWindowPausesItsPartitionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(outID(r), "stuck") {
				return refused("-9999"), nil
			}
			return granted(1), nil
		})
		s := newShop(t, 2, gateway)
		cfg := s.config("r1")
		cfg.WindowRecords = 50
		cfg.Retry.MinBackoff, cfg.Retry.MaxBackoff = 3*time.Minute, 3*time.Minute
		r := s.start(cfg)
		for i, request := range s.requests("stuck", 300) {
			s.produce(0, fmt.Append(nil, i), request)
		}
		s.produce(1, nil, s.requests("free", 200)...)
		granted := 0
		for range 60 {
			time.Sleep(time.Second)
			if granted = len(s.allEnds()); granted == 200 {
				break
			}
		}
		require.Equal(t, 200, granted, "the other partition is not held up")
		require.LessOrEqual(t, testutil.ToFloat64(r.metrics.unfinished), float64(50+pollRecords))
		var calls atomic.Int64
		gateway.to(takes(time.Millisecond, &calls))
		time.Sleep(10 * time.Minute)
		onceEach(t, 500, on(s.topics.Granted, s.settled(500)))
		require.NoError(t, r.stopped())
	})
}

// What is looked at before a session takes a dozen answers. Brokers that are slow to give
// each are no reason to begin anew for ever, nor to exit where a transaction may not take
// long.
func TestSlowBrokersAreWaitedForAtTheStart(t *testing.T) {
	for _, row := range []struct {
		takes, transaction time.Duration
		begins             bool // else they take longer for the transactional id than is waited, or not, as it comes
	}{
		{1500 * time.Millisecond, DefaultConfig().TransactionTimeout, true},
		{2200 * time.Millisecond, 4 * time.Second, false},
	} {
		t.Run(row.takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, always(grantsAlways))
				cfg := s.config("r1")
				cfg.TransactionTimeout = row.transaction
				r := s.start(cfg, func(l *line) {
					l.answer = func(kmsg.Key, []byte) bool {
						time.Sleep(row.takes)
						return true
					}
				})
				ready := false
				for range 180 {
					time.Sleep(time.Second)
					require.True(t, r.Health().Live)
					ready = ready || r.Health().Ready()
				}
				require.True(t, ready || !row.begins)
				require.NoError(t, r.stopped())
				time.Sleep(time.Minute) // by then the last slow answers have come
			})
		})
	}
}

func TestBrokersGoneIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(10*time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		s.spread("before", 10, 2)
		s.settled(10)
		r.line.cut()
		s.spread("during", 10, 2)
		require.LessOrEqual(t, r.until(func() bool { return strings.Contains(reasons(r.Health().Holds, holdKafka), "no broker answers") }), 5*time.Second)
		time.Sleep(5 * time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdKafka), "no broker")
		for _, g := range []prometheus.Gauge{r.metrics.inFlight, r.metrics.unfinished, r.metrics.windowBytes, r.metrics.partitions} {
			require.Zero(t, testutil.ToFloat64(g), "of a session that is over")
		}
		r.line.mend()
		require.LessOrEqual(t, r.until(func() bool { return r.Health().Ready() }), 5*time.Second)
		onceEach(t, 20, s.settled(20))
		time.Sleep(10 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

// until waits until it is so, and returns how long that was.
func (r *replica) until(so func() bool) time.Duration {
	began := time.Now()
	for !so() && time.Since(began) < time.Hour {
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// An outage lasts longer than the gateway remembers an out_id. Who was called before it is
// left to a person, and who was not is granted when it ends.
func TestOutageBeyondTheWindowLeavesWhoIsInDoubtToAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := &switched{}
		gateway.to(status(http.StatusServiceUnavailable))
		s := newShop(t, 1, gateway)
		cfg := s.config("r1")
		cfg.IdempotencyWindow = time.Hour
		r := s.start(cfg)
		s.produce(0, nil, s.requests("called", 20)...)
		time.Sleep(55 * time.Minute)
		s.produce(0, nil, s.requests("waits", 20)...)
		require.Empty(t, s.allEnds())
		time.Sleep(10 * time.Minute)
		letters := s.allEnds()
		require.Len(t, on(s.topics.DeadLetter, letters), 20)
		require.Len(t, letters, 20)
		for _, letter := range letters {
			require.Equal(t, "grant-unknown", headerText(letter, headerReason))
		}
		gateway.to(grantsAlways)
		require.Len(t, on(s.topics.Granted, s.settled(40)), 20)
		require.NoError(t, r.stopped())
	})
}

// The brokers go in the middle of a transaction and are back before the group has
// missed the member. The session is built anew, and need not wait for itself.
func TestBrokersGoneForAMomentHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 2, takes(10*time.Millisecond, &calls))
		cfg := s.config("r1")
		cfg.SessionTimeout = 45 * time.Second
		var struck atomic.Bool
		gone := make(chan struct{})
		r := s.start(cfg, func(l *line) {
			l.answer = func(key kmsg.Key, _ []byte) bool {
				if key != kmsg.EndTxn || !struck.Swap(false) {
					return true
				}
				l.cut()
				close(gone)
				return false
			}
		})
		s.spread("before", 10, 2)
		s.settled(10)
		struck.Store(true)
		s.spread("during", 10, 2)
		<-gone
		time.Sleep(3 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdKafka), "no broker")
		r.line.mend()
		require.LessOrEqual(t, r.until(func() bool { return r.Health().Ready() }), 5*time.Second)
		onceEach(t, 20, s.settled(20))
		require.NoError(t, r.stopped())
	})
}

func TestMissingTopicsAreAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(10*time.Millisecond, &calls))
		require.NoError(t, s.kafka.DeleteTopic(s.topics.Granted))
		r := s.start(s.config("r1"))
		s.spread("id", 5, 1)
		time.Sleep(10 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdTopic), s.topics.Granted+" missing: run `coupongrant topics create`")
		require.NoError(t, s.kafka.CreateTopic(s.topics.Granted, 1, nil))
		onceEach(t, 5, s.settled(5))
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func TestForeignOffsetsAreAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(10*time.Millisecond, &calls))
		s.spread("id", 5, 1)
		s.commit(partition{s.topics.Store, 0}, 2, "kgo-1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
		r := s.start(s.config("r1"))
		time.Sleep(30 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdMetadata), "--accept-foreign-offsets")
		require.Zero(t, calls.Load())
		require.NoError(t, r.stopped())

		cfg := s.config("r1")
		cfg.AcceptForeignOffsets = true
		second := s.start(cfg)
		onceEach(t, 3, s.settled(3))
		require.NoError(t, second.stopped())
	})
}

func TestLostInputIsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(10*time.Millisecond, &calls))
		s.spread("id", 10, 1)
		s.commit(partition{s.topics.Store, 0}, 2, "")
		require.NoError(t, s.kafka.DeleteRecords(s.topics.Store, 0, 6))
		r := s.start(s.config("r1"))
		time.Sleep(30 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdLostInput), "offsets 2 to 5 were deleted before all in them had ended")
		require.Zero(t, calls.Load())
		require.NoError(t, r.stopped())

		cfg := s.config("r1")
		cfg.AcceptLostInput = true
		second := s.start(cfg)
		onceEach(t, 4, s.settled(4))
		require.NoError(t, second.stopped())
	})
}

func TestRegistryDownHoldsOnlyWhatNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(10*time.Millisecond, &calls))
		registry := &switched{}
		up := s.registry
		registry.to(up.RoundTrip)
		s.registry = registry
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("before"))
		s.settled(1)
		registry.to(status(http.StatusInternalServerError))
		s.produceRaw(0, append([]byte{0, 0, 0, 0x77, 0x77, 2 * 6}, "unread"...))
		s.produce(0, nil, s.request("after"))
		s.settled(2)
		time.Sleep(time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdRegistry), "check registry.url")
		found := r.Find("unread")
		require.Len(t, found, 1)
		require.Contains(t, found[0].Why, "it waits for schema 30583 from the registry: ")
		registry.to(up.RoundTrip)
		letters := on(s.topics.DeadLetter, s.settled(3))
		require.Len(t, letters, 1)
		require.Equal(t, "unknown-schema", headerText(letters[0], headerReason))
		time.Sleep(5 * time.Second)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}

func TestBadRecordsEndAsDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(10*time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		bad := [][]byte{nil, {}, {0, 0}, {1, 0, 0, 0, 1, 2}, []byte("not avro at all")}
		for i, value := range bad {
			s.produceRaw(0, value)
			s.produce(0, nil, s.request(fmt.Sprint("good-", i)))
		}
		invalid := s.request("")
		s.produce(0, nil, invalid)
		ends := s.settled(11)
		onceEach(t, 11, ends)
		require.Len(t, on(s.topics.DeadLetter, ends), 6)
		require.EqualValues(t, 5, calls.Load())
		require.NoError(t, r.stopped())
	})
}

func TestExpiredRequestFailsWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		gateway := &switched{}
		gateway.to(status(503))
		s := newShop(t, 1, gateway)
		r := s.start(s.config("r1"))
		s.spread("warm", 30, 1)
		time.Sleep(time.Minute) // the breaker is open
		gateway.to(takes(0, &calls))
		request := s.request("late")
		request.ExpiresAt = request.OccurredAt.Add(-time.Second)
		s.produce(0, nil, request)
		failed := on(s.topics.Failed, s.settled(31))
		require.Len(t, failed, 1)
		outcome, err := s.codec.DecodeOutcome(failed[0].Value)
		require.NoError(t, err)
		require.Equal(t, schemas.ReasonExpired, outcome.(*schemas.Failed).Reason)
		require.NoError(t, r.stopped())
	})
}

func TestNewCredentialsAreTriedAtOnce(t *testing.T) {
	g := gate{guard: new(guard)}
	g.pause(&topclient.Error{About: topclient.AboutApp, Code: "25"}, time.Now(), time.Now().Add(time.Hour), newHolds(discard, func(string, int) {}))
	_, ok := g.open(time.Now(), 0)
	require.False(t, ok)
	g.credentialsChanged(time.Now())
	_, ok = g.open(time.Now(), 0)
	require.True(t, ok)
}
