//go:build synctests

package processor

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An app that is refused, or banned, is no more called because a session was built
// anew: what the one before knew is gone on with, a hold says so, and there is one
// call now and then.
func TestTroubleOfTheAppOutlivesTheSession(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		hold   string
		says   string
		most   int64 // calls of half a minute
	}{
		"session expired": {`{"error_response":{"code":27,"msg":"Invalid Session","sub_code":"session-expired"}}`, holdApp, "authorise again", 1},
		"ban":             {`{"error_response":{"code":7,"msg":"App Call Limited","sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 600 more seconds"}}`, holdGateway, "limits our calls", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const requests = 50
				var calls atomic.Int64
				s := newShop(t, 2, always(func(*http.Request) (*http.Response, error) {
					calls.Add(1)
					time.Sleep(10 * time.Millisecond)
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(row.answer))}, nil
				}))
				r := s.start(s.config("r1"))
				s.spread("id", requests, 2)
				time.Sleep(5 * time.Second)
				require.Contains(t, reasons(r.Health().Holds, row.hold), row.says)

				require.NoError(t, r.stopped()) // and the same Processor builds another session
				called := calls.Load()
				ctx, cancel := context.WithCancel(t.Context())
				r.stop, r.done = cancel, make(chan error, 1)
				go func() { r.done <- r.Run(ctx) }()
				time.Sleep(probeApp - time.Second)

				require.Contains(t, reasons(r.Health().Holds, row.hold), row.says)
				require.LessOrEqual(t, calls.Load()-called, row.most)
				require.NoError(t, r.stopped())
			})
		})
	}
}
