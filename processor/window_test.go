package processor

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "record what the window scripts print anew")

// Each script in testdata/window is blocks of commands, a line ----, and what
// they print. The invariants are checked after every command.
//
//	open W [ceiling=C] [finished=O,...] [records=N] [bytes=N]  a window at a committed position
//	admit O... [size=N]      what becomes of records as they are polled
//	finish O...              their ends come
//	ready [fits=N]           what a commit would hold; a finished set above N does not fit
//	commit [ceiling=C]       what ready said is committed
//	resize bytes=N           other partitions came or went
//	lowest [called=O,...]    the ceiling that a graceful stop would leave
//	reopen                   a successor opens the window at what was committed last
//	state                    the window
func TestWindowScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/window/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(script)
			require.NoError(t, err)
			got := new(windowScript).replay(string(text))
			if *update {
				require.NoError(t, os.WriteFile(script, []byte(got), 0o600))
			}
			require.Equal(t, string(text), got, "go test -update records it anew")
		})
	}
}

// windowScript is one script on its way.
type windowScript struct {
	window         *window
	ready          position
	committed      position
	records, bytes int
}

// replay returns the script with what its commands print in place of what they
// printed when it was recorded.
func (s *windowScript) replay(text string) string {
	blocks := strings.Split(strings.TrimRight(text, "\n"), "\n\n")
	for i, block := range blocks {
		commands, _, ok := strings.Cut(block, "\n----")
		if !ok {
			continue // a comment
		}
		var out strings.Builder
		for command := range strings.Lines(commands) {
			out.WriteString(s.step(strings.Fields(command)))
		}
		blocks[i] = commands + "\n----\n" + strings.TrimRight(out.String(), "\n")
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

// step does one command, prints, and prints as well what broke an invariant.
func (s *windowScript) step(fields []string) (out string) {
	if len(fields) == 0 || fields[0] == "#" {
		return ""
	}
	defer func() {
		if broken := recover(); broken != nil {
			out = fmt.Sprintf("panic: %v\n", broken)
		}
	}()
	out = s.do(fields[0], parseArguments(fields[1:]))
	if err := s.window.check(); err != nil {
		out += fmt.Sprintf("broken: %v\n", err)
	}
	return out
}

// arguments are the offsets and the name=value pairs of a command.
type arguments struct {
	offsets []int64
	named   map[string][]int64
}

func parseArguments(fields []string) arguments {
	args := arguments{named: map[string][]int64{}}
	for _, field := range fields {
		if name, values, ok := strings.Cut(field, "="); ok {
			args.named[name] = numbers(strings.Split(values, ","))
			continue
		}
		args.offsets = append(args.offsets, numbers([]string{field})...)
	}
	return args
}

func numbers(texts []string) []int64 {
	var ns []int64
	for _, text := range texts {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			panic(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// one returns a named number, or what it is if it is not given.
func (a arguments) one(name string, otherwise int64) int64 {
	if values, ok := a.named[name]; ok {
		return values[0]
	}
	return otherwise
}

func (s *windowScript) do(command string, args arguments) string {
	switch command {
	case "open":
		s.records, s.bytes = int(args.one("records", 100)), int(args.one("bytes", 1000))
		s.committed = position{watermark: args.offsets[0], ceiling: args.one("ceiling", args.offsets[0]), finished: args.named["finished"]}
		s.window = newWindow(s.committed, s.records, s.bytes)
	case "reopen":
		s.window = newWindow(s.committed, s.records, s.bytes)
	case "admit":
		return s.admit(args.offsets, int(args.one("size", 1)))
	case "finish":
		for _, offset := range args.offsets {
			s.window.Finish(offset, endOf(offset))
		}
	case "ready":
		return s.readyNow(int(args.one("fits", 1000)))
	case "commit":
		s.ready.ceiling = args.one("ceiling", s.ready.ceiling)
		s.window.Committed(s.ready)
		s.committed = s.ready
	case "resize":
		s.bytes = int(args.one("bytes", 1000))
		s.window.Resize(s.bytes)
	case "lowest":
		called := func(offset int64) bool { return slices.Contains(args.named["called"], offset) }
		return fmt.Sprintf("ceiling %d\n", s.window.LowestCeiling(s.ready, called))
	case "state":
		return s.state()
	default:
		panic("unknown command " + command)
	}
	return ""
}

func (s *windowScript) admit(offsets []int64, size int) (out string) {
	words := map[admission]string{
		admitted: "admitted", admittedInDoubt: "admitted in doubt",
		alreadyHere: "already here", alreadyEnded: "already ended",
	}
	for _, offset := range offsets {
		out += fmt.Sprintf("%d %s\n", offset, words[s.window.Admit(offset, size, 1)])
	}
	return out
}

func (s *windowScript) readyNow(fits int) string {
	pos, ends, ok := s.window.Ready(func(pos position) bool { return len(pos.finished) <= fits })
	if !ok {
		return "does not fit\n"
	}
	s.ready = pos
	return fmt.Sprintf("watermark %d, ceiling %d, finished %v, ends of %v\n", pos.watermark, pos.ceiling, pos.finished, offsetsOf(ends))
}

func (s *windowScript) state() string {
	w := s.window
	out := fmt.Sprintf("watermark %d, next %d, ceiling %d, %d live of %d bytes", w.watermark, w.next, w.ceiling, w.live, w.bytes)
	if w.Full() {
		out += ", full"
	}
	for _, e := range w.entries {
		out += fmt.Sprintf("\n%d %s", e.offset, map[entryState]string{unfinished: "unfinished", finished: "finished", ended: "ended"}[e.state])
	}
	for _, offset := range slices.Sorted(maps.Keys(w.ended)) {
		out += fmt.Sprintf("\n%d ended, not polled", offset)
	}
	return out + "\n"
}

func endOf(offset int64) *end { return &end{task: &task{offset: offset}} }

func offsetsOf(ends []*end) []int64 {
	offsets := []int64{}
	for _, e := range ends {
		offsets = append(offsets, e.task.offset)
	}
	return offsets
}

// The watermark goes past markers: with the record before them, by themselves where
// there is none, and also when they came while that record was being committed.
func TestWatermarkPassesMarkers(t *testing.T) {
	all := func(position) bool { return true }
	w := newWindow(position{watermark: 5, leaderEpoch: 1}, 10, 1000)
	w.Pass(5, 2)
	require.True(t, w.dirty)
	pos, ends, ok := w.Ready(all)
	require.True(t, ok)
	require.Empty(t, ends)
	require.Equal(t, position{watermark: 6, leaderEpoch: 2, ceiling: 6}, pos)
	w.Pass(6, 3) // meanwhile
	w.Committed(pos)
	require.NoError(t, w.check())
	require.False(t, w.allCommitted())
	require.True(t, w.dirty)

	require.Equal(t, admitted, w.Admit(7, 1, 3))
	w.Pass(8, 4)
	w.Pass(4, 1) // again
	pos, _, _ = w.Ready(all)
	require.EqualValues(t, 7, pos.watermark, "7 has no end")
	require.EqualValues(t, 3, pos.leaderEpoch)
	w.Committed(pos)
	require.False(t, w.dirty)
	require.NoError(t, w.check())
	w.Finish(7, &end{})
	w.Pass(9, 4)
	pos, ends, _ = w.Ready(all)
	require.Len(t, ends, 1)
	require.Equal(t, position{watermark: 10, leaderEpoch: 4, ceiling: 10}, pos)
	require.Equal(t, admitted, w.Admit(10, 1, 4))
	w.Committed(pos)
	require.NoError(t, w.check())
	require.Equal(t, 1, w.live)
	require.Empty(t, pos.finished, "a marker is nothing that has an end")
}
