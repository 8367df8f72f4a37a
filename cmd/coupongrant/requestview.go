package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// text is the trace for people: each record with what became of it, and the
// verdict last, where it is read first. reach are the flags by which other commands
// find the same.
func (t *requestTrace) text(reach string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "request %s\n", printable(t.RequestID))
	for _, r := range t.Records {
		b.WriteString("\n")
		r.write(&b, reach)
	}
	if t.More > 0 {
		fmt.Fprintf(&b, "\nand %d more records of this id\n", t.More)
	}
	fmt.Fprintf(&b, "\n%s\n", t.Verdict)
	return b.String()
}

func (t *traceRecord) write(b *strings.Builder, reach string) {
	fmt.Fprintf(b, "  %s", printable(t.Source))
	if t.Written == nil {
		b.WriteString("  the record itself is not in view: older than the topic, or than --since")
	} else {
		fmt.Fprintf(b, "  written %s", clock(*t.Written))
	}
	b.WriteString("\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "    %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	if t.ReplayOf != "" {
		row("replay of", "%s%s", printable(t.ReplayOf), doubt(t.InDoubt, nil))
	}
	if t.Note != "" {
		row("note", "%s", printable(t.Note))
	}
	if t.ExpiresAt != nil {
		row("expires", "%s", clock(*t.ExpiresAt))
	}
	if t.MoreParked > 0 {
		row("parked", "%s", plural(t.MoreParked, "earlier copy", "earlier copies"))
	}
	for _, p := range t.Parked {
		row("parked", "%s  %s, %s%s%s", position{p.Topic, p.Partition, p.Offset}, clock(p.Written), attempts(p.Attempts), doubt(p.InDoubt, p.FirstAttemptAt), dueAt(p.NextAt))
	}
	if t.MoreEnds > 0 {
		row("", "%s", plural(t.MoreEnds, "earlier end", "earlier ends"))
	}
	for _, e := range t.Ends {
		t.writeEnd(e, reach, row)
	}
	if len(t.Ends) == 0 {
		row(t.State, "no end so far")
	}
}

func (t *traceRecord) writeEnd(e view, reach string, row func(name, format string, args ...any)) {
	at := e.position()
	switch e.Kind {
	case kindGranted:
		row("granted", "%s  coupon %s, %s", at, e.Coupon.InstanceID, attempts(e.Attempts))
	case kindFailed:
		row("failed", "%s  %s%s, %s", at, printable(e.Reason), e.gatewaySays(), attempts(e.Attempts))
	case kindDeadLetter:
		row("dead", "%s  %s, %s%s", at, printable(e.Reason), attempts(e.Attempts), doubt(e.InDoubt, e.FirstAttemptAt))
		row("", "%s", printable(e.Error))
		if _, ok := parsePosition(e.Source); ok && e.Reason != string(schemas.ConflictingRequest) {
			row("", "to put it back: coupongrant dead-letters replay --source %s%s", shellWord(e.Source), reach)
		}
	default:
		row("?", "%s  %s", at, printable(e.Error))
	}
	for _, a := range e.AttemptLog {
		answer := "granted"
		if a.About != "" {
			answer = printable(a.About) + " " + printable(a.Code)
		}
		row("", "%s  %s", a.At.Local().Format("15:04:05.000"), answer)
	}
}

func doubt(inDoubt bool, since *time.Time) string {
	switch {
	case !inDoubt:
		return ""
	case since == nil:
		return ", in doubt"
	default:
		return ", in doubt since " + clock(*since)
	}
}

func dueAt(at *time.Time) string {
	if at == nil {
		return ""
	}
	return ", due " + clock(*at)
}
