package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/topclient"
)

func TestMain(m *testing.M) {
	beTheProgram()
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" {
		_ = flag.Set("test.parallel", "8") // those that are parallel wait for seconds to pass, not for a processor
	}
	goleak.VerifyTestMain(m)
}

// A process that has this variable is the program.
const programVariable = "COUPONGRANT_TEST_IS_THE_PROGRAM"

func beTheProgram() {
	if os.Getenv(programVariable) != "" {
		_ = os.Unsetenv(programVariable)
		main()
	}
}

// output of a run that another goroutine may read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ran is what a run of the program left behind.
type ran struct {
	code           int
	stdout, stderr string
}

func runWith(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	var stdout, stderr output
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return ran{code, stdout.String(), stderr.String()}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Each of them ends a process in good order; a SIGHUP that was ignored from its start, as
// under nohup, stays ignored.
func TestSignalsStopInGoodOrder(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored here, and in every process that is started from here")
	}
	for name, c := range map[string]struct {
		shell  string
		signal syscall.Signal
	}{
		"asked to stop":        {``, syscall.SIGTERM},
		"Ctrl-C":               {``, syscall.SIGINT},
		"the terminal is gone": {``, syscall.SIGHUP},
		"under nohup":          {`trap "" HUP; `, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr output
			process := exec.CommandContext(t.Context(), "/bin/sh", "-c", c.shell+`exec "$0" gateway --listen 127.0.0.1:0`, os.Args[0])
			process.Env = append(os.Environ(), programVariable+"=1")
			process.Stdout, process.Stderr = &stdout, &stderr
			require.NoError(t, process.Start())
			t.Cleanup(func() { _ = process.Process.Kill() })
			require.Eventually(t, func() bool { return strings.Contains(stdout.String(), "gateway.url") }, 30*time.Second, 5*time.Millisecond)

			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
			require.NoError(t, err)
			ignored := regexp.MustCompile(`SigIgn:\s+(\S+)`).FindSubmatch(status)
			require.NotNil(t, ignored)
			signals, err := strconv.ParseUint(string(ignored[1]), 16, 64)
			require.NoError(t, err)
			require.Equal(t, c.shell != "", signals&1 == 1, "the lowest bit is SIGHUP's")
			require.NoError(t, process.Process.Signal(c.signal))
			require.NoError(t, process.Wait(), stderr.String())
		})
	}
}

func TestExitCodesAndTheirSentence(t *testing.T) {
	for name, tt := range map[string]struct {
		give []string
		code int
		says string
	}{
		"help":                         {[]string{"--help"}, 0, ""},
		"no command shows the help":    {nil, 0, ""},
		"version":                      {[]string{"version"}, 0, ""},
		"unknown command":              {[]string{"bogus"}, 2, `unknown command "bogus"`},
		"unknown flag":                 {[]string{"run", "--nope"}, 2, "--nope"},
		"flag without its value":       {[]string{"config", "print", "--kafka.group"}, 2, "--kafka.group"},
		"surplus argument":             {[]string{"version", "x"}, 2, `"x"`},
		"secret as a flag":             {[]string{"run", "--gateway.session=canary"}, 2, "--gateway.session"},
		"value that is none":           {[]string{"config", "check", "--kafka.session_timeout=soon"}, 2, `kafka.session_timeout is "soon" (flag): use a duration`},
		"value that cannot be":         {[]string{"config", "print", "--retry.delay=-1s"}, 2, "retry.delay is -1s"},
		"relation of values":           {[]string{"config", "print", "--stop_timeout=1s"}, 2, "stop_timeout is 1s: it must be longer than gateway.timeout (10s)"},
		"run without credentials":      {[]string{"run"}, 2, "gateway.app_key is empty"},
		"check without credentials":    {[]string{"config", "check"}, 2, "COUPONGRANT_GATEWAY_APP_SECRET"},
		"settings file that is absent": {[]string{"config", "print", "--config", "absent.yaml"}, 2, "absent.yaml"},
		"no broker":                    {[]string{"topics", "create", "--kafka.brokers", "127.0.0.1:1"}, 1, "kafka.brokers is 127.0.0.1:1, but no broker answers"},
		"bench without a broker":       {[]string{"bench", "--kafka.brokers", "127.0.0.1:1"}, 1, "kafka.brokers is 127.0.0.1:1, but no broker answers"},
		"bench of a case unknown":      {[]string{"bench", "--case", "nope", "--kafka.brokers", "127.0.0.1:1"}, 2, `--case is "nope"`},
		"bench with TLS":               {[]string{"bench", "--kafka.tls.enabled"}, 2, "bench speaks neither"},
		"audit without a broker":       {[]string{"audit", "--kafka.brokers", "127.0.0.1:1"}, 1, "kafka.brokers is 127.0.0.1:1"},
		"audit of a wrong ledger":      {[]string{"audit", "--ledger", "ftp://x"}, 2, "--ledger"},
		"report of nothing asked":      {[]string{"report"}, 0, ""},
		"report of what nobody asked":  {[]string{"report", "bogus"}, 2, "bogus"},
		"report without a broker":      {[]string{"report", "grants", "--kafka.brokers", "127.0.0.1:1"}, 1, "kafka.brokers is 127.0.0.1:1"},
		"report of a zone unknown":     {[]string{"report", "grants", "--time-zone", "Mars"}, 2, `--time-zone is "Mars": use a name`},
		"report of this machine's":     {[]string{"report", "grants", "--time-zone", "Local"}, 2, `--time-zone is "Local"`},
		"report since what is no time": {[]string{"report", "failures", "--since", "yesterday"}, 2, `--since is "yesterday": say how long ago`},
		"report until what is no time": {[]string{"report", "failures", "--until", "2026-02-30"}, 2, `--until is "2026-02-30"`},
		"report of an empty period":    {[]string{"report", "repeats", "--since", "2026-11-11", "--until", "2026-11-11"}, 2, "--until is 2026-11-11, which is not after --since"},
		"report by what it cannot":     {[]string{"report", "time-to-grant", "--by", "store"}, 2, `--by is "store": use day or channel`},
		"produce without a registry":   {[]string{"produce", "--registry.url", "http://127.0.0.1:1"}, 1, "registry.url is http://127.0.0.1:1"},
		"produce to what is no input":  {[]string{"produce", "--topic", "stoer", "--registry.url", "http://127.0.0.1:1"}, 2, `--topic is "stoer": use store or loyalty`},
		"produce of nothing":           {[]string{"produce", "--count", "0"}, 2, "--count is 0"},
		"produce backwards":            {[]string{"produce", "--count", "1", "--rate", "-1"}, 2, "--rate is -1"},
		"tail of less than nothing":    {[]string{"tail", "--limit", "-1"}, 2, "--limit is -1"},
		"topics without partitions":    {[]string{"topics", "create", "--partitions", "0"}, 2, "--partitions is 0"},
		"unknown fault":                {[]string{"gateway", "--fault", "bogus"}, 2, `--fault is "bogus"`},
		"unknown replay":               {[]string{"gateway", "--replay", "bogus"}, 2, `replay is "bogus"`},
		"gateway that cannot listen":   {[]string{"gateway", "--listen", "192.0.2.1:1"}, 1, "--listen is 192.0.2.1:1"},
		"dev with brokers of others":   {[]string{"dev", "--kafka.brokers", "k:9092"}, 2, "dev brings its own"},
		"dev as a user of brokers":     {[]string{"dev", "--kafka.tls.enabled", "--kafka.tls.ca_file", "absent.pem"}, 2, "kafka.tls.enabled is set (flag)"},
		"dev as a user of a registry":  {[]string{"dev", "--registry.token_file", "absent"}, 2, "registry.token_file is set (flag)"},
		"dev of less than nothing":     {[]string{"dev", "--events", "-1"}, 2, "--events is -1"},
		"dev with an absent script":    {[]string{"dev", "--script", "absent.txt"}, 2, "absent.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, "", tt.give...)
			require.Equal(t, tt.code, got.code, got.stderr)
			require.Contains(t, got.stderr, tt.says)
			require.NotContains(t, got.stderr, "canary")
		})
	}
}

