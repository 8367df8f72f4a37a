//go:build synctests

package processor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// parameterRefused is what Tmall says to everybody when what we send has become
// wrong.
const parameterRefused = "isv.invalid-parameter:uuid"

// A change at Tmall, or in this program, makes every request wrong: calls stop, a
// hold says so, and nobody fails any more; not in ten minutes, not when the session
// is built anew. When it is mended all goes on. The control is the same with the
// guard told to let it be: all fail.
func TestMassRefusalsStopAllCallsAndFailNobody(t *testing.T) {
	for name, accepted := range map[string]bool{"guarded": false, "control: accepted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { massRefusals(t, accepted) })
		})
	}
}

func massRefusals(t *testing.T, accepted bool) {
	const before, during = 150, 600
	var calls atomic.Int64
	gateway := &switched{}
	gateway.to(takes(10*time.Millisecond, new(atomic.Int64)))
	s := newShop(t, 2, gateway)
	cfg := s.config("r1")
	cfg.AcceptRefusals, cfg.MaxInFlight = accepted, 16
	r := s.start(cfg)
	s.spread("good", before, 2)
	s.settled(before)

	gateway.to(func(*http.Request) (*http.Response, error) {
		calls.Add(1)
		time.Sleep(10 * time.Millisecond)
		return refused(parameterRefused), nil
	})
	for i := range during {
		s.produce(int32(i%2), nil, s.request(fmt.Sprint("id-", i)))
	}
	time.Sleep(5 * time.Second)
	if accepted {
		require.Len(t, on(s.topics.Failed, s.settled(before+during)), during, "the test must see those who fail")
		require.NoError(t, r.stopped())
		return
	}
	require.Contains(t, reasons(r.Health().Holds, holdApp), "answers refuse what we send as wrong, the last with code 15 ("+parameterRefused+")")
	require.InDelta(t, 1, testutil.ToFloat64(r.metrics.trouble.WithLabelValues(troubleRefusals)), 0)
	failed := len(on(s.topics.Failed, s.allEnds()))
	require.Equal(t, guardShuts, failed, "with an answer too many nobody fails, nor with those in flight then")

	called := calls.Load()
	time.Sleep(10 * time.Minute)
	require.LessOrEqual(t, calls.Load()-called, int64(10*time.Minute/probeApp)+1)
	require.NoError(t, r.stopped()) // and the same Processor builds another session
	ctx, cancel := context.WithCancel(t.Context())
	r.stop, r.done = cancel, make(chan error, 1)
	go func() { r.done <- r.Run(ctx) }()
	time.Sleep(10 * time.Minute)
	require.Contains(t, reasons(r.Health().Holds, holdApp), "refuse what we send as wrong")
	require.Len(t, on(s.topics.Failed, s.allEnds()), failed)

	gateway.to(takes(10*time.Millisecond, new(atomic.Int64)))
	ends := s.settled(before + during)
	onceEach(t, before+during, ends)
	require.Len(t, on(s.topics.Failed, ends), failed)
	require.Len(t, on(s.topics.Granted, ends), before+during-failed)
	require.Empty(t, r.Health().Holds)
	require.Zero(t, testutil.ToFloat64(r.metrics.trouble.WithLabelValues(troubleRefusals)))
	require.NoError(t, r.stopped())
}

// What is wrong for two thirds of the requests, by turns or for good, does not
// fail some more of them each time that a probe is answered well.
func TestGuardDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		good := 0
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			if strings.HasPrefix(outID(r), "good") {
				mu.Lock()
				defer mu.Unlock()
				good++
				return granted(1), nil
			}
			return refused(parameterRefused), nil
		}))
		cfg := s.config("r1")
		cfg.MaxInFlight = 8
		r := s.start(cfg)
		send := func(n int) {
			for i := range n {
				name := "bad"
				if i%3 == 0 {
					name = "good"
				}
				s.produce(0, nil, s.request(fmt.Sprint(name, "-", time.Now().UnixNano(), "-", i)))
			}
		}
		send(300)
		time.Sleep(time.Minute)
		failed := len(on(s.topics.Failed, s.allEnds()))
		require.LessOrEqual(t, failed, guardAnswers)
		for range 60 {
			send(3)
			time.Sleep(time.Minute)
		}
		require.Len(t, on(s.topics.Failed, s.allEnds()), failed, "an hour of probes, and nobody fails")
		require.Greater(t, good, guardAnswers/2, "who is right is granted on the way")
		require.Contains(t, reasons(r.Health().Holds, holdApp), "refuse what we send as wrong")
		require.NoError(t, r.stopped())
	})
}

// A member's limit is Tmall's business, and ours to tell: a day on which everybody
// has all coupons already stops nothing.
func TestBusinessRefusalsStopNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(func(*http.Request) (*http.Response, error) { return refused("isv.-7"), nil }))
		r := s.start(s.config("r1"))
		s.spread("id", 400, 2)
		require.Len(t, on(s.topics.Failed, s.settled(400)), 400)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
	})
}
