package topclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	serveVariable = "TOPCLIENT_SERVE_BENCHMARKS"
	callsInFlight = 256
	callsInABlock = 32 * callsInFlight
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

// cost is what one call takes of the process that makes it.
type cost struct{ cpu, bytes, allocs float64 }

func (c cost) mean(d cost) cost {
	return cost{(c.cpu + d.cpu) / 2, (c.bytes + d.bytes) / 2, (c.allocs + d.allocs) / 2}
}

// costOf makes callsInABlock calls, 256 at a time. It begins on a clean heap, so
// that nobody pays for collecting the garbage of another.
func costOf(b *testing.B, call func() error) cost {
	b.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	var wg sync.WaitGroup
	for range callsInFlight {
		wg.Go(func() {
			for range callsInABlock / callsInFlight {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	return cost{
		cpu:    float64(cpu.Nanoseconds()) / callsInABlock,
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / callsInABlock,
		allocs: float64(after.Mallocs-before.Mallocs) / callsInABlock,
	}
}

// cpuTime is what this process has used so far, in the kernel too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSendAgainstBarePost alternates blocks of the client's calls with
// blocks of bare POSTs, so that what else the machine does falls on both, and
// reports medians. One op is two blocks of each: run it with -benchtime 7x.
func BenchmarkSendAgainstBarePost(b *testing.B) {
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) {
			target := startBenchmarkGateway(b, scheme)
			send, post := clientCall(b, target), bareCall(b, target)
			costOf(b, send) // handshakes and pools are no part of a call
			costOf(b, post)
			var client, bare []cost
			for range b.N { // in this order, what changes steadily falls on both
				first, second, third, fourth := costOf(b, send), costOf(b, post), costOf(b, post), costOf(b, send)
				client = append(client, first.mean(fourth))
				bare = append(bare, second.mean(third))
			}
			report(b, client, bare)
		})
	}
}

func report(b *testing.B, client, bare []cost) {
	ratios := make([]float64, len(client))
	for i := range ratios {
		ratios[i] = client[i].cpu / bare[i].cpu
	}
	cpu := func(c cost) float64 { return c.cpu }
	b.ReportMetric(0, "ns/op") // says nothing here
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(medianOf(client, cpu), "client-cpu-ns")
	b.ReportMetric(medianOf(bare, cpu), "bare-cpu-ns")
	b.ReportMetric(medianOf(client, func(c cost) float64 { return c.bytes }), "client-B")
	b.ReportMetric(medianOf(bare, func(c cost) float64 { return c.bytes }), "bare-B")
	b.ReportMetric(medianOf(client, func(c cost) float64 { return c.allocs }), "client-allocs")
	b.ReportMetric(medianOf(bare, func(c cost) float64 { return c.allocs }), "bare-allocs")
}

func medianOf(costs []cost, what func(cost) float64) float64 {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = what(c)
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// patience of either side: 256 handshakes at once take long on a busy machine.
const patience = time.Minute

// prepare gives a transport that patience, and trust.
func prepare(t *http.Transport) {
	t.DialContext, t.TLSHandshakeTimeout = (&net.Dialer{Timeout: patience, KeepAlive: keepAlive}).DialContext, patience
	trustTestServers(t)
}

func clientCall(b *testing.B, target string) func() error {
	c := newTestClient(b, target, func(c *Config) { c.Timeout = patience })
	prepare(c.transport.(*http.Transport))
	ctx := context.Background()
	return func() error {
		_, err := c.Send(ctx, testCred, testGrant)
		return err
	}
}

// bareCall posts the same bytes by net/http, on a transport of the same
// settings, with the same timeout, and throws the answer away.
func bareCall(b *testing.B, target string) func() error {
	body := newForm(b, SignHMACSHA256, testCred, testGrant, time.Now()).body
	transport := newTransport(Config{URL: target}.withDefaults())
	transport.DisableCompression = false
	prepare(transport)
	b.Cleanup(transport.CloseIdleConnections)
	hc := &http.Client{Transport: transport, Timeout: patience}
	return func() error { return barePost(hc, target, body) }
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
	w := formWriter{signMethod: SignHMACSHA256}
	b.ReportAllocs()
	for b.Loop() {
		if _, refused := w.newForm(testCred, testGrant, time.Now()); refused != nil {
			b.Fatal(refused)
		}
	}
}

// BenchmarkAnswer is the part that is ours after the call.
func BenchmarkAnswer(b *testing.B) {
	var r bodyReader
	body := strings.NewReader(grantedJSON)
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(grantedJSON)
		rep, err := r.newReply(resp)
		if err != nil {
			b.Fatal(err)
		}
		if _, refused := rep.outcome(newScrubber(testCred, testGrant, "")); refused != nil {
			b.Fatal(refused)
		}
	}
}
