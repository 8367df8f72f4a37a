//go:build synctests

package processor

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// losesFirst is a gateway that grants the first call and never answers it, and
// answers every repeat with repeat.
func losesFirst(granting chan<- struct{}, calls *atomic.Int64, repeat func() *http.Response) always {
	return func(r *http.Request) (*http.Response, error) {
		if calls.Add(1) == 1 {
			close(granting)
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return repeat(), nil
	}
}

func refused(business string) *http.Response {
	body := `{"error_response":{"code":15,"msg":"Remote service error","sub_code":"` + business + `","request_id":"r"}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// crashAfterGrant lets a replica be killed between a grant and its commit, and
// starts a successor after the request has expired.
func crashAfterGrant(t *testing.T, repeat func() *http.Response) (*shop, *replica) {
	t.Helper()
	var calls atomic.Int64
	granting := make(chan struct{})
	s := newShop(t, 1, losesFirst(granting, &calls, repeat))
	request := s.request("id")
	request.ExpiresAt = request.OccurredAt.Add(time.Minute)
	first := s.start(s.config("r1"))
	s.produce(0, nil, request)
	<-granting
	first.killed()
	time.Sleep(2 * time.Minute)
	cfg := s.config("r1")
	cfg.Retry.Delay, cfg.Retry.GiveUpAfter = time.Minute, 5*time.Minute
	return s, s.start(cfg)
}

func TestAnswerThatNobodyKnowsIsLoggedInTmallsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
			if calls.Add(1) == 1 {
				return refused("F00-00-10020-002"), nil
			}
			return granted(7), nil
		}))
		r := s.start(s.config("r1"))
		q := s.request("id")
		s.produce(0, nil, q)
		onceEach(t, 1, s.settled(1))
		log := r.log.String()
		require.Contains(t, log, "request_id=id record="+s.topics.Store+"/0/0 answer=")
		require.Contains(t, log, "15 (F00-00-10020-002): Remote service error [request_id r]; may have granted")
		require.NotContains(t, log, q.OpenID.Reveal())
		require.NoError(t, r.stopped())
	})
}

// A name of ours that the gateway cannot read is no outage of it: the hold tells which
// word it was.
func TestHoldOfAGatewayInTroubleNamesItsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) { return refused("isp.top-mapping-parse-error"), nil }))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("id"))
		time.Sleep(time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdGateway), "the last with 15 (isp.top-mapping-parse-error)")
		require.NoError(t, r.stopped())
	})
}

func TestDoubtSurvivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, second := crashAfterGrant(t, func() *http.Response { return granted(7) })
		ends := s.settled(1)
		onceEach(t, 1, ends)
		require.Equal(t, s.topics.Granted, ends[0].Topic, "it was granted before it expired")
		require.NoError(t, second.stopped())
	})
}

func TestRefusalInDoubtIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, second := crashAfterGrant(t, func() *http.Response { return refused("-7") })
		ends := s.settled(1)
		require.Equal(t, s.topics.Retry, ends[0].Topic, "the limit may be reached by the very coupon that was granted")
		require.Equal(t, "true", headerText(ends[0], headerInDoubt))
		require.NoError(t, second.stopped())
	})
}

func TestRefusalInDoubtIsGivenUpAsGrantUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, second := crashAfterGrant(t, func() *http.Response { return refused("-7") })
		s.goOn(15 * time.Minute) // others are refused at once, which is an answer
		require.NoError(t, second.stopped())
		var outcomes []*kgo.Record
		for _, r := range s.allEnds() {
			if r.Topic != s.topics.Retry && headerText(r, headerSource) == s.topics.Store+"/0/0" {
				outcomes = append(outcomes, r)
			}
		}
		require.Len(t, outcomes, 1)
		require.Equal(t, s.topics.DeadLetter, outcomes[0].Topic)
		require.Equal(t, "grant-unknown", headerText(outcomes[0], headerReason))
		require.Equal(t, s.topics.Store+"/0/0", headerText(outcomes[0], headerSource))
	})
}

func TestFirstRefusalFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) { return refused("-7"), nil }))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("id"))
		ends := s.settled(1)
		require.Equal(t, s.topics.Failed, ends[0].Topic)
		require.NoError(t, r.stopped())
	})
}
