package proof

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpoolGivesBackWhatWasAdded(t *testing.T) {
	s := newSpool(8)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	var want [buckets][]uint64
	for i := range uint64(3 * buckets * chunkSize / 8) {
		b := i % buckets
		entry := b<<56 | i
		want[b] = append(want[b], entry)
		s.add(entry, binary.LittleEndian.AppendUint64(nil, entry))
	}
	require.NotEmpty(t, s.chunks[0], "some of it is on disk")
	for b := range buckets {
		var got []uint64
		require.NoError(t, s.each(b, func(entry []byte) { got = append(got, binary.LittleEndian.Uint64(entry)) }))
		require.Equal(t, want[b], got)
	}
}

func TestSpoolTellsThatItCouldNotWrite(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	s := newSpool(8)
	for i := range uint64(chunkSize) {
		s.add(i, binary.LittleEndian.AppendUint64(nil, i))
	}
	require.ErrorIs(t, s.each(0, func([]byte) {}), os.ErrNotExist)
	require.ErrorContains(t, s.err, "keeping fingerprints on disk")
	require.NoError(t, s.close())
}

func TestCheckerTellsOnceThatItCouldNotWriteAndWhatToDo(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	c := NewChecker(testTopics())
	for _, s := range []*spool{c.facts, c.waiting} {
		for range chunkSize {
			s.addFact(fact{id: 1})
		}
	}
	c.Report()
	require.ErrorContains(t, c.Err(), "; TMPDIR names the folder")
	require.Equal(t, 1, strings.Count(c.Err().Error(), "keeping fingerprints on disk"), c.Err())
}

func TestCheckerTellsThatItsFingerprintsAreGone(t *testing.T) {
	s := newSystem(1)
	s.grant(0)
	s.facts.err = os.ErrClosed
	s.Report()
	require.ErrorIs(t, s.Err(), os.ErrClosed)
}
