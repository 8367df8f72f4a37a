//go:build chaos || apart

package proof_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

const lookWithin = 5 * time.Minute // for one reading of all topics

// tally counts the faults.
type tally struct {
	mu     sync.Mutex
	counts map[fault]*faultCount
}

func (t *tally) of(f fault) *faultCount {
	if t.counts == nil {
		t.counts = map[fault]*faultCount{}
	}
	if t.counts[f] == nil {
		t.counts[f] = &faultCount{Fault: string(f)}
	}
	return t.counts[f]
}

func (t *tally) planned(f fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(f).Planned++
}

func (t *tally) happened(f fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(f).Happened++
}

func (t *tally) list() (all []faultCount) {
	for _, f := range slices.Sorted(maps.Keys(t.counts)) {
		all = append(all, *t.counts[f])
	}
	return all
}

// missing are planned faults that did not happen: such a run proves less than
// it says, so it fails.
func missing(all []faultCount) (out []string) {
	for _, f := range all {
		if f.Happened < f.Planned {
			out = append(out, fmt.Sprintf("%s happened %d of %d times", f.Fault, f.Happened, f.Planned))
		}
	}
	return out
}

// judge reads everything once more, now that all is over.
func (c *chaos) judge() chaosResult {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), lookWithin)
	defer cancel()
	report := c.audit(ctx)
	view, err := lookLate(ctx, c.system, c.found)
	require.NoError(c.t, err)
	view.checkReaders(c.witness, c.found)
	view.checkLoad(c.feed, c.found)
	c.marks.sample(ctx)
	c.marks.check(view)
	c.checkCalls()
	lanes := view.lanes(c.feed)
	timeout, err := time.ParseDuration(c.system.settings["gateway.timeout"])
	require.NoError(c.t, err)
	over := checkLanes(lanes, c.calls.all(), timeout, c.found)
	require.NoError(c.t, c.writeTables(view))
	lines, err := checkLogs(c.crew.all(), c.found)
	require.NoError(c.t, err)
	r := c.result(report)
	r.Ends.ParkedEver = len(view.parked)
	for _, l := range lanes {
		r.Ends.LeftLanes += len(l.leftUncalled)
	}
	r.Calls.OverlapProcesses, r.Calls.OverlapAssigned = over.processes, over.assignments
	r.Readers.During, r.Readers.Late = len(c.witness.seen), len(view.results)
	r.Bounds.LogLines = lines
	r.Violations, r.Told = c.found.totals(), c.found.list()
	r.Verdict = verdictOf(r)
	return r
}

// audit is the shipped oracle's opinion.
func (c *chaos) audit(ctx context.Context) proof.Report {
	c.t.Helper()
	checker, err := proof.Read(ctx, &proof.Source{
		Options: c.system.options(), Topics: c.system.topics, Group: c.system.group,
		Codec: c.system.codec, Registry: c.system.schemas,
	})
	require.NoError(c.t, err)
	for _, base := range c.gateway.ledgers() {
		require.NoError(c.t, proof.ReadLedger(ctx, &http.Client{}, base, checker))
	}
	report := checker.Report()
	for kind, all := range report.Violations {
		for range all.Total - int64(len(all.Named)) {
			c.found.count(string(kind))
		}
		for _, one := range all.Named {
			c.found.add(string(kind), "%s/%d/%d %s %s %s", one.Topic, one.Partition, one.Offset, one.Source, one.RequestID, one.Detail)
		}
	}
	if report.Unfinished > 0 {
		c.found.add("unfinished", "%d requests have no end, %d of them parked", report.Unfinished, report.Parked)
	}
	for _, u := range report.Unread {
		c.found.add("unread", "%+v", u)
	}
	return report
}

// checkCalls: nobody calls for what is no request, or was aborted upstream.
func (c *chaos) checkCalls() {
	requests := map[string]bool{}
	for _, s := range c.feed.sent {
		if s.flaw == proof.Flawless {
			requests[s.requestID] = true
		}
	}
	for _, made := range c.calls.all() {
		switch {
		case c.feed.aborted[made.outID]:
			c.found.add("phantom", "%s called for %s, whose transaction was aborted", made.caller.name, made.outID)
		case !requests[made.outID]:
			c.found.add("phantom", "%s called for %q, which is no request", made.caller.name, made.outID)
		}
	}
}

func (c *chaos) result(report proof.Report) chaosResult {
	r := chaosResult{
		Form: c.form.name, Command: c.command(), Seed: c.seed, Control: c.form.control,
		Began: c.began.UTC().Truncate(time.Second), Seconds: time.Since(c.began).Seconds(), Drained: c.drained.Seconds(),
		Version: c.version, Kafka: c.cluster.name(), Go: runtime.Version(),
		Machine:  fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Settings: c.settings(), Faults: c.done.list(), TakeOvers: c.takeOvers,
		Load: loadCounts{
			Rate: c.form.rate, Events: len(c.feed.sent), Aborted: len(c.feed.aborted),
			Requests: report.Requests, Repeats: report.Repeats,
		},
		Ends: endCounts{
			Granted: report.Granted, Failed: report.Failed, DeadLetters: report.DeadLetters, Unfinished: report.Unfinished,
		},
	}
	r.Missing = missing(r.Faults)
	stats := c.gateway.counts(c.t)
	r.Calls = callCounts{Made: c.calls.made(), Grants: stats.Grants, Repeated: stats.Replays}
	r.Readers.Samples, r.Readers.Behind = c.marks.samples, new(c.marks.behind)
	for _, marks := range c.marks.marks {
		r.Readers.Marks += len(marks)
	}
	r.Bounds = boundCounts{Memory: c.scrapes.memory, Routines: c.scrapes.routines, InFlight: c.scrapes.inFlight, Scrapes: c.scrapes.scrapes}
	r.Survivor = c.scrapes.survived()
	c.countDeaths(&r)
	return r
}

// command repeats the run's load, plan and gateway; where they meet is chance.
func (c *chaos) command() string {
	text := fmt.Sprintf("go test -tags chaos -run '^%s$' ./processor/proof -args -seed %d", c.t.Name(), c.seed)
	if *loadFlag > 0 {
		text += " -load " + loadFlag.String()
	}
	if c.form.protocol != "classic" {
		text += " -protocol " + c.form.protocol
	}
	return text
}

func (c *chaos) countDeaths(r *chaosResult) {
	for _, m := range c.crew.all() {
		switch why := m.endedBy(); {
		case why == "by itself":
			r.ByItself++
		case strings.HasPrefix(why, "kill"):
			r.Deaths++
		}
	}
	if c.form.real {
		r.Brokers = c.done.of(brokerKill).Happened
	}
}

// settings are those that the figures depend on.
func (c *chaos) settings() map[string]any {
	all := map[string]any{"partitions": c.form.partitions, "replicas": c.form.replicas}
	for _, key := range []string{"kafka.session_timeout", "kafka.transaction_timeout", "gateway.timeout", "retry.give_up_after"} {
		all[key] = c.system.settings[key]
	}
	for key, value := range c.form.settings {
		all[key] = value
	}
	return all
}

func verdictOf(r chaosResult) string {
	switch {
	case len(r.Violations) > 0:
		return "violated"
	case len(r.Missing) > 0:
		return "incomplete"
	default:
		return "held"
	}
}

// keep writes the result beside the others.
func (r chaosResult) keep(dir string) (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("chaos-%s-%s-%d.json", strings.ReplaceAll(r.Form, " ", "-"), r.Began.Format("20060102T150405Z"), r.Seed)
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, append(text, '\n'), 0o600)
}
