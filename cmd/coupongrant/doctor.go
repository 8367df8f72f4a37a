package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

func (c *cli) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what can be seen of all that `run` needs, and say what mends it",
		Long: `Looks at the settings, the credentials and their files, the gateway and the clock, the
registry and its schemas, the brokers, the topics, this user's rights and the consumer
group. Each error and warning says what is wrong and what mends it. It changes nothing,
grants nothing and fences nobody, so it may run beside replicas: on the host and as the
user that the processor runs as, or else it looks at other files and other rights.

An error keeps 'run' from working, or would break a promise sooner or later. A warning is
about what makes it slower to get over a fault. Unseen is what could not be looked at:
it may be well or not.

What it cannot see: whether Tmall accepts secret and session, which only a grant shows;
and the right to write under the transactional id, which only 'run' shows.

Exit code 0: no errors, whatever the warnings; 1: errors; 2: the settings cannot be used,
and nothing else was looked at.`,
		Example: `  coupongrant doctor --config /etc/coupongrant.yaml
  coupongrant doctor --json | jq -r '.findings[] | .level+" "+.check+": "+.mend'`,
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(defaultConfig(), c.file, c.environ, cmd.Flags())
			return c.doctor(cmd.Context(), cfg, err, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// level of a finding.
type level string

const (
	levelError   level = "error"   // `run` does not work, or a promise is in danger
	levelWarning level = "warning" // it works, and gets over some fault badly
	levelUnseen  level = "unseen"  // it could not be looked at
)

// finding is one thing that is wrong, with its mend.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Says  string `json:"finding"`
	Mend  string `json:"mend"`
}

// check is one thing to look at.
type check struct {
	name  string // fixed: scripts may go by it
	about string // what is fine when there is no finding
	look  func(*doctor) []finding
}

// checkSection is what is looked at together.
type checkSection struct {
	title string
	// cannot says why none of its checks can look; empty: they can. The teller looks all
	// the same: it is the check that tells of it.
	cannot func(*doctor) string
	teller string
	checks []check
}

// checkSections in the order in which a person mends: what comes first is often the
// cause of what comes later.
func checkSections() []checkSection {
	return []checkSection{
		{"settings", nil, "", []check{
			{"settings", "every setting has a value that works", nil}, // by loadConfig
			{"replica-name", "kafka.transactional_id tells this replica from others", lookReplicaName},
			{"gateway-url", "calls are encrypted, or stay on this host", lookGatewayURL},
			{"encryption", "what goes to the brokers is encrypted", lookEncryption},
			{"certificates", "no certificate of ours ends soon", lookCertificates},
		}},
		{"credentials and gateway", nil, "", []check{
			{"credentials", "app key, secret and session are there", lookCredentials},
			{"credential-files", "nobody else can read the files", lookCredentialFiles},
			{"session-expiry", "the session does not expire soon, as far as is known", lookSessionExpiry},
			{"gateway", "the gateway answers", lookGateway},
			{"clock", "this host's clock agrees with the gateway's", lookClock},
		}},
		{"registry", noRegistry, "registry", []check{
			{"registry", "the registry answers", lookRegistry},
			{"schemas", "our schemas are registered, and what others register can be read", lookSchemas},
			{"compatibility", "the registry refuses schemas that would break readers", lookCompatibility},
		}},
		{"brokers", noBrokers, "brokers", brokerChecks()},
		{"topics", noBrokers, "", topicChecks()},
		{"rights and group", noBrokers, "", groupChecks()},
	}
}

// doctor is one look at everything.
type doctor struct {
	cfg     Config
	http    *http.Client
	gateway gatewayAnswer
	schemas registryAnswer
	kafka   kafkaFacts
}

