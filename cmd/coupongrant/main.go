// Command coupongrant reads coupon-grant requests from Kafka, has Tmall grant
// each, and publishes one outcome or dead letter for each. It is the rim: what
// the engine works with is read from the configuration and put together here;
// no promise is kept in this package.
//
//	main.go       run, exit codes
//	cli.go        the commands and what they share
//	settings.go   the table of all settings, from which flags, variables and files are read
//	values.go     settings as text and back
//	sources.go    file, environment and flags, and which of them wins
//	yaml.go       values of the file, as they were typed
//	config.go     Config, its defaults and what must hold
//	configcmd.go  config check, print, keys
//	assemble.go   the graphs of run and dev
//	embedded.go   broker, registry and gateway inside the process, for dev
//	admin.go      /livez, /readyz, /metrics, /api/status
//	console*.go   the page at /, in console/, and what it asks
//
// and one file a command: run.go, topics.go, audit.go, gateway.go, and
//
//	dev.go, devtraffic.go, progress.go  the run of dev, what it sends, how it goes
//	produce.go, requestline.go          sending, and a request as a line of JSON
//	tail.go, tailview.go                following, and a record as people see it
//	request.go, lookup.go               one request: the scan of the topics for it
//	requesttrace.go, requestview.go     what was found, the verdict, and how people see it
//	deadletters.go, letters.go          dead letters: listing, reading them
//	letterfilter.go                     which are chosen
//	replay.go, replayplan.go, putter.go putting them back: the command, who is, in transactions
//	health.go                           how the replica here is, for containers
//	doctor.go                           checking what run needs: the command, its report
//	doctorgateway.go                    the checks of credentials, gateway, clock, registry
//	doctorkafka.go, doctorbrokers.go,   what brokers tell, and the checks of it
//	doctortopics.go, doctorgroup.go
//	doctorsecurity.go                   the checks of encryption and certificates
//	bench.go                            measuring; bench/ is what does it
//	report.go, reportread.go            the questions of analysts, and reading the topics for them
//	report*.go                          one file for each question, or two that read the same
//
// with these below them:
//
//	kafka.go              how to reach the cluster and the registry
//	access.go             who we are to both, and whom we trust: TLS, SASL
//	security.go           the settings of that, and what is refused
//	filevalue.go          what files hold at the moment
//	token.go              OAUTHBEARER's tokens
//	roots.go              whom to trust where the system does not say
//	sessionexpiry.go      until when the merchant's session lasts, as a person has said
//	rights.go             what gives a right that is lacking
//	topicreader.go        reading the topics for a person
//	headers.go            the headers of our records
//	position.go           where a record is, as text
//	moment.go             times as people say them
//	httpservice.go        an HTTP server with a start and a stop
//	pprof.go              profiles, at an address of their own
//	tracing.go            where traces go
//	totals.go             what was counted so far, out of the metrics
//	schemajournal.go      the embedded registry's memory
//	brokerundo.go         the embedded broker's commits, all or nothing
//	datadir*.go           a folder for one process at a time
//	sorter.go, tuple.go   rows in order, more than fit into memory
//	table.go, json.go     rows for people, as CSV and as JSON
//	text.go               texts as a terminal and a shell take them
//	log.go, loglimit.go   the log, and what keeps lines from flooding it
//	statusline.go         the last line of a terminal
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// Exit codes. audit.go adds those of a verdict.
const (
	exitDone   = 0
	exitFailed = 1 // while running
	exitUsage  = 2 // wrong usage or configuration
)

// version is stamped in by the linker: -X main.version=...
var version string

func main() {
	// net/http quotes there what a server sends after the end of its answer, which may
	// echo our session and an open_id.
	log.SetOutput(io.Discard)
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup; else the terminal is gone, and that is no reason to leave doubt
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stops...)
	context.AfterFunc(ctx, stop) // a second signal finds its default: it kills
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. When ctx ends, it stops in good order.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ()}
	root := c.command() //nolint:contextcheck // cobra carries the context: ExecuteContext, then cmd.Context()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code int
	var exit *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		code = exit.code
	case !c.started: // what cobra itself refuses
		code = exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		code, err = exitFailed, errors.New("interrupted before it was done")
	default:
		code = exitFailed
	}
	for line := range strings.Lines(withMend(err).Error()) {
		fmt.Fprintf(stderr, "coupongrant: %s\n", strings.TrimSpace(line))
	}
	return code
}

// exitError ends the program with a code. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as one of usage or configuration.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

// exit ends the program with a code, silently.
func exit(code int) error {
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}

// buildVersion is what was stamped in, else what the Go toolchain knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unversioned"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "unversioned"
}

// unlessOver drops an error that is only the way in which a wanted end looks.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
