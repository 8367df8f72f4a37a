//go:build !race

// What the race detector adds to memory is no attack.

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// attacked is `run` as a process with little memory, among attackers: who may write
// to its topics, the registry, the gateway, and whoever reaches its admin port.
type attacked struct {
	*site
	sim     *topsim.Simulator
	strikes atomic.Int64 // answers of the gateway as an attacker
	honest  atomic.Bool  // registry and gateway are, from now on
	admin   string
	process *exec.Cmd
	stderr  output
	exited  chan error
}

const (
	attackedPatience = 5 * time.Minute // other tests may need the processor
	attackedMemory   = 256 << 20       // GOMEMLIMIT
	attackedParts    = 8               // one for each kind of bomb, and the first for who means well
	attackedMost     = 320 << 20       // the above, the binary, and the stacks of the system
)

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	sim, err := topsim.New(topsim.Config{Apps: map[string]topsim.App{"42": app("secret", "session")}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	a := &attacked{sim: sim, admin: freeAddress(t), exited: make(chan error, 1)}
	registry := srfake.NewRegistry()
	registry.Intercept(a.hostileSchema)
	server := httptest.NewServer(registry.Handler())
	t.Cleanup(server.Close)
	gateway := httptest.NewServer(a.gateway())
	t.Cleanup(gateway.Close)
	a.site = newSiteAt(t, server.URL, kfake.NumBrokers(1))
	require.Equal(t, exitDone, a.run("", "topics", "create", "--partitions", strconv.Itoa(attackedParts)).code)
	a.learn()
	a.start(gateway.URL)
	return a
}

func (a *attacked) start(gateway string) {
	a.Helper()
	dir := a.TempDir()
	args := slices.Concat([]string{"run"}, a.reach, []string{
		"--gateway.url", gateway + routerPath, "--gateway.app_key", "42", "--gateway.timeout", "2s", "--admin.listen", a.admin,
		"--gateway.app_secret_file", filepath.Join(dir, "secret"), "--gateway.session_file", filepath.Join(dir, "session"), "--breaker.open_for", "1s",
	})
	for _, name := range []string{"secret", "session"} {
		require.NoError(a, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	a.process = exec.Command(os.Args[0], args...)
	a.process.Env = append(os.Environ(), programVariable+"=1", fmt.Sprintf("GOMEMLIMIT=%d", attackedMemory))
	a.process.Stdout, a.process.Stderr = io.Discard, &a.stderr
	require.NoError(a, a.process.Start())
	go func() { a.exited <- a.process.Wait() }()
	a.Cleanup(func() {
		if a.process.ProcessState == nil {
			_ = a.process.Process.Kill()
			require.Error(a, <-a.exited, "it was killed")
		}
	})
}

// hostileSchema has the registry give, for ids from 9000 on, what would take much to read.
func (a *attacked) hostileSchema(w http.ResponseWriter, r *http.Request) bool {
	number, found := strings.CutPrefix(r.URL.Path, "/schemas/ids/")
	id, err := strconv.Atoi(number)
	if !found || err != nil || id < 9000 || a.honest.Load() {
		return false
	}
	deep := strings.Repeat(`{\"type\":\"array\",\"items\":`, 20_000) + `\"int\"` + strings.Repeat(`}`, 20_000)
	switch id % 4 {
	case 0:
		_, _ = io.WriteString(w, `{"schema":"`+deep+`"}`)
	case 1:
		_, _ = io.WriteString(w, strings.Repeat("[", 1<<20))
	case 2:
		_, _ = io.Copy(w, io.LimitReader(endless(`{"schema":"`), 64<<20))
	default:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "\r\n\x1b[2J{\"level\":\"INFO\",\"msg\":\"all is well\"}\n")
	}
	return true
}

// gateway grants what means well, and strikes at who asks for anything else.
func (a *attacked) gateway() http.Handler {
	var bomb bytes.Buffer
	packed, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression) // the level is valid
	_, _ = io.Copy(packed, io.LimitReader(endless("0"), 64<<20))
	_ = packed.Close()
	answers := []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(endless("["), 100<<20)) },
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"tmall_nrt_coupon_send_response":`+strings.Repeat(`{"a":`, 9_000))
		},
		func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", strings.Repeat("a", 4<<20)) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				<-time.After(50 * time.Millisecond)
			}
		},
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"error_response":{"code":15,"msg":"a\r\n\u001b[2J","sub_code":"isv.x\n{\"level\":\"INFO\"}","sub_msg":"`+strings.Repeat(`\u2028\u0000`, 5000)+`"}}`)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, r *http.Request) { // says more than it announced, on a connection that may be kept
			connection, stream, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer func() { _ = connection.Close() }()
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}all is well: ")
			_, _ = io.Copy(connection, r.Body)
			_, _ = io.Copy(io.Discard, stream) // until it is closed there
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if a.honest.Load() || !bytes.Contains(body, []byte("struck")) {
			a.sim.ServeHTTP(w, r)
			return
		}
		answers[int(a.strikes.Add(1))%len(answers)](w, r)
	})
}