func TestEveryErrorLineHasTheProgramsName(t *testing.T) {
	got := runWith(t, "", "config", "print", "--retry.delay=-1s", "--window.records=0")
	require.Equal(t, exitUsage, got.code)
	for line := range strings.Lines(got.stderr) {
		require.True(t, strings.HasPrefix(line, "coupongrant: "), line)
	}
	require.Contains(t, got.stderr, "retry.delay")
	require.Contains(t, got.stderr, "window.records")
}

func TestPolicyShowsEveryAnswer(t *testing.T) {
	got := runWith(t, "", "config", "print", "--policy")
	require.Equal(t, exitDone, got.code, got.stderr)
	rows := 2 + len(topclient.CodeTable()) + len(topclient.OwnCodeTable()) // a grant, and a code that is in no table
	require.Equal(t, 3+rows, strings.Count(got.stdout, "\n"))
	require.NotContains(t, row(t, got.stdout, "43 "), "REJECTED")
}

func TestPolicyIsOfTheSettingsInForce(t *testing.T) {
	got := runWith(t, "", "config", "print", "--policy", "--retry.code_42", "fail", "--retry.code_10", "request")
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Contains(t, row(t, got.stdout, "43 "), "failed REJECTED")
	require.Contains(t, row(t, got.stdout, "10 "), "parked")
	require.Equal(t, exitUsage, runWith(t, "", "config", "print", "--policy", "--retry.code_42", "drop").code)
}

func row(t *testing.T, table, begins string) string {
	t.Helper()
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, begins) {
			return line
		}
	}
	require.Fail(t, "no row", begins)
	return ""
}

func TestHelpIsShortAndNamesEveryCommand(t *testing.T) {
	got := runWith(t, "", "--help")
	require.Less(t, strings.Count(got.stdout, "\n"), 45)
	require.NotContains(t, got.stdout, "--kafka.group", "settings are listed by `config keys`")
	for _, command := range []string{"dev", "gateway", "run", "topics", "produce", "tail", "request", "dead-letters", "audit", "doctor", "config", "version"} {
		require.Contains(t, got.stdout, "\n  "+command)
	}
}

func TestAnInterruptedCommandIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr output
	code := run(ctx, []string{"topics", "create", "--kafka.brokers", "127.0.0.1:1"}, strings.NewReader(""), &stdout, &stderr)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr.String(), "interrupted")
}

func TestExitErrorKeepsItsCause(t *testing.T) {
	cause := errors.New("cause")
	require.ErrorIs(t, usage(cause), cause)
	require.NoError(t, usage(nil))
	require.NoError(t, exit(exitDone))
	require.Empty(t, exit(exitFailed).Error())
}

func TestExitCodeOfAVerdict(t *testing.T) {
	for verdict, code := range map[proof.Verdict]int{proof.Balanced: 0, proof.Violated: 3, proof.Unfinished: 4} {
		require.Equal(t, code, verdictCode(verdict))
	}
}
