package topsim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxScriptLine bounds what a control request can make us keep.
const maxScriptLine = 1000

// Script is a timeline of behaviours. The zero value is an empty one.
//
// A line is a time, a fault as Parse takes it, and limits in any order:
//
//	# a comment
//	10s-20s outage
//	20s-    throttle 50/s
//	0s-     lost-answers 1%
//	1m-2m   stall-after-grant 5s 10% uuid=fsdfsfee1f2
//	90s-    gzip-bomb x3 out_id=order-*
//
// Times are durations since the script's start, from inclusive to exclusive; no
// second one means for ever. P% is a probability, xN a number of times, out_id
// (a * at its end stands for any text) and uuid choose calls. Of several lines
// that fit a call the first strikes.
type Script struct{ lines []scriptLine }

type scriptLine struct {
	text      string
	from, to  time.Duration // to 0: for ever
	match     Match
	times     int // or always
	behaviour Behaviour
}

// String is the script without comments, a line each.
func (s Script) String() string {
	var b strings.Builder
	for _, line := range s.lines {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}

// ParseScript reads a script. The error joins what is wrong with each line.
func ParseScript(r io.Reader) (Script, error) {
	var script Script
	var errs []error
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxScriptLine), maxScriptLine)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		line, err := parseLine(words)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		script.lines = append(script.lines, line)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("reading the script: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return Script{}, err
	}
	return script, nil
}

func parseLine(words []string) (scriptLine, error) {
	line := scriptLine{text: strings.Join(words, " "), times: always}
	var err error
	if line.from, line.to, err = parseSpan(words[0]); err != nil {
		return scriptLine{}, err
	}
	var fault []string
	for _, word := range words[1:] {
		isLimit, err := line.limit(word)
		if err != nil {
			return scriptLine{}, err
		}
		if !isLimit {
			fault = append(fault, word)
		}
	}
	if line.behaviour, err = Parse(strings.Join(fault, " ")); err != nil {
		return scriptLine{}, err
	}
	return line, nil
}

func parseSpan(text string) (from, to time.Duration, err error) {
	first, last, isSpan := strings.Cut(text, "-")
	if !isSpan {
		return 0, 0, fmt.Errorf("%q is no time: write 10s-20s, or 10s- for ever", text)
	}
	if from, err = time.ParseDuration(first); err != nil {
		return 0, 0, fmt.Errorf("%q begins with no duration such as 10s", text)
	}
	if last == "" {
		return from, 0, nil
	}
	if to, err = time.ParseDuration(last); err != nil {
		return 0, 0, fmt.Errorf("%q ends with no duration such as 20s", text)
	}
	if to <= from {
		return 0, 0, fmt.Errorf("%q ends before it begins", text)
	}
	return from, to, nil
}

// limit takes a word that is a limit.
func (l *scriptLine) limit(word string) (bool, error) {
	if name, value, ok := strings.Cut(word, "="); ok {
		return true, l.choose(name, value)
	}
	if percent, ok := strings.CutSuffix(word, "%"); ok {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return true, fmt.Errorf("%q is no probability above 0%%, up to 100%%", word)
		}
		l.match.Probability = p / 100
		return true, nil
	}
	if digits, ok := strings.CutPrefix(word, "x"); ok && isDigits(digits) {
		n, err := strconv.Atoi(digits)
		if err != nil || n == 0 {
			return true, fmt.Errorf("%q is no number of times", word)
		}
		l.times = n
		return true, nil
	}
	return false, nil
}

func (l *scriptLine) choose(name, value string) error {
	switch name {
	case "out_id":
		l.match.OutID = value
	case "uuid":
		l.match.UUID = value
	default:
		return fmt.Errorf("%q: only out_id= and uuid= choose calls", name+"="+value)
	}
	return nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
