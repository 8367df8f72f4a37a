package topclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	serveVariable  = "TOPCLIENT_SERVE_BENCHMARKS"
	callsInFlight  = 256
	callsPerWorker = callsInFlight / 2 // SetParallelism multiplies by GOMAXPROCS, which the benchmarks set to 2
)

// serveBenchmarks makes this process the gateway of the benchmarks if it was
// started as one: in a process of its own, so that the CPU time measured is the
// caller's alone. It answers until its standard input ends.
func serveBenchmarks() bool {
	scheme := os.Getenv(serveVariable)
	if scheme == "" {
		return false
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/javascript;charset=UTF-8")
		_, _ = io.WriteString(w, grantedJSON)
	}))
	defer srv.Close()
	if scheme == "https" {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	_, _ = io.WriteString(os.Stdout, srv.URL+"\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return true
}

// startBenchmarkGateway gives the URL of a gateway in a process of its own.
func startBenchmarkGateway(b *testing.B, scheme string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+scheme)
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return strings.TrimSpace(address) + "/router/rest"
}

// trustTestServers makes a transport trust the certificate of every httptest
// server, in whichever process it is.
func trustTestServers(t *http.Transport) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	t.TLSClientConfig.RootCAs.AddCert(srv.Certificate())
}

// measure runs call 256 times at once and reports the CPU time of this process
// for each.
func measure(b *testing.B, call func() error) {
	b.Helper()
	warmUp(b, call)
	b.SetParallelism(callsPerWorker)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// warmUp opens the connections, as handshakes are no part of a call.
func warmUp(b *testing.B, call func() error) {
	var wg sync.WaitGroup
	for range callsInFlight {
		wg.Go(func() {
			for range 20 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend is the client. Compare its cpu-ns/op with BenchmarkBarePost.
func BenchmarkSend(b *testing.B) {
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) {
			c := newTestClient(b, startBenchmarkGateway(b, scheme), nil)
			trustTestServers(c.transport.(*http.Transport))
			ctx := context.Background()
			measure(b, func() error {
				_, err := c.Send(ctx, testCred, testGrant)
				return err
			})
		})
	}
}

// BenchmarkBarePost posts the same bytes by net/http, on a transport of the same
// settings, with the same timeout, and throws the answer away.
func BenchmarkBarePost(b *testing.B) {
	dto, refused := encodeDTO(testGrant)
	require.Nil(b, refused)
	body := newForm(SignHMACSHA256, testCred, dto, time.Now()).body
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) {
			target := startBenchmarkGateway(b, scheme)
			transport := newTransport(Config{URL: target}.withDefaults())
			transport.DisableCompression = false
			trustTestServers(transport)
			b.Cleanup(transport.CloseIdleConnections)
			hc := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			measure(b, func() error { return barePost(hc, target, body) })
		})
	}
}

func barePost(hc *http.Client, target string, body []byte) error {
	resp, err := hc.Post(target, "application/x-www-form-urlencoded;charset=UTF-8", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// BenchmarkSign is the part that is ours before the call.
func BenchmarkSign(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		dto, _ := encodeDTO(testGrant)
		newForm(SignHMACSHA256, testCred, dto, time.Now())
	}
}

// BenchmarkAnswer is the part that is ours after the call.
func BenchmarkAnswer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := judgeBody(http.StatusOK, grantedJSON); err != nil {
			b.Fatal(err)
		}
	}
}
