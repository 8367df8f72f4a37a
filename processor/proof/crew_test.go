//go:build chaos || apart

package proof_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startWithin = 30 * time.Second // from the start of a process to its admin address
	stopWithin  = 40 * time.Second // from SIGTERM to the exit
	restartWait = 200 * time.Millisecond
)

// crew is the running replicas: real processes of the built binary, each under
// the transactional id of its slot. One that ends by itself is started again,
// as an orchestrator would, and noted.
type crew struct {
	system  *system
	binary  string
	older   string   // another build, that every second process runs; empty: none does
	logs    string   // folder
	calls   *callLog // nil: the processes call the gateway itself
	journal *journal
	target  string // address of the gateway

	mu      sync.Mutex
	members []*member // all there ever were, in the order of their starts
	closing bool
	wg      sync.WaitGroup
}

// member is one process.
type member struct {
	name    string // unique in the run
	slot    string // names its transactional id
	older   bool   // it runs the older build
	cmd     *exec.Cmd
	logged  string    // file
	calls   *callLine // nil: it calls the gateway itself
	exited  chan struct{}
	joining atomic.Bool // it has asked to join, and has no answer
	journal *journal

	mu       sync.Mutex
	ending   string // why it is meant to end; empty: it is not
	serving  string // its admin address, once known
	profiles string // that of its profiles, once known
	assigned map[topicPartition]bool
	fetched  []time.Time // of committed offsets: each opens an assignment
}

// start starts a process in a slot and returns once it is there, not ready.
func (c *crew) start(slot string) (*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, errors.New("the crew is closing")
	}
	name := fmt.Sprintf("%s-%03d", slot, len(c.members))
	m := &member{name: name, slot: slot, logged: filepath.Join(c.logs, name+".log"), exited: make(chan struct{}), journal: c.journal, assigned: map[topicPartition]bool{}}
	gateway := c.target
	if c.calls != nil {
		line, err := c.calls.listen(m, c.target)
		if err != nil {
			return nil, err
		}
		m.calls, gateway = line, line.address()
	}
	out, err := os.Create(m.logged)
	if err != nil {
		return nil, err
	}
	m.older = c.older != "" && len(c.members)%2 == 1 // in turns, so that slots and partitions pass from either to the other
	m.cmd = exec.Command(c.binaryOf(m), "run")
	m.cmd.Env = append(os.Environ(), c.system.environment(map[string]string{
		"kafka.transactional_id": c.system.group + "." + slot,
		"gateway.url":            "http://" + gateway + "/router/rest",
	})...)
	m.cmd.Stdout, m.cmd.Stderr = out, out
	if err := m.cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	c.members = append(c.members, m)
	c.journal.write("%s starts as process %d", name, m.cmd.Process.Pid)
	c.wg.Go(func() { c.attend(m, out) })
	return m, nil
}

func (c *crew) binaryOf(m *member) string {
	if m.older {
		return c.older
	}
	return c.binary
}

// attend waits for the end of a process, and starts a successor if nobody
// wanted that end.
func (c *crew) attend(m *member, out *os.File) {
	_ = m.cmd.Wait() // the exit code is kept in ProcessState
	_ = out.Close()
	if m.calls != nil {
		m.calls.close()
	}
	close(m.exited)
	c.journal.write("%s exits: %v, meant: %q", m.name, m.cmd.ProcessState, m.endedBy())
	if m.meant() {
		return
	}
	m.end("by itself")
	time.Sleep(restartWait)
	if len(c.living(m.slot)) == 0 {
		_, _ = c.start(m.slot) // fails only when the run ends
	}
}

// living are the members that have not exited, of one slot or of all.
func (c *crew) living(slot string) []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*member
	for _, m := range c.members {
		if m.running() && (slot == "" || m.slot == slot) {
			out = append(out, m)
		}
	}
	return out
}

func (c *crew) all() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// close ends every process and waits for it.
func (c *crew) close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	for _, m := range c.living("") {
		m.kill("the run is over")
	}
	c.wg.Wait()
}

func (m *member) running() bool {
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

func (m *member) end(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ending = why
}

func (m *member) endedBy() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ending
}

func (m *member) meant() bool { return m.endedBy() != "" }

// strike sends kill -9 and does not wait: the caller may hold up a message.
func (m *member) strike(why string) {
	m.end(why)
	_ = m.cmd.Process.Kill()
}

func (m *member) kill(why string) {
	m.strike(why)
	<-m.exited
}

