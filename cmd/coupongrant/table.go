package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// table is rows under named columns, for people and as CSV.
type table struct {
	title   []string // lines above it, for people
	columns []column
	rows    [][]cell
	total   []cell   // for people; nil: none
	empty   string   // what people read where there is no row
	notes   []string // lines below it, for people
}

type column struct {
	name  string // in CSV, snake_case
	label string // for people; empty: the name
	right bool   // numbers stand at the right
}

// cell is one value, twice: as programs read it and as people do.
type cell struct{ csv, text string }

// textCell shows an empty text as a dash, and what would move the cursor quoted.
func textCell(s string) cell {
	if s == "" {
		return cell{"", "-"}
	}
	return cell{s, printable(s)}
}

func countCell(n int64) cell {
	digits := strconv.FormatInt(n, 10)
	return cell{digits, grouped(digits)}
}

// sumCell takes nil for a sum of nothing.
func sumCell(n *big.Int) cell {
	if n == nil {
		return cell{"", "-"}
	}
	return cell{n.String(), grouped(n.String())}
}

// waitCell is a time that passed, in milliseconds.
func waitCell(ms int64) cell { return cell{strconv.FormatInt(ms, 10), waited(ms)} }

// momentCell is UTC for programs and in the zone for people.
func momentCell(ms int64, zone *time.Location) cell {
	at := time.UnixMilli(ms)
	return cell{at.UTC().Format("2006-01-02T15:04:05.000Z"), at.In(zone).Format("2006-01-02 15:04:05")}
}

// grouped sets the digits of a whole number in threes.
func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	first := len(digits) % 3
	var groups []string
	if first > 0 {
		groups = append(groups, digits[:first])
	}
	for at := first; at < len(digits); at += 3 {
		groups = append(groups, digits[at:at+3])
	}
	return sign + strings.Join(groups, ",")
}

// waited is as exact as a person reads it: three or four digits.
func waited(ms int64) string {
	const day = 24 * 60 * 60 * 1000
	if ms >= 2*day || ms <= -2*day {
		return fmt.Sprintf("%.1f days", float64(ms)/day) // beyond 292 years no time.Duration holds it
	}
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d.Abs() < 10*time.Second:
		return d.String()
	case d.Abs() < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// writeCSV writes RFC 4180: a header, lines that end in CR LF, and quotes where
// they are needed. A line feed within a value stays what it is, which is why
// the writer is not asked for CR LF.
func (t *table) writeCSV(w io.Writer) error {
	out := bufio.NewWriter(w)
	values := make([]string, len(t.columns))
	for i, c := range t.columns {
		values[i] = c.name
	}
	writeCSVLine(out, values)
	for _, row := range t.rows {
		for i, c := range row {
			values[i] = c.csv
		}
		writeCSVLine(out, values)
	}
	return out.Flush()
}

// writeCSVLine leaves errors to the writer's Flush.
func writeCSVLine(w *bufio.Writer, values []string) {
	var line strings.Builder
	encoder := csv.NewWriter(&line)
	_ = encoder.Write(values) // into memory
	encoder.Flush()
	_, _ = w.WriteString(strings.TrimSuffix(line.String(), "\n") + "\r\n")
}

// writeText aligns the columns as a terminal shows them: a Chinese character is
// as wide as two others.
func (t *table) writeText(w io.Writer) error {
	var b strings.Builder
	for _, line := range t.title {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintln(&b)
	if len(t.rows) == 0 {
		fmt.Fprintln(&b, t.empty)
	} else {
		t.grid(&b)
	}
	for i, note := range t.notes {
		if i == 0 {
			fmt.Fprintln(&b)
		}
		fmt.Fprintln(&b, note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) grid(b *strings.Builder) {
	lines := make([][]string, 0, len(t.rows)+2)
	head := make([]string, len(t.columns))
	for i, c := range t.columns {
		if head[i] = c.label; c.label == "" {
			head[i] = strings.ReplaceAll(c.name, "_", " ")
		}
	}
	lines = append(lines, head)
	for _, row := range t.rows {
		lines = append(lines, texts(row))
	}
	if t.total != nil {
		lines = append(lines, texts(t.total))
	}
	widths := make([]int, len(t.columns))
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], runewidth.StringWidth(text))
		}
	}
	for _, line := range lines {
		b.WriteString(t.aligned(line, widths))
	}
}

func texts(cells []cell) []string {
	all := make([]string, len(cells))
	for i, c := range cells {
		all[i] = c.text
	}
	return all
}

func (t *table) aligned(line []string, widths []int) string {
	var b strings.Builder
	for i, text := range line {
		room := strings.Repeat(" ", widths[i]-runewidth.StringWidth(text))
		if i > 0 {
			b.WriteString("  ")
		}
		if t.columns[i].right {
			b.WriteString(room + text)
		} else {
			b.WriteString(text + room)
		}
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}
