package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/coupongrant/coupongrant/processor/proof/freeport"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// process is a part of a run.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer    // a part ends when it is closed; nil: the engine, which is told by a signal
	admin string       // address of the engine's admin server
	said  chan string  // the first line of a part
	count atomic.Int64 // the last line of a part that counts
	done  chan struct{}

	mu     sync.Mutex
	stderr []byte
}

// endPatience is how long a process may take to end before it is killed: its
// topics are taken away in any case.
const endPatience = 5 * time.Second

// startPart has this program do one of the parts.
func startPart(program string, o order) (*process, error) {
	p := &process{name: o.Part, cmd: exec.Command(program, "bench", "part"), said: make(chan string, 1)}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.start(func() { p.listen(stdout) }); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(stdin).Encode(o); err != nil {
		p.stop()
		return nil, fmt.Errorf("telling the %s what to do: %w", p.name, err)
	}
	return p, nil
}

// startEngine runs one replica.
func startEngine(program string, settings map[string]string) (*process, error) {
	p := &process{name: armEngine, cmd: exec.Command(program, "run"), admin: settings["admin.listen"]}
	p.cmd.Env = engineEnviron(os.Environ(), settings)
	return p, p.start(func() {})
}

// engineEnviron has these settings and no others: what whoever measures has set for
// a replica of their own, such as gateway.rate, would be measured in silence.
func engineEnviron(environ []string, settings map[string]string) []string {
	const prefix = "COUPONGRANT_"
	environ = slices.DeleteFunc(slices.Clone(environ), func(variable string) bool { return strings.HasPrefix(variable, prefix) })
	for key, value := range settings {
		environ = append(environ, prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
	}
	return environ
}

// start runs the command; listen reads what it says until it ends.
func (p *process) start(listen func()) error {
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting the %s: %w", p.name, err)
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		var reading sync.WaitGroup
		reading.Go(listen)
		reading.Go(func() { p.keep(stderr) })
		reading.Wait()
		_ = p.cmd.Wait() // how it ended does not matter, only that it did
	}()
	return nil
}

// listen takes in what a part says: one line, then numbers.
func (p *process) listen(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	if lines.Scan() {
		p.said <- lines.Text()
	}
	for lines.Scan() {
		if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
			p.count.Store(n)
		}
	}
}

// keep remembers the end of what was complained of.
func (p *process) keep(stderr io.Reader) {
	const enough = 4 << 10
	for buf := make([]byte, enough); ; {
		n, err := stderr.Read(buf)
		p.mu.Lock()
		p.stderr = append(p.stderr, buf[:n]...)
		p.stderr = p.stderr[max(0, len(p.stderr)-enough):]
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// firstLine waits for what a part says when it is ready.
func (p *process) firstLine(ctx context.Context) (string, error) {
	select {
	case line := <-p.said:
		return line, nil
	case <-p.done:
		return "", p.ended()
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// ended is the error of a process that should be running.
func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("the %s has ended by itself; it said: %s", p.name, strings.TrimSpace(string(p.stderr)))
}

// stop ends it in good order, if it lets itself be ended.
func (p *process) stop() {
	if p.stdin != nil {
		_ = p.stdin.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	}
	select {
	case <-p.done:
	case <-time.After(endPatience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// usage is what a process has used so far.
type usage struct {
	cpu      float64 // seconds, user and kernel
	resident float64 // bytes
	most     float64 // resident bytes ever
}

func (p *process) usage() (usage, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return usage{}, fmt.Errorf("looking at the %s (only Linux tells what a process uses): %w", p.name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return usage{}, fmt.Errorf("looking at the %s: %w", p.name, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return usage{}, fmt.Errorf("looking at the %s: %w", p.name, err)
	}
	return usage{stat.CPUTime(), float64(stat.ResidentMemory()), float64(status.VmHWM)}, nil
}

// took asks a gateway how many calls it had, and for how many seconds all together.
func took(ctx context.Context, gateway string) (calls int64, seconds float64, err error) {
	at, err := url.Parse(gateway)
	if err != nil {
		return 0, 0, err
	}
	at.Path = tookPath
	client := &http.Client{Timeout: settleLimit}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, fmt.Errorf("asking the gateway how long its calls take: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var ns int64
	if _, err := fmt.Fscan(resp.Body, &calls, &ns); err != nil {
		return 0, 0, fmt.Errorf("reading how long the gateway's calls take: %w", err)
	}
	return calls, time.Duration(ns).Seconds(), nil
}

// readySince polls until the engine holds nothing up, and returns when.
func (p *process) readySince(ctx context.Context) (time.Time, error) {
	const look = 5 * time.Millisecond
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/readyz", http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if answer, err := client.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return time.Now(), nil
			}
		}
		select {
		case <-tick.C:
		case <-p.done:
			return time.Time{}, p.ended()
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// engineSettings are those of one replica in a run.
func engineSettings(s spec, c *cluster, gateway string, more map[string]string) (map[string]string, error) {
	admin, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	settings := map[string]string{
		"kafka.brokers": strings.Join(c.brokers, ","), "kafka.group": c.topics.Store,
		"topics.store": c.topics.Store, "topics.loyalty": c.topics.Loyalty, "topics.retry": c.topics.Retry,
		"topics.granted": c.topics.Granted, "topics.failed": c.topics.Failed, "topics.dead_letter": c.topics.DeadLetter,
		"registry.url": c.registry, "gateway.url": gateway, "gateway.app_key": topsim.DemoAppKey,
		"gateway.app_secret": topsim.DemoAppSecret, "gateway.session": topsim.DemoSession,
		"gateway.max_in_flight": strconv.Itoa(s.InFlight), "admin.listen": admin, "log.level": "warn",
	}
	for key, value := range more {
		settings[key] = value
	}
	return settings, nil
}

// machineUse is how busy the processors were since they started: two of them
// tell of the time between.
func machineUse() (busy, all float64) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, 0
	}
	c := stat.CPUTotal
	parts := []float64{c.User, c.Nice, c.System, c.IRQ, c.SoftIRQ, c.Steal}
	for _, seconds := range parts {
		busy += seconds
	}
	return busy, busy + c.Idle + c.Iowait
}

// machine is what all figures depend on.
func machine(goos, goarch string, processors int) string {
	text := fmt.Sprintf("%s/%s, %d CPUs", goos, goarch, processors)
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return text
	}
	if model := processorModel(); model != "" {
		text += " (" + model + ")"
	}
	if memory, err := fs.Meminfo(); err == nil && memory.MemTotalBytes != nil {
		text += fmt.Sprintf(", %d GiB", *memory.MemTotalBytes>>30)
	}
	return text
}

// processorModel is empty where the system does not tell. procfs has it for Linux alone,
// and would keep the program from being built elsewhere.
func processorModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // what cannot be read is empty
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// stopAll ends processes, the first last.
func stopAll(all []*process) {
	for _, p := range slices.Backward(all) {
		p.stop()
	}
}
