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

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// conflict is two requests with one id, for two members.
func (s *shop) conflict() (q, other schemas.Request) {
	q = s.request("id")
	other = q
	other.OpenID = schemas.NewOpenID("somebody else")
	return q, other
}

// requireConflict wants one dead letter among the ends, of this source and for its id.
func (s *shop) requireConflict(source string, ends []*kgo.Record) {
	s.t.Helper()
	letters := on(s.topics.DeadLetter, ends)
	require.Len(s.t, letters, 1)
	require.Equal(s.t, source, headerText(letters[0], headerSource))
	require.Equal(s.t, string(schemas.ConflictingRequest), headerText(letters[0], headerReason))
}

// A request_id that is used again for another coupon: whoever was first is granted,
// the other becomes a dead letter without a call, and a repeat of the first one is
// granted as before.
func TestConflictingRequestIsADeadLetterAndNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		r := s.start(s.config("r1"))
		first := s.requests("id", 1)[0]
		other := first
		other.CouponCode += "x"

		s.produce(0, []byte("a"), first)
		s.produce(0, []byte("b"), other, first)
		results := s.settled(3)

		require.Len(t, on(s.topics.Granted, results), 2)
		letters := on(s.topics.DeadLetter, results)
		require.Len(t, letters, 1)
		require.Equal(t, string(schemas.ConflictingRequest), headerText(letters[0], headerReason))
		require.NotContains(t, headerText(letters[0], headerError), other.OpenID.Reveal())
		require.EqualValues(t, 2, calls.Load())
		trails := r.Find(first.RequestID)
		require.Len(t, trails, 3, "all that bear the id are shown")
		invalid := first
		invalid.RequestID, invalid.Channel = "without-a-channel", ""
		s.produce(0, []byte("c"), invalid)
		s.settled(4)
		require.Equal(t, "without-a-channel", r.DeadLetters(1)[0].RequestID, "what is no request has its name all the same")
		require.NoError(t, r.stopped())
	})
}

// The first was granted by another replica, and what it asked for is read back.
func TestConflictWithWhatAnotherEndedIsADeadLetterAndNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &calls))
		q, other := s.conflict()
		s.produce(0, nil, q)
		first := s.start(s.config("r1"))
		s.settled(1)
		require.NoError(t, first.stopped())
		time.Sleep(time.Second)
		s.produce(0, nil, other, q)
		second := s.start(s.config("r2"))

		results := s.settled(3)
		require.Len(t, on(s.topics.Granted, results), 2)
		s.requireConflict(s.topics.Store+"/0/1", results)
		require.EqualValues(t, 2, calls.Load())
		require.NoError(t, second.stopped())
	})
}

// The first of two had not been called yet when the replica died that had refused the second.
func TestFirstOfAConflictIsCalledThoughTheSecondHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		q, other := s.conflict()
		s.produce(0, nil, q, other)
		m := metadata{position: position{finished: []int64{1}, leaderEpoch: -1}, nonce: newNonce()}
		s.commit(partition{s.topics.Store, 0}, 0, m.encode())
		r := s.start(s.config("r1"))

		ends := s.settled(1)
		require.Len(t, on(s.topics.Granted, ends), 1)
		require.Equal(t, s.topics.Store+"/0/0", headerText(ends[0], headerSource))
		require.Contains(t, r.log.String(), "asked_before=1", "the second was read back")
		require.NoError(t, r.stopped())
	})
}

// The first of two was parked uncalled by another replica, and this one has called the second
// meanwhile: the gateway would answer with the second's coupon.
func TestParkedRequestThatConflictsWithOneThatWasCalledIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		q, other := s.conflict()
		r := s.start(s.config("r1"))
		s.produce(0, nil, other)
		require.Len(t, on(s.topics.Granted, s.settled(1)), 1)
		require.NoError(t, s.client.ProduceSync(t.Context(), s.parked(0, q, s.topics.Loyalty+"/0/0")).FirstErr())
		s.requireConflict(s.topics.Loyalty+"/0/0", s.settled(3))
		require.Equal(t, 1, gateway.of("id"))
		require.NoError(t, r.stopped())
	})
}

// What is read back of a parked request is as old as its first call, and not as its record:
// what was written in between is the later of the two.
func TestConflictWithWhatWasParkedIsADeadLetterThoughItsRecordIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		q, other := s.conflict()
		called := time.Now()
		time.Sleep(time.Second)
		s.produce(0, nil, other)
		time.Sleep(time.Second)
		require.NoError(t, s.client.ProduceSync(t.Context(), s.parked(0, q, s.topics.Loyalty+"/0/0",
			kgo.RecordHeader{Key: headerAttempts, Value: []byte("1")},
			kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(rfc3339(called))})).FirstErr())
		m := freshAt(1)
		m.nonce = newNonce()
		s.commit(partition{s.topics.Retry, 0}, 1, m.encode())
		r := s.start(s.config("r1"))
		s.requireConflict(s.topics.Store+"/0/0", s.settled(2))
		require.Zero(t, gateway.total())
		require.NoError(t, r.stopped())
	})
}

// What another replica asked for with an id is not known here, but Tmall may say so.
func TestRequestThatIsRefusedForItsIDIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
			body := `{"error_response":{"code":41,"msg":"Invalid arguments:out_id","request_id":"r"}}`
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		}))
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("id"))
		letters := on(s.topics.DeadLetter, s.settled(1))
		require.Len(t, letters, 1)
		require.Equal(t, string(schemas.ConflictingRequest), headerText(letters[0], headerReason))
		require.Contains(t, headerText(letters[0], headerError), "another request has used it")
		require.NoError(t, r.stopped())
	})
}

// A gateway that grants a repeat anew: each is granted, as Tmall said, and somebody is told.
func TestSecondCouponOfARequestIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var coupons atomic.Int64
		s := newShop(t, 1, takes(time.Millisecond, &coupons))
		r := s.start(s.config("r1"))
		q := s.request("id")
		s.produce(0, nil, q)
		s.settled(1)
		require.Zero(t, testutil.ToFloat64(r.metrics.grantedTwice))
		s.produce(0, nil, q)
		s.settled(2)
		require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.grantedTwice))
		require.Contains(t, r.log.String(), "request_id=id record="+s.topics.Store+"/0/1 coupon_before=1 coupon=2")
		require.NoError(t, r.stopped())
	})
}

// What may have been called is not judged by its id: what became of that call has to
// be found out.
func TestConflictInDoubtIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		first := s.requests("id", 1)[0]
		other := first
		other.CouponCode += "x"
		s.produce(0, nil, first, other)
		m := metadata{position: position{watermark: 0, ceiling: 2, leaderEpoch: -1}, nonce: newNonce()}
		s.commit(partition{s.topics.Store, 0}, 0, m.encode())
		r := s.start(s.config("r1"))

		require.Len(t, on(s.topics.Granted, s.settled(2)), 2)
		require.NoError(t, r.stopped())
	})
}
