package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// Exit codes of a verdict, beside those of every command.
const (
	exitViolated   = 3
	exitUnfinished = 4
)

// auditEvery is the pause between two looks of `audit --wait`.
const auditEvery = time.Second

type auditFlags struct {
	json   bool
	ledger string
	state  string
	wait   time.Duration
}

func (c *cli) auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check from the topics alone that every request was ended exactly once",
		Long: `Reads all topics and recomputes the promise: every request record has exactly one
outcome or dead letter, or is not finished yet. With --ledger, the outcomes are held
against what a gateway simulator has granted. It may run beside the processor and
changes nothing in the brokers.

With --state DIR it keeps what it knows in that folder, and the next time reads only
what is new; the report is of everything all the same, and says how many breaches are
new. The folder is as private as the input topics, takes about 45 bytes a request, and
belongs to one system and one audit at a time.

Memory does not grow with the topics, but for half a byte a request, and about 150
bytes for a request that the processor has begun and not ended. Fingerprints of request
ids, about 45 bytes each, are kept on disk, in --state or else in TMPDIR.

What --json prints is described in docs/audit.md.

Exit code 0: balanced as far as can be checked, 3: violated, 4: not finished yet.`,
		Example: `  coupongrant audit
  coupongrant audit --wait 1m --ledger http://127.0.0.1:8089
  coupongrant audit --json --state /var/lib/coupongrant-audit    every few minutes`,
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return usage(err)
			}
			return c.audit(cmd.Context(), cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "the report as JSON")
	flags.StringVar(&f.ledger, "ledger", "", "URL of a gateway simulator's control address, to check that outcomes are true")
	flags.StringVar(&f.state, "state", "", "folder to keep what was read in, so that the next audit reads only what is new")
	flags.DurationVar(&f.wait, "wait", 0, "look again until all is finished, for so long at most")
	return cmd
}

func (f auditFlags) check() error {
	if f.wait < 0 {
		return fmt.Errorf("--wait is %s: use a duration such as 1m", f.wait)
	}
	if f.ledger == "" {
		return nil
	}
	at, err := url.Parse(f.ledger)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return fmt.Errorf("--ledger is no http or https URL: use that of a simulator, such as http://127.0.0.1:8089")
	}
	return nil
}

// folder is where the state is kept: with --wait alone, for as long as that lasts.
func (f auditFlags) folder() (dir string, release func() error, err error) {
	if f.state != "" {
		release, err = lockFolder("state", f.state)
		return f.state, release, err
	}
	if f.wait == 0 {
		return "", noLock, nil
	}
	dir, err = os.MkdirTemp("", "coupongrant-audit-")
	if err != nil {
		return "", noLock, fmt.Errorf("keeping fingerprints on disk: %w; TMPDIR names the folder", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

func (c *cli) audit(ctx context.Context, cfg Config, f auditFlags) error {
	state, release, err := f.folder()
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	if err := reachable(ctx, cfg); err != nil {
		return err
	}
	line := newStatusLine(c.stderr)
	defer line.close()
	a, err := newAuditor(cfg, kafkaOptions(cfg, quiet()), f.ledger)
	if err != nil {
		return err
	}
	defer a.close()
	a.source.State = state
	a.source.Progress = readProgress(line)
	report, err := a.wait(ctx, f.wait, func(report proof.Report) error {
		if f.state == "" {
			report.New = nil // since what no user knows
		}
		line.close()
		return writeReport(c.stdout, report, f.json)
	})
	if err != nil {
		return err
	}
	return exit(verdictCode(report.Verdict()))
}

func verdictCode(v proof.Verdict) int {
	switch v {
	case proof.Balanced:
		return exitDone
	case proof.Unfinished:
		return exitUnfinished
	default:
		return exitViolated
	}
}

func writeReport(w io.Writer, report proof.Report, asJSON bool) error {
	if !asJSON {
		return report.WriteText(w)
	}
	return writeIndented(w, struct {
		Verdict proof.Verdict `json:"verdict"`
		proof.Report
	}{report.Verdict(), report})
}

// auditor looks at a system as often as it is asked to.
type auditor struct {
	source *proof.Source
	http   *http.Client
	ledger string // URL; empty: none
}

func newAuditor(cfg Config, kafka []kgo.Opt, ledger string) (*auditor, error) {
	source, err := newSource(cfg, kafka)
	if err != nil {
		return nil, err
	}
	return &auditor{
		source: source, ledger: ledger,
		http: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second},
	}, nil
}

func (a *auditor) close() {
	a.source.Registry.Close()
	a.http.CloseIdleConnections()
}

// look reads what is new since the state, or else everything. What it has found
// becomes known when tell was done: a breach that nobody was told of is new again.
func (a *auditor) look(ctx context.Context, tell func(proof.Report) error) (proof.Report, error) {
	checker, err := proof.Read(ctx, a.source)
	if err != nil {
		return proof.Report{}, withoutTopic(err)
	}
	report, err := a.judge(ctx, checker)
	if err == nil {
		err = tell(report)
	}
	if err == nil {
		err = checker.Save(report)
	}
	return report, errors.Join(err, checker.Close())
}

func (a *auditor) judge(ctx context.Context, checker *proof.Checker) (proof.Report, error) {
	if a.ledger != "" {
		if err := proof.ReadLedger(ctx, a.http, a.ledger, checker); err != nil {
			return proof.Report{}, err
		}
	}
	report := checker.Report()
	return report, checker.Err()
}

// wait looks until the verdict is final or patience is over, and tells of that
// look. The others have found nothing to tell.
func (a *auditor) wait(ctx context.Context, patience time.Duration, tell func(proof.Report) error) (proof.Report, error) {
	over, told := time.Now().Add(patience), false
	for {
		report, err := a.look(ctx, func(report proof.Report) error {
			told = report.Verdict() != proof.Unfinished || time.Now().Add(auditEvery).After(over)
			if !told {
				return nil
			}
			return tell(report)
		})
		if err != nil || told {
			return report, err
		}
		select {
		case <-time.After(auditEvery):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}