func (c *cli) doctor(ctx context.Context, cfg Config, broken error, asJSON bool) error {
	line := newStatusLine(c.stderr)
	defer line.close()
	report := diagnosis{Findings: []finding{}}
	if broken != nil {
		report.Findings = brokenSettings(broken)
		report.settingsOnly = true
	} else {
		d := &doctor{cfg: cfg, http: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			Timeout:       lookPatience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		line.set("looking at the gateway ...")
		d.gateway = d.askGateway(ctx)
		line.set("looking at the registry ...")
		d.schemas = d.askRegistry(ctx)
		line.set("looking at the brokers ...")
		d.kafka = askKafka(ctx, cfg)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		report.Findings = append(report.Findings, d.examine()...)
	}
	line.close()
	var err error
	if asJSON {
		report.Errors, report.Warnings = report.count(levelError), report.count(levelWarning)
		err = writeIndented(c.stdout, report)
	} else {
		_, err = io.WriteString(c.stdout, report.text())
	}
	switch {
	case err != nil:
		return err
	case broken != nil:
		return exit(exitUsage)
	case report.count(levelError) > 0:
		return exit(exitFailed)
	}
	return nil
}

func (d *doctor) examine() []finding {
	var all []finding
	for _, s := range checkSections() {
		cannot := ""
		if s.cannot != nil {
			cannot = s.cannot(d)
		}
		for _, c := range s.checks {
			var found []finding
			switch {
			case c.look == nil:
			case cannot != "" && c.name != s.teller:
				found = []finding{unseen(cannot, "")}
			default:
				found = c.look(d)
			}
			for _, f := range found {
				f.Check = c.name
				all = append(all, f)
			}
		}
	}
	return all
}

func noRegistry(d *doctor) string {
	if d.schemas.err != nil {
		return "the registry does not answer"
	}
	return ""
}

func noBrokers(d *doctor) string {
	if d.kafka.err != nil {
		return "no broker answers"
	}
	return ""
}

// quotation is a value or a key as settings errors tell it. An apostrophe begins none.
var quotation = regexp.MustCompile(`"(\\.|[^"\\])*"|\B'[^']*'`)

// brokenSettings makes a finding of each line of a settings error, which says
// its mend itself, behind the first colon that is not a quotation's.
func brokenSettings(err error) (all []finding) {
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		f := finding{Check: "settings", Level: levelError, Says: line, Mend: "`coupongrant config keys` lists all settings, and what they mean"}
		plain := quotation.ReplaceAllStringFunc(line, func(q string) string { return strings.Repeat("_", len(q)) })
		if says, _, found := strings.Cut(plain, ": "); found && strings.Contains(says, " ") {
			f.Says, f.Mend = line[:len(says)], line[len(says)+len(": "):]
		}
		all = append(all, f)
	}
	return all
}

// diagnosis is all that was found, and the JSON of doctor.
type diagnosis struct {
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Findings []finding `json:"findings"`

	settingsOnly bool // the rest was not looked at
}

func (d *diagnosis) count(l level) (n int) {
	for _, f := range d.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

func (d *diagnosis) text() string {
	var b strings.Builder
	for _, s := range checkSections() {
		if d.settingsOnly && s.title != "settings" {
			break
		}
		fmt.Fprintf(&b, "%s\n", s.title)
		for _, c := range s.checks {
			if d.settingsOnly && c.name != "settings" {
				continue
			}
			d.writeCheck(&b, c)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", d.summary())
	return b.String()
}

func (d *diagnosis) writeCheck(b *strings.Builder, c check) {
	fine := true
	for _, f := range d.Findings {
		if f.Check != c.name {
			continue
		}
		fine = false
		fmt.Fprintf(b, "  %-8s %s: %s\n", f.Level, c.name, printable(f.Says))
		if f.Mend != "" {
			fmt.Fprintf(b, "           mend: %s\n", printable(f.Mend))
		}
	}
	if fine {
		fmt.Fprintf(b, "  %-8s %s: %s\n", "ok", c.name, c.about)
	}
}

func (d *diagnosis) summary() string {
	errs, warnings := d.count(levelError), d.count(levelWarning)
	text := plural(errs, "error", "errors") + ", " + plural(warnings, "warning", "warnings")
	if n := d.count(levelUnseen); n > 0 {
		text += fmt.Sprintf(", %d not looked at", n)
	}
	switch {
	case d.settingsOnly:
		return text + "; the rest is looked at when the settings are mended"
	case errs > 0:
		return text + "; mend the first error first, others may come of it"
	case d.count(levelUnseen) > 0:
		return text + "; as far as was seen, `coupongrant run` can start"
	default:
		return text + "; `coupongrant run` can start"
	}
}

func wrong(says, mend string) finding { return finding{Level: levelError, Says: says, Mend: mend} }

func warning(says, mend string) finding { return finding{Level: levelWarning, Says: says, Mend: mend} }

func unseen(says, mend string) finding { return finding{Level: levelUnseen, Says: says, Mend: mend} }

// topicKeys names the setting of each topic.
func topicKeys(cfg Config) map[string]string {
	keys := map[string]string{}
	for _, s := range cfg.settings() {
		if section(s.key) == "topics" {
			keys[s.value.String()] = s.key
		}
	}
	return keys
}