// put writes records of one partition as one batch.
func (a *attacked) put(part int32, codec kgo.CompressionCodec, records ...kgo.Record) {
	a.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(a.reach[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(128<<20), kgo.BrokerMaxWriteBytes(256<<20), kgo.BrokerMaxReadBytes(256<<20), kgo.MaxBufferedRecords(len(records)+1), kgo.ProducerLinger(time.Minute)) // or until it is flushed
	require.NoError(a, err)
	defer client.Close()
	var failed atomic.Pointer[error]
	for i := range records {
		records[i].Topic, records[i].Partition = ourTopics.Store, part
		client.Produce(a.Context(), &records[i], func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	require.NoError(a, client.Flush(a.Context()))
	require.Nil(a, failed.Load())
}

// bombs that are each refused for good, and many batches that are each allowed.
func (a *attacked) bombs() {
	a.Helper()
	huge := make([]byte, 40<<20)
	a.put(1, kgo.GzipCompression(), kgo.Record{Value: huge})
	a.put(2, kgo.SnappyCompression(), kgo.Record{Value: huge[:18<<20]}) // as much as it packs into a message
	a.put(3, kgo.Lz4Compression(), kgo.Record{Value: huge})
	a.put(4, kgo.ZstdCompression(), kgo.Record{Value: huge})
	a.put(5, kgo.ZstdCompression(), make([]kgo.Record, 1_000_000)...)
	a.put(6, kgo.ZstdCompression(), kgo.Record{Headers: make([]kgo.RecordHeader, 3_000_000)})
	for range 40 { // 560 MiB in a fetch that is small on the wire
		batch := make([]kgo.Record, 14)
		for i := range batch {
			batch[i].Value = huge[:1<<20-64]
		}
		a.put(7, kgo.ZstdCompression(), batch...)
	}
}

// poison are records of all that is wrong with them, and requests that the gateway
// strikes at.
func (a *attacked) poison(prefix string) {
	a.Helper()
	good := a.value("x", 247)
	var records []kgo.Record
	for i := range 200 {
		value := a.value(fmt.Sprintf("%s-struck-%d", prefix, i), 247)
		records = append(records,
			kgo.Record{Value: value},
			kgo.Record{Value: bytes.Repeat([]byte{0xff}, 1000), Key: bytes.Repeat([]byte("k"), 10_000)},
			kgo.Record{Value: append(slices.Clone(good[:5]), bytes.Repeat([]byte{0xfe, 0xff, 0xff, 0xff, 0x0f}, 100)...)}, // huge counts
			kgo.Record{Value: good[:len(good)-1], Headers: []kgo.RecordHeader{{Key: "attempts\r\n", Value: []byte("\x1b[2J\r\n")}}})
	}
	for i := range 8 {
		records = append(records, kgo.Record{Value: slices.Concat([]byte{0, 0, 0, 0x23, byte(0x28 + i)}, good[5:])}) // ids from 9000 on
	}
	a.put(7, kgo.GzipCompression(), records...)
}

// loris holds connections to the admin port until the end of ctx.
func (a *attacked) loris(ctx context.Context) {
	a.Helper()
	for range 2 * maxConnections {
		conn, err := net.Dial("tcp", a.admin)
		require.NoError(a, err)
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nX-A: ")
		require.NoError(a, err)
	}
}

func (a *attacked) eventually(what string, so func() bool) {
	a.Helper()
	for over := time.Now().Add(attackedPatience); !so(); <-time.After(50 * time.Millisecond) {
		select {
		case err := <-a.exited:
			a.exited <- err
			require.FailNow(a, "the process has ended: "+what, "%v\n%s", err, a.stderr.String())
		default:
		}
		require.True(a, time.Now().Before(over), "not within %v: %s\n%s", attackedPatience, what, a.stderr.String())
	}
}

// granted is whether a well-meant request is granted.
func (a *attacked) granted(id string) {
	a.Helper()
	a.put(0, kgo.NoCompression(), kgo.Record{Value: a.value(id, 247)})
	a.eventually("a request that means well must be granted: "+id, func() bool { return a.sim.Ledger().Grants(id) == 1 })
}

// get asks the admin port; empty: it did not answer.
func (a *attacked) get(path string) string {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + a.admin + path)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// gauge of the metrics; -1: no answer.
func (a *attacked) gauge(name string) int {
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(a.get("/metrics"))
	if found == nil {
		return -1
	}
	value, err := strconv.ParseFloat(found[1], 64)
	require.NoError(a, err)
	return int(value)
}

// peak is the most memory that the process has had at once.
func (a *attacked) peak() int {
	a.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.process.Process.Pid))
	require.NoError(a, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(a, found)
	kb, err := strconv.Atoi(string(found[1]))
	require.NoError(a, err)
	return kb << 10
}

// With 256 MiB, all attacks at once do not crash the program or hold up who means
// well for good, and when they end, nothing is left of them.
func TestAttackAllAtOnceIn256MiB(t *testing.T) {
	a := newAttacked(t)
	a.granted("before")
	a.poison("warm") // what it keeps for good it has after this: connections, schemas
	a.eventually("the gateway must have struck in every way", func() bool { return a.strikes.Load() >= 16 })
	goroutines, files := a.gauge("go_goroutines"), a.gauge("process_open_fds")
	require.Positive(t, goroutines)
	t.Logf("before: %d goroutines, %d files, peak %d MiB", goroutines, files, a.peak()>>20)

	attack, over := context.WithCancel(t.Context())
	defer over()
	a.loris(attack)
	a.bombs()
	a.poison("all")
	a.granted("meanwhile")
	over()
	a.honest.Store(true)
	a.eventually("each bomb must be a hold that says so", func() bool {
		holds, _, _ := strings.Cut(a.get("/readyz"), `"waiting"`) // which says it again, by partition
		return strings.Count(holds, "grows to more than") == 6
	})
	a.eventually("what is not refused must be read", func() bool { return a.records(ourTopics.DeadLetter) >= 2*3*200+40*14 })
	a.granted("after")
	t.Logf("after: peak %d MiB", a.peak()>>20)
	require.Less(t, a.peak(), attackedMost)
	a.eventually("goroutines and files must be as before", func() bool {
		return a.gauge("go_goroutines") <= goroutines+20 && a.gauge("process_open_fds") <= files+20
	})
	require.NoError(t, a.process.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-a.exited)
	a.noLineIsTheirs()
}

// noLineIsTheirs: whatever strangers said, each line of the log is one of ours.
func (a *attacked) noLineIsTheirs() {
	a.Helper()
	for line := range strings.Lines(a.stderr.String()) {
		require.Regexp(a, `^\{"time":"[^"]+","level":"[A-Z]+","msg":"[^"]+".*\}\n$`, line)
		require.NotContains(a, line, "all is well")
		require.False(a, strings.ContainsAny(line[:len(line)-1], "\r\n\x1b"), "%q", line)
		require.Less(a, len(line), 16<<10)
	}
}
