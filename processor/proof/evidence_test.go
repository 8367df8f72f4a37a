//go:build chaos || apart

package proof_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// journal is what the run saw from outside, in the order of time: faults,
// starts and ends, assignments. With the tables below it is the evidence that a
// violation is understood from.
type journal struct {
	mu  sync.Mutex
	out io.Writer
}

func newJournal(t testing.TB, dir string) *journal {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "journal.log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return &journal{out: file}
}

// clock is how evidence tells time: as the processes' logs do.
const clock = "15:04:05.000000"

func (j *journal) write(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = fmt.Fprintf(j.out, time.Now().UTC().Format(clock)+" "+format+"\n", args...) // evidence may be lost, the run goes on
}

// writeTables leaves every call and every input record, a line each.
func (c *chaos) writeTables(view *lateView) error {
	err := writeTable(filepath.Join(c.dir, "calls.tsv"), func(out io.Writer) {
		for _, made := range c.calls.all() {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", made.outID, made.caller.name, made.began.UTC().Format(clock), made.over.UTC().Format(clock))
		}
	})
	if err != nil {
		return err
	}
	return writeTable(filepath.Join(c.dir, "inputs.tsv"), func(out io.Writer) {
		for _, in := range view.inputs {
			event := sent{requestID: "unknown"}
			if in.event >= 0 && in.event < len(c.feed.sent) {
				event = c.feed.sent[in.event]
			}
			fmt.Fprintf(out, "%s\t%s\t%s\tbatch %d\tflaw %d\tparked %d\t%s\t%s\n", in, in.key, event.requestID, event.batch, event.flaw,
				len(view.parked[in.String()]), view.ends[in.String()], view.reasons[in.String()])
		}
	})
}

func writeTable(path string, fill func(io.Writer)) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	fill(out)
	if err := out.Flush(); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
