package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sorted adds rows and returns them as they come out.
func sorted(t *testing.T, s *sorter, rows []string) []string {
	t.Helper()
	defer s.close()
	for _, r := range rows {
		require.NoError(t, s.add(tuple(r)))
	}
	var out []string
	require.NoError(t, s.each(func(r *tupleReader) error {
		out = append(out, string(r.rest))
		return nil
	}))
	return out
}

func TestSorterPutsRowsInOrderInMemoryAndOnDisk(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]string, 5000)
	for i := range rows {
		for range random.IntN(40) { // also empty ones, and equal ones
			rows[i] += string('a' + rune(random.IntN(4)))
		}
	}
	want := slices.Sorted(slices.Values(rows))
	for _, memory := range []int{0, 1, 100, 10_000} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			s := &sorter{memory: memory}
			require.Equal(t, want, sorted(t, s, rows))
			require.Equal(t, memory > 0, len(s.parts) > 1, "it went over the disk")
		})
	}
	require.Empty(t, sorted(t, &sorter{}, nil))
}

func TestSorterLeavesNoFileBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := &sorter{memory: 1}
	require.Len(t, sorted(t, s, []string{"a", "b"}), 2)
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
	s.close() // once more

	t.Setenv("TMPDIR", "/nowhere")
	require.ErrorContains(t, (&sorter{memory: 1}).add(tuple("x")), "TMPDIR names the folder")
}

func TestTuplesSortAsTheirMembersDo(t *testing.T) {
	texts := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00a", "\x01", "a", "a\x00", "a\x00b", "a\x01", "aa", "b", "\xff", "店"}
	numbers := []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}
	type members struct {
		text   string
		number int64
		second string
	}
	var all []members
	for _, a := range texts {
		for _, n := range numbers {
			for _, b := range texts {
				all = append(all, members{a, n, b})
			}
		}
	}
	asRow := func(m members) tuple { return tuple(nil).text(m.text).number(m.number).text(m.second) }
	for _, a := range all {
		r := tupleReader{asRow(a)}
		require.Equal(t, a, members{r.text(), r.number(), r.text()})
		require.Empty(t, r.rest)
		for _, b := range all {
			want := cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.number, b.number), cmp.Compare(a.second, b.second))
			if got := bytes.Compare(asRow(a), asRow(b)); got != want {
				require.Equal(t, want, got, "%q and %q", a, b)
			}
		}
	}
}

func TestTuplesKeepWhatIsAbsent(t *testing.T) {
	zero := int64(0)
	r := tupleReader{tuple(nil).optional(nil).optional(&zero).text("end")}
	require.Nil(t, r.optional())
	require.Equal(t, &zero, r.optional())
	require.Equal(t, "end", r.text())
}
