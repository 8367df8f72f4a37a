package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// partGateway is the part that is no arm.
const partGateway = "gateway"

// order tells a process which part it has.
type order struct {
	Part     string
	Brokers  []string
	Topics   topics
	Registry string
	Gateway  string // URL
	InFlight int
	Call     span
	Slow     span
}

// Part does what the first line of stdin says, until stdin ends: so no part
// outlives the run.
func Part(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The process owns this goroutine, which ends with stdin or with the process: nobody
	// can call off a read of stdin.
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	switch o.Part {
	case partGateway:
		return gateway(ctx, o, stdout)
	case armHTTP:
		return calls(ctx, o, stdout)
	case armLoop:
		return loop(ctx, o)
	case armTx:
		return transactions(ctx, o)
	default:
		return fmt.Errorf("there is no part %q", o.Part)
	}
}

// gateway says its URL and serves.
func gateway(ctx context.Context, o order, stdout io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening on loopback: %w", err)
	}
	delay := func(outID string) time.Duration {
		if strings.HasPrefix(outID, slowMark) {
			return time.Duration(o.Slow)
		}
		return time.Duration(o.Call)
	}
	server := &http.Server{Handler: &timed{gateway: topsim.NewQuick(delay)}, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if _, err := fmt.Fprintf(stdout, "http://%s/router/rest\n", listener.Addr()); err != nil {
		return err
	}
	_ = server.Serve(listener) // until it is closed
	return nil
}

// timed is a gateway that tells for how long it had its calls. Timers fire late, by
// a tenth of a call of 10 ms on a small machine, and that is nobody's work.
type timed struct {
	gateway http.Handler
	calls   atomic.Int64
	took    atomic.Int64 // ns, all calls together
}

const tookPath = "/took"

// ServeHTTP answers a call, or how many there were and how long they took.
func (g *timed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == tookPath {
		fmt.Fprintln(w, g.calls.Load(), g.took.Load())
		return
	}
	arrived := time.Now()
	g.gateway.ServeHTTP(w, r)
	g.took.Add(int64(time.Since(arrived)))
	g.calls.Add(1)
}

// calls posts the bytes of one call again and again, and says how many answers
// there were so far.
func calls(ctx context.Context, o order, stdout io.Writer) error {
	const say = 10 * time.Millisecond
	body, err := oneForm(ctx, o)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: o.InFlight, MaxIdleConnsPerHost: o.InFlight}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answers atomic.Int64
	var callers sync.WaitGroup
	for range o.InFlight {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := post(ctx, client, o.Gateway, body); err != nil {
					cancel(err)
					return
				}
				answers.Add(1)
			}
		})
	}
	fmt.Fprintln(stdout, "calling")
	tick := time.NewTicker(say)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintln(stdout, answers.Load())
		case <-ctx.Done():
			callers.Wait()
			if err := context.Cause(ctx); err != context.Canceled { //nolint:errorlint // the one that was told to end
				return err
			}
			return nil
		}
	}
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// oneForm is what the gateway client sends for one request.
func oneForm(ctx context.Context, o order) (body []byte, err error) {
	sender, err := topclient.New(topclient.Config{URL: o.Gateway}, onTheWay(func(r *http.Request) {
		body, err = io.ReadAll(r.Body)
	}))
	if err != nil {
		return nil, err
	}
	_, _ = sender.Send(ctx, credentials(), topclient.Grant{ // it never leaves
		BizCode: "store", OpenID: "AAEbenchBENCHbenchBENCH0123456789", Channel: "pos", OutID: "b-00000001", UUID: "c276-01", CouponType: 276,
	})
	return body, err
}

// onTheWay sees a call and keeps it from leaving.
type onTheWay func(*http.Request)

// RoundTrip implements http.RoundTripper.
func (look onTheWay) RoundTrip(r *http.Request) (*http.Response, error) {
	look(r)
	return nil, net.ErrClosed
}

func credentials() topclient.Credentials {
	return topclient.Credentials{
		AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
	}
}
