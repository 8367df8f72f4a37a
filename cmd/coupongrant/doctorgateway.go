package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// lookPatience is how long doctor waits for one answer.
const lookPatience = 5 * time.Second

// How far this host's clock may be from the gateway's: it refuses calls that are
// ten minutes off.
const (
	clockRefused = 9 * time.Minute
	clockWarned  = time.Minute
)

func lookGatewayURL(d *doctor) []finding {
	if inClear := d.cfg.gatewayInClear(); inClear != nil {
		return []finding{warning(inClear.says, inClear.mend)}
	}
	return nil
}

func lookCredentials(d *doctor) (all []finding) {
	const mend = "write the secret into the file that is named, readable for the user that the processor runs as"
	for _, err := range d.cfg.emptyCredentials() {
		all = append(all, wrong(apart(err, mend)))
	}
	if len(all) > 0 {
		return all
	}
	if err := d.cfg.CheckCredentials(); err != nil {
		for line := range strings.Lines(err.Error()) {
			all = append(all, wrong(strings.TrimSpace(line), mend))
		}
	}
	return all
}

// lookCredentialFiles finds what `run` refuses, and warns where it was told to accept it.
func lookCredentialFiles(d *doctor) []finding {
	var all []finding
	for _, file := range d.cfg.secretFiles() {
		err := file.guarded()
		if err == nil {
			continue
		}
		says, mend := apart(err, "let the user that the processor runs as into the folder of that file")
		if d.cfg.accepts(readableFiles) {
			all = append(all, warning(says, mend))
			continue
		}
		all = append(all, wrong(says, mend))
	}
	return all
}

// apart is what is wrong and its mend, which is otherwise where the error names none.
func apart(err error, otherwise string) (says, mend string) {
	if e, ok := errors.AsType[*mendableError](err); ok {
		return e.says, e.mend
	}
	return err.Error(), otherwise
}

func lookSessionExpiry(d *doctor) []finding {
	at := d.cfg.SessionExpiresAt
	if at.IsZero() {
		return nil
	}
	left := time.Until(at.Time)
	switch {
	case left <= 0:
		return []finding{wrong("gateway.session_expires_at is "+at.String()+", which is past: the gateway refuses all calls", sessionMend)}
	case left <= sessionWarnings[0]:
		return []finding{warning(fmt.Sprintf("gateway.session_expires_at is %s, in %.1f days", at.String(), left.Hours()/24), sessionMend)}
	default:
		return nil
	}
}

// gatewayAnswer is what the gateway says to a call that names no method: an
// error of its own. It holds neither key nor session, so it can grant nothing.
type gatewayAnswer struct {
	err      error
	status   int
	speaks   bool // it is an error envelope of the gateway
	date     time.Time
	from, to time.Time // when it was asked and when it answered
}

func (d *doctor) askGateway(ctx context.Context) (a gatewayAnswer) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.cfg.Gateway.URL, http.NoBody)
	if err != nil {
		return gatewayAnswer{err: err}
	}
	request.Header.Set("User-Agent", d.cfg.Gateway.UserAgent)
	a.from = time.Now()
	response, err := d.http.Do(request)
	if err != nil {
		return gatewayAnswer{err: err}
	}
	a.to = time.Now()
	defer func() { _ = response.Body.Close() }()
	a.status = response.StatusCode
	a.date, _ = http.ParseTime(response.Header.Get("Date")) // zero if it has none
	if a.status == http.StatusSwitchingProtocols {
		return a // its body is the connection, which no deadline ends
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	a.speaks = err == nil && strings.Contains(string(text), "error_response")
	return a
}

func lookGateway(d *doctor) []finding {
	a := d.gateway
	var dns *net.DNSError
	switch {
	case errors.As(a.err, &dns):
		return []finding{wrong("gateway.url is "+d.cfg.Gateway.URL+", and its host has no address", "check the name, and the name server of this host")}
	case a.err != nil:
		return []finding{wrong(fmt.Sprintf("gateway.url is %s, and nothing answers there: %v", d.cfg.Gateway.URL, schemas.Unanswered(a.err)), "check the address, the way out of this network (firewall) and the certificates of this host")}
	case !a.speaks:
		return []finding{warning(fmt.Sprintf("gateway.url is %s, and what answers there with status %d does not speak like the gateway", d.cfg.Gateway.URL, a.status), "use the address of the gateway's /router/rest; a proxy that answers in its place must let it through")}
	default:
		return nil
	}
}

func lookClock(d *doctor) []finding {
	a := d.gateway
	if a.err != nil || a.date.IsZero() {
		return []finding{unseen("the gateway says no time", "")}
	}
	// Its time is of a moment between question and answer, without its fraction
	// of a second.
	off := max(a.from.Add(-time.Second).Sub(a.date), a.date.Sub(a.to), 0)
	ahead := a.from.After(a.date)
	text := fmt.Sprintf("this host's clock is %v %s the gateway's", off.Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[ahead])
	switch mend := "have this host's clock kept by NTP (chrony, systemd-timesyncd)"; {
	case off > clockRefused:
		return []finding{wrong(text+", which refuses calls that are ten minutes off", mend)}
	case off > clockWarned:
		return []finding{warning(text+"; from ten minutes on it refuses all calls", mend)}
	default:
		return nil
	}
}

// registryAnswer is what the registry holds of our subjects.
type registryAnswer struct {
	err      error
	subjects []schemas.Subject
}

func (d *doctor) askRegistry(ctx context.Context) registryAnswer {
	registry, err := schemas.NewRegistry(d.cfg.Registry)
	if err != nil {
		return registryAnswer{err: err}
	}
	defer registry.Close()
	subjects, err := registry.Inspect(ctx, d.cfg.Processor.Topics.Schemas())
	return registryAnswer{err, subjects}
}

func lookRegistry(d *doctor) []finding {
	if d.schemas.err == nil {
		return nil
	}
	return []finding{wrong(fmt.Sprintf("registry.url is %s: %v", d.cfg.Registry.URL, d.schemas.err), "check the address, and registry.user and its password if it asks for them")}
}

func lookSchemas(d *doctor) []finding {
	var all []finding
	for _, s := range d.schemas.subjects {
		switch {
		case s.Missing:
			all = append(all, wrong("the registry lacks the current schema of "+s.Name, "run `coupongrant topics create`; if it was there before, restore the registry instead; if it exists in another registry, check registry.url"))
		case s.Refused != nil:
			all = append(all, wrong(fmt.Sprintf("version %d of %s is none that can be read: %v; records written with it become dead letters", s.Latest, s.Name, s.Refused), "have its producer go back to the version before, and delete this one from the registry"))
		}
	}
	return all
}

func lookCompatibility(d *doctor) []finding {
	var all []finding
	var untold []string
	for _, s := range d.schemas.subjects {
		switch {
		case s.Latest == 0 || s.Compatibility == schemas.FullTransitive:
		case s.Compatibility == "":
			untold = append(untold, s.Name)
		default:
			all = append(all, warning(
				fmt.Sprintf("the compatibility of %s is %s: somebody can register a schema that readers of the topic cannot read", s.Name, s.Compatibility),
				"run `coupongrant topics create`, which sets "+schemas.FullTransitive))
		}
	}
	if len(untold) > 0 {
		all = append(all, unseen("the registry does not tell the compatibility of "+strings.Join(untold, ", "), "try again; if it lasts, see whether this user may read it, and look at the registry"))
	}
	return all
}
