package topclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process that has these variables makes calls and says what they cost it.
const (
	callVariable  = "TOPCLIENT_MEASURE_CALLS_TO"
	callsVariable = "TOPCLIENT_MEASURE_CALLS_AT_ONCE"
)

// memory of a process. Obtained only grows: it is the peak so far, of the heap
// and of everything else that the runtime keeps.
type memory struct {
	Codes     map[string]int // of the errors
	Before    uint64         // obtained from the system before the calls, bytes
	After     uint64         // and after them
	Allocated uint64         // by the calls together, collected or not
}

// measureCalls is the caller of TestCapsBoundMemory, in a process of its own, so
// that neither the server's memory nor other tests' is counted.
func measureCalls() bool {
	target := os.Getenv(callVariable)
	if target == "" {
		return false
	}
	atOnce, _ := strconv.Atoi(os.Getenv(callsVariable))
	client, err := New(Config{URL: target}, nil)
	if err != nil {
		panic(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := memory{Codes: callAtOnce(client, atOnce), Before: before.Sys}
	runtime.ReadMemStats(&after)
	m.After, m.Allocated = after.Sys, after.TotalAlloc-before.TotalAlloc
	_ = json.NewEncoder(os.Stdout).Encode(m)
	return true
}

func callAtOnce(client *Client, calls int) map[string]int {
	var (
		mu    sync.Mutex
		codes = map[string]int{}
		wg    sync.WaitGroup
	)
	for range calls {
		wg.Go(func() {
			_, e := client.send(context.Background(), testCred, testGrant)
			mu.Lock()
			defer mu.Unlock()
			if e == nil {
				codes["granted"]++
				return
			}
			codes[e.Code+" "+e.Message]++
		})
	}
	wg.Wait()
	return codes
}

// What is kept of an answer is kept for hours: a text of it must not keep the rest.
func TestAnswersDoNotHoldOnToTheirBodies(t *testing.T) {
	padding := strings.Repeat(" ", 60<<10)
	for name, body := range map[string]string{
		"of a grant": strings.TrimSuffix(grantedJSON, "}") + padding + "}",
		"of an error": `{"error_response":{"code":15,"msg":"Remote service error","sub_code":"isp.busy","sub_msg":"come back","request_id":"1a2b"` +
			padding + `}}`,
		"of a refusal":              `{"tmall_nrt_coupon_send_response":{"code":"-7"` + padding + `}}`,
		"of a refusal, as sub-code": `{"error_response":{"code":15,"sub_code":"isv.-7"` + padding + `}}`,
		"of an error in Chinese":    `{"error_response":{"code":15,"msg":"` + strings.Repeat("满", maxMessage) + `","sub_code":"isv.满","request_id":"满"` + padding + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var r bodyReader
			kept := make([]any, 0, 1000)
			held := func() uint64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			before := held()
			for range 1000 {
				rep, err := r.newReply(&http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))})
				require.NoError(t, err)
				coupon, refused := rep.outcome(newScrubber(testCred, testGrant, ""))
				kept = append(kept, coupon, refused)
			}
			require.Less(t, held(), before+4<<20, "60 MiB were read")
			runtime.KeepAlive(kept)
		})
	}
}

func callsInAProcess(t *testing.T, target string, atOnce int) memory {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), callVariable+"="+target, callsVariable+"="+strconv.Itoa(atOnce))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var m memory
	require.NoError(t, json.Unmarshal(out, &m))
	return m
}

// spaces writes so many bytes that stand around an envelope without meaning.
func spaces(w io.Writer, n int) {
	block := bytes.Repeat([]byte{' '}, 1<<20)
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block[:min(n, len(block))]); err != nil {
			return // the client has left
		}
	}
}

func packedSpaces(n int) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	spaces(z, n)
	_ = z.Close()
	return b.Bytes()
}

func sayPacked(packed []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed)
	}
}

// However large an answer is, a call takes a bounded part of it.
func TestCapsBoundMemory(t *testing.T) {
	const (
		tooLarge = "bad-body the answer is no envelope: larger than 65536 bytes"
		mb       = 1_000_000
		oneCall  = 1 * mb // of memory allocated, the connection's included
	)
	small, large := packedSpaces(16<<20), bytes.Repeat(packedSpaces(1<<20), 1<<10)
	require.Less(t, len(small), maxAnswerBytes, "or the bomb would not be unpacked")
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"ordinary", say(http.StatusOK, grantedJSON), "granted"},
		{fmt.Sprintf("gzip bomb: 16 MiB in %d bytes", len(small)), sayPacked(small), tooLarge},
		{fmt.Sprintf("gzip bomb: 1 GiB in %d bytes", len(large)), sayPacked(large), tooLarge},
		{"100 MB, declared", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(100*mb))
			spaces(w, 100*mb)
		}, tooLarge},
		{"100 MB, chunked", func(w http.ResponseWriter, _ *http.Request) { spaces(w, 100*mb) }, tooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gateway := newGateway(t, tt.answer)
			for _, atOnce := range []int{1, 64} {
				m := callsInAProcess(t, gateway.URL, atOnce)
				require.Equal(t, map[string]int{tt.want: atOnce}, m.Codes)
				require.Less(t, m.Allocated, uint64(atOnce*oneCall))
				t.Logf("%d at once: allocated %.2f MB a call; the process's peak is %.1f MB, before the calls %.1f MB",
					atOnce, float64(m.Allocated)/mb/float64(atOnce), float64(m.After)/mb, float64(m.Before)/mb)
			}
		})
	}
}