// stop asks it to end; a process that does not end in good order is an error.
func (m *member) stop() error {
	m.end("SIGTERM")
	switch err := m.cmd.Process.Signal(syscall.SIGTERM); {
	case errors.Is(err, os.ErrProcessDone): // its own end came first
		m.end("by itself")
		return nil
	case err != nil:
		return fmt.Errorf("stopping %s: %w", m.name, err)
	}
	select {
	case <-m.exited:
	case <-time.After(stopWithin):
		return fmt.Errorf("%s still runs %v after SIGTERM", m.name, stopWithin)
	}
	if code := m.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s exits with %d after SIGTERM", m.name, code)
	}
	return nil
}

func (m *member) signal(sig os.Signal) error { return m.cmd.Process.Signal(sig) }

// assign notes what the group gave to it; the map is never changed after.
func (m *member) assign(all map[topicPartition]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = all
	m.journal.write("%s is assigned %v", m.name, slices.SortedFunc(maps.Keys(all), topicPartition.compare))
}

func (m *member) holds() map[topicPartition]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.assigned
}

// inputs is what it holds less the partitions of the retry topic: of those an outcome names
// the input record, and there may be nothing due in them.
func (m *member) inputs(retry string) map[topicPartition]bool {
	inputs := maps.Clone(m.holds())
	maps.DeleteFunc(inputs, func(tp topicPartition, _ bool) bool { return tp.topic == retry })
	return inputs
}

func (m *member) fetchesOffsets() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetched = append(m.fetched, time.Now())
	m.journal.write("%s has fetched offsets", m.name)
}

// tookOver says whether an assignment may have begun between two times.
func (m *member) tookOver(from, to time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.fetched, func(at time.Time) bool { return at.After(from) && at.Before(to) })
}

// admin is its admin address, from its log; empty until it serves.
func (m *member) admin() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving == "" {
		m.serving = m.serves(false)
	}
	return m.serving
}

// serves is its admin address or that of its profiles, as its log says; empty: it has not
// said so. An older build does not tell of pages.
func (m *member) serves(profiles bool) string {
	text, err := os.ReadFile(m.logged)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		var said struct{ Msg, Address, Component string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "serving" && (said.Component == "pprof") == profiles {
			return said.Address
		}
	}
	return ""
}

// routines are the goroutines of a process.
type routines struct {
	all     int64
	callers int64 // that make a call, or wait for the next
	wires   int64 // of net/http's client: two of each connection
}

// goroutines asks for its profile, which it must serve; zero once it is gone.
func (m *member) goroutines() (r routines) {
	m.mu.Lock()
	if m.profiles == "" {
		m.profiles = m.serves(true)
	}
	address := m.profiles
	m.mu.Unlock()
	text, _, err := read(address, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return r
	}
	for group := range strings.SplitSeq(string(text), "\n\n") { // "3 @ 0x46d2a1 ...", and a line for each function
		head, stack, _ := strings.Cut(group, " @ ")
		number, _ := strconv.ParseInt(head[strings.LastIndex(head, "\n")+1:], 10, 64)
		r.all += number
		switch {
		case strings.Contains(stack, "processor.(*callers).work"):
			r.callers += number
		case strings.Contains(stack, "net/http.(*persistConn)"), strings.Contains(stack, "net/http.(*Transport)"):
			r.wires += number
		}
	}
	return r
}

// memory is its resident memory in bytes, and how much of that are pages of files, its
// program for one (proc_pid_statm(5)); 0 once it is gone.
func (m *member) memory() (resident, ofFiles int64) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/statm")
	if err != nil {
		return 0, 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0, 0
	}
	all, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	return all * int64(os.Getpagesize()), shared * int64(os.Getpagesize())
}

// files are the descriptors that it has open; 0 once it is gone.
func (m *member) files() int64 {
	open, err := os.ReadDir("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/fd")
	if err != nil {
		return 0
	}
	return int64(len(open))
}

// calling are its connections to the gateway, of which it has a line of its own,
// in whatever state (proc_pid_net(5)); 0 once it is gone.
func (m *member) calling() int64 {
	_, port, _ := net.SplitHostPort(m.calls.address())
	number, _ := strconv.Atoi(port)
	peer, held := fmt.Sprintf(":%04X", number), int64(0)
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/net/" + table)
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[2], peer) && fields[9] != "0" { // 0: nobody's, the kernel alone waits
				held++
			}
		}
	}
	return held
}
