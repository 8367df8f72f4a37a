package topclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Calls end at every moment between dialling and the answer. One that says it was
// not sent must never arrive, or a coupon would be granted that nobody expects.
func TestNotSentNeverArrives(t *testing.T) {
	for name, transport := range map[string]http.RoundTripper{"own transport": nil, "handed in": &http.Transport{}} {
		t.Run(name, func(t *testing.T) {
			var arrived sync.Map
			gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
				form, err := bodyForm(r)
				if err != nil {
					return // cut short: it grants nothing
				}
				arrived.Store(form.Get(dtoParameter), true)
				say(http.StatusOK, grantedJSON)(w, r)
			})
			c, err := New(Config{URL: gw.URL, Timeout: 10 * time.Second}, transport)
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)
			unsent := callsCutShort(t, c, 1500)
			gw.Close() // waits for what is being served
			require.NotEmpty(t, unsent, "no call ended before it was sent")
			require.Less(t, len(unsent), 1500, "no call was sent")
			for _, dto := range unsent {
				require.NotContains(t, mapOf(&arrived), dto)
			}
		})
	}
}

func bodyForm(r *http.Request) (url.Values, error) {
	err := r.ParseForm()
	return r.PostForm, err
}

func mapOf(m *sync.Map) map[string]bool {
	all := map[string]bool{}
	m.Range(func(key, _ any) bool {
		all[key.(string)] = true
		return true
	})
	return all
}

// callsCutShort makes calls that each have 0 to 128 ms, and gives the contents
// of those that say that they were not sent.
func callsCutShort(t *testing.T, c *Client, calls int) (unsent []string) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range calls {
		g := testGrant
		g.OutID = fmt.Sprintf("out-%d", i)
		patience := time.Duration(rng.Int64N(int64(time.Millisecond))) << (i % 8) // on slow machines too, some are sent
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, e := c.send(ctx, testCred, g)
			if e == nil || e.Sent {
				return
			}
			dto, _ := encodeDTO(g)
			mu.Lock()
			defer mu.Unlock()
			unsent = append(unsent, dto)
		})
		if i%64 == 63 {
			wg.Wait()
		}
	}
	wg.Wait()
	return unsent
}
