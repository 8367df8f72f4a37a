//go:build synctests

package processor

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a person puts back says in its headers whether it is in doubt, and since
// when. The gateway refuses everybody here, as it does those who have the coupon.
func TestReplaysAreAsMuchInDoubtAsTheySay(t *testing.T) {
	for name, row := range map[string]struct {
		since   time.Duration // ago is the first attempt; 0: not in doubt
		expired bool
		calls   int64
		ends    func(*shop) string // topic
	}{
		"not in doubt":               {0, false, 1, func(s *shop) string { return s.topics.Failed }},
		"not in doubt, and expired":  {0, true, 0, func(s *shop) string { return s.topics.Failed }},
		"in doubt":                   {time.Hour, false, 5, func(s *shop) string { return s.topics.Retry }},
		"in doubt, and expired":      {time.Hour, true, 5, func(s *shop) string { return s.topics.Retry }},
		"in doubt longer than is ok": {25 * time.Hour, false, 0, func(s *shop) string { return s.topics.DeadLetter }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				s := newShop(t, 1, always(func(*http.Request) (*http.Response, error) {
					calls.Add(1)
					return refused("-7"), nil
				}))
				request := s.request("id")
				if row.expired {
					request.ExpiresAt = request.OccurredAt.Add(time.Minute)
					time.Sleep(time.Hour)
				}
				value, err := s.codec.EncodeRequest(s.topics.Store, request)
				require.NoError(t, err)
				first := rfc3339(time.Now().Add(-row.since))
				headers := []kgo.RecordHeader{{Key: "coupongrant-replay-of", Value: []byte(s.topics.Store + "/0/7")}}
				if row.since > 0 {
					headers = append(headers,
						kgo.RecordHeader{Key: headerInDoubt, Value: []byte("true")}, kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(first)})
				}
				require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Store, Value: value, Headers: headers}).FirstErr())
				r := s.start(s.config("r1"))
				end := s.settled(1)[0]
				require.Equal(t, row.ends(s), end.Topic)
				require.Equal(t, row.calls, calls.Load())
				if row.since > 0 {
					require.Equal(t, "true", headerText(end, headerInDoubt))
					require.Equal(t, first, headerText(end, headerFirstAttempt), "doubt is as old as it was")
				}
				require.NoError(t, r.stopped())
			})
		})
	}
}
