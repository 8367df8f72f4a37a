//go:build integration || chaos || apart

package proof_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// outputWait bounds how long a dead process's pipes are read, should a child
// of it have inherited them.
const outputWait = 5 * time.Second

var builtBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir(), "coupongrant")
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+sourceVersion(), "-o", path, "github.com/coupongrant/coupongrant/cmd/coupongrant")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

// sourceVersion is that of the checkout the program was built from.
func sourceVersion() string {
	version, err := exec.Command("git", "describe", "--tags", "--always").Output()
	if err != nil {
		return "unversioned"
	}
	// Results of runs before this one, which are not committed yet, make no other program.
	changes, err := exec.Command("git", "status", "--porcelain", "--", ":/", ":(exclude,top)docs").Output()
	if err != nil || len(changes) > 0 {
		return strings.TrimSpace(string(version)) + "-dirty"
	}
	return strings.TrimSpace(string(version))
}

// buildBinary returns the path of the program, built once for the package:
// these tests run what users run.
func buildBinary(t testing.TB) string {
	t.Helper()
	path, err := builtBinary()
	require.NoError(t, err, "building the program")
	return path
}

func binaryDir() string {
	return filepath.Join(os.TempDir(), "coupongrant-test-"+strconv.Itoa(os.Getpid()))
}

// removeBinary is for TestMain.
func removeBinary() { _ = os.RemoveAll(binaryDir()) }

// process is a started program, ended by its own id when the test ends.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	exited         chan struct{} // closed once it is gone and its output is complete
}

// runProcess starts a program with env added to the test's own environment.
// What it wrote is logged should the test fail.
func runProcess(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = outputWait
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the exit code is kept in ProcessState
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %v\nstdout:\n%s\nstderr:\n%s", name, args, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// signal sends sig; a process that is gone already takes none.
func (p *process) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill ends it without asking and waits until it is gone.
func (p *process) kill() {
	p.signal(os.Kill)
	<-p.exited
}

// stop asks it to end and returns its exit code.
func (p *process) stop(t testing.TB, within time.Duration) int {
	t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait(t, within)
}

// wait returns the exit code, or -1 if a signal ended it; still running after
// within fails the test.
func (p *process) wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		require.FailNow(t, "still running", "%v after %v", p.cmd.Args, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// running tells whether it has not exited yet.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// processAlive tells whether this host runs a process of that id.
func processAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// lockedBuffer can be read while the process still writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
