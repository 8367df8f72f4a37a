package proof

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people: the counts, what could not be
// checked, every breach with where it is, and the verdict as the last line.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeCounts(&b)
	for _, u := range r.Unread {
		fmt.Fprintf(&b, "\nnot read: %s/%d from %d to %d: %s\n", u.Topic, u.Partition, u.From, u.End, u.Why)
	}
	if r.Conflicts.Total > 0 {
		writeFindings(&b, "conflicting requests (the producer's, no breach of ours)", r.Conflicts)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Violations)) {
		writeFindings(&b, "VIOLATED: "+string(k), r.Violations[k])
	}
	fmt.Fprintf(&b, "\n%s\n", r.sentence())
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) writeCounts(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name string, n int64, note string) {
		fmt.Fprintf(w, "%s\t%12d\t%s\n", name, n, note)
	}
	some := func(name string, n int64, note string) {
		if n > 0 {
			row(name, n, note)
		}
	}
	row("requests", r.Requests, "")
	row("  granted", r.Granted, "")
	row("  failed", total(r.Failed), reasons(r.Failed))
	row("  dead letters", total(r.DeadLetters), reasons(r.DeadLetters))
	row("  not finished", r.Unfinished, r.unfinishedNote())
	row("attempts", r.Attempts, "at least")
	some("repeats", r.Repeats, "records whose request_id an earlier one has")
	some("replays", r.Replays, "")
	some("gone", r.Gone, "ends whose request record retention took")
	some("not checkable", r.NotCheckable, "requests whose end retention may have taken")
	if l := r.Ledger; l != nil {
		row("ledger", l.OutIDs, fmt.Sprintf("out_ids, %d calls, %d coupons, %d for no request here", l.Calls, l.Coupons, l.Foreign))
	}
	_ = w.Flush() // into a strings.Builder
}

func (r Report) unfinishedNote() string {
	var notes []string
	if r.Parked > 0 {
		notes = append(notes, fmt.Sprintf("%d of them parked", r.Parked))
	}
	if r.OldestUnfinished != nil {
		notes = append(notes, "the oldest of "+r.OldestUnfinished.Format(time.RFC3339))
	}
	return strings.Join(notes, ", ")
}

func (r Report) sentence() string {
	switch r.Verdict() {
	case Violated:
		var n int64
		for _, f := range r.Violations {
			n += f.Total
		}
		if r.New != nil {
			return fmt.Sprintf("violated: %d breaches, %d of them new", n, *r.New)
		}
		return fmt.Sprintf("violated: %d breaches", n)
	case Unfinished:
		return "not finished yet, and nothing violated so far"
	default:
		if r.NotCheckable > 0 {
			return fmt.Sprintf("balanced as far as could be checked; requests without an end, which retention may have taken: %d", r.NotCheckable)
		}
		return "balanced: every request record ended exactly once"
	}
}

func writeFindings(b *strings.Builder, title string, f Findings) {
	fmt.Fprintf(b, "\n%s: %d\n", title, f.Total)
	for _, one := range f.Named {
		fmt.Fprintf(b, "  %s\n", one)
	}
	if rest := f.Total - int64(len(f.Named)); rest > 0 {
		fmt.Fprintf(b, "  and %d more\n", rest)
	}
}

// String is one line; what came from outside is quoted.
func (f Finding) String() string {
	var b strings.Builder
	if f.Topic != "" {
		fmt.Fprintf(&b, "%s/%d/%d ", f.Topic, f.Partition, f.Offset)
	}
	if f.Source != "" {
		fmt.Fprintf(&b, "for %s ", f.Source)
	}
	if f.RequestID != "" {
		fmt.Fprintf(&b, "request_id %q ", f.RequestID)
	}
	return b.String() + f.Detail
}

func total(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

func reasons(m map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
