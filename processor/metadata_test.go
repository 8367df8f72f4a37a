package processor

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMetadataIsReadBackAsWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := randomMetadata(random)
		got, err := decodeMetadata(want.position.watermark, want.position.leaderEpoch, want.encode())
		require.NoError(t, err)
		require.Equal(t, want, got)
		requireSize(t, want)
	}
}

// requireSize: size is what decides which ends go out, so it must not be below
// what is written, and above it by no more than a short checksum is shorter.
func requireSize(t *testing.T, m metadata) {
	t.Helper()
	text := m.encode()
	require.LessOrEqual(t, len(text), m.size())
	require.GreaterOrEqual(t, len(text), m.size()-6)
}

// randomMetadata has sets from dense to sparse.
func randomMetadata(random *rand.Rand) metadata {
	m := metadata{
		nonce: nonce{session: newNonce().session, sequence: random.Uint64()},
		position: position{
			watermark:   random.Int64N(1 << random.IntN(50)),
			leaderEpoch: random.Int32N(100) - 1,
		},
	}
	m.position.ceiling = m.position.watermark + random.Int64N(1000)
	if random.IntN(2) == 0 {
		m.ban = time.Unix(1+random.Int64N(1<<33), 0).UTC()
	}
	at := m.position.watermark
	step := random.Int64N(100) + 1
	for range random.IntN(200) {
		at += 1 + random.Int64N(step)
		m.position.finished = append(m.position.finished, at)
	}
	return m
}

// Brokers are known to be set to 64 bytes.
func TestMetadataWithoutSetIsBelowTheFloor(t *testing.T) {
	text := metadata{
		nonce:    nonce{session: newNonce().session, sequence: math.MaxUint64},
		position: position{ceiling: math.MaxInt64},
		ban:      time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}.encode()
	require.Less(t, len(text), metadataFloor, text)
}

func TestEmptyMetadataIsNoSetAndNoCeiling(t *testing.T) {
	m, err := decodeMetadata(42, 3, "")
	require.NoError(t, err)
	require.Equal(t, metadata{position: position{watermark: 42, ceiling: 42, leaderEpoch: 3}}, m)
}

func TestForeignMetadataIsRefused(t *testing.T) {
	sealed := func(body string) string { return body + "." + checksum(body) }
	for name, text := range map[string]string{
		"a member id of kgo":           "kgo-7d5f2a3c-1f0e-4c7b-9a55-3f0f4f3f8e11",
		"of Kafka Streams":             "AgAAAZNfJ2YA",
		"a checksum alone":             sealed(""),
		"dots alone":                   "......",
		"a later version":              sealed("cg2.AAAAAAAAAAA.1.0.0."),
		"a field more":                 sealed("cg1.AAAAAAAAAAA.1.0.0..x"),
		"a field less":                 sealed("cg1.AAAAAAAAAAA.1.0.0"),
		"a sequence that is no number": sealed("cg1.AAAAAAAAAAA.-.0.0."),
		"a ceiling that is no number":  sealed("cg1.AAAAAAAAAAA.1..0."),
		"a ceiling below the offset":   sealed("cg1.AAAAAAAAAAA.1.-1.0."),
		"a ceiling beyond all offsets": sealed("cg1.AAAAAAAAAAA.1.1y2p0ij32e8e7.0."),
		"a ban that is no number":      sealed("cg1.AAAAAAAAAAA.1.0.-."),
		"a set of another kind":        sealed("cg1.AAAAAAAAAAA.1.0.0.xAQE"),
		"a set that is not base64":     sealed("cg1.AAAAAAAAAAA.1.0.0.r?"),
		"a run cut short":              sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(1)),
		"a run of nothing":             sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(1, 0)),
		"a run without end":            sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(1, math.MaxUint64)),
		"many runs, too long in all":   sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(1, maxFinished, 1, 1)),
		"a run beyond all offsets":     sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(math.MaxInt64, 1)),
		"runs that turn around":        sealed("cg1.AAAAAAAAAAA.1.0.0." + runsOf(1<<62, 1, 1<<62, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := decodeMetadata(10, 0, text)
			require.ErrorIs(t, err, errForeignMetadata)
			require.LessOrEqual(t, len(m.position.finished), maxFinished)
			require.Less(t, len(err.Error()), 200, "it goes into a hold")
		})
	}
}

// runsOf is a finished set as runs: offsets skipped, offsets finished, and so on.
func runsOf(lengths ...uint64) string {
	var raw []byte
	for _, n := range lengths {
		raw = binary.AppendUvarint(raw, n)
	}
	return "r" + base64.RawURLEncoding.EncodeToString(raw)
}

// A later version must be told from damage: it says what to do about it.
func TestUnknownVersionIsNamed(t *testing.T) {
	for version, later := range map[string]bool{"cg2": true, "cg7": true, "cg10": true, "cg0": false, "cg01": false, "cgx": false, "x": false} {
		_, err := decodeMetadata(10, 0, version+".x."+checksum(version+".x"))
		require.ErrorIs(t, err, errForeignMetadata)
		_, told := errors.AsType[*LaterMetadataError](err)
		require.Equal(t, later, told, version)
		require.Contains(t, err.Error(), strconv.Quote(version))
	}
}

func TestDamageOfOneByteIsSeen(t *testing.T) {
	text := randomMetadata(rand.New(rand.NewPCG(3, 4))).encode()
	for i := range len(text) {
		for b := range 256 {
			damaged := text[:i] + string([]byte{byte(b)}) + text[i+1:]
			_, err := decodeMetadata(0, 0, damaged)
			require.Equal(t, damaged == text, err == nil, "byte %d as %#x", i, b)
		}
		_, err := decodeMetadata(0, 0, text[:i])
		require.Equal(t, i == 0, err == nil, "cut at %d", i)
	}
}

func TestFinishedSetTakesTheShorterForm(t *testing.T) {
	var dense, sparse, run []int64
	for i := range int64(200) {
		dense = append(dense, 10+2*i)
		sparse = append(sparse, 10+50*i)
		run = append(run, 10+i)
	}
	for _, row := range []struct {
		name   string
		give   []int64
		kind   string
		length int
	}{
		{"nothing", nil, "", 0},
		{"every other offset", dense, "b", 68},
		{"one in fifty", sparse, "r", 535},
		{"all", run, "r", 5},
		{"one far away", []int64{1 << 40}, "r", 11},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := encodeSet(10, row.give)
			require.Len(t, text, row.length)
			require.True(t, strings.HasPrefix(text, row.kind))
			got, err := decodeSet(10, text)
			require.NoError(t, err)
			require.Equal(t, row.give, got)
		})
	}
}

// TestMetadataIsAsTheProofReadsIt: the proof has a reader of its own, which is
// held to the same file. A change of the format must change both.
func TestMetadataIsAsTheProofReadsIt(t *testing.T) {
	file, err := os.Open("proof/testdata/metadata.jsonl")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var one struct {
			Watermark int64
			Finished  []int64
			Metadata  string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &one))
		m, err := decodeMetadata(one.Watermark, 0, one.Metadata)
		require.NoError(t, err)
		require.Equal(t, one.Finished, m.position.finished)
		require.Equal(t, one.Metadata, m.encode())
	}
}

func TestNoncesDiffer(t *testing.T) {
	first := newNonce()
	require.NotEqual(t, first.session, newNonce().session)
	require.NotEqual(t, first, first.next())
	require.Equal(t, first.next(), first.next())
}

// Whatever stands beside a committed offset, reading it ends well, and what is
// read is written again without loss.
func FuzzMetadata(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		m := randomMetadata(random)
		text := m.encode()
		f.Add(m.position.watermark, text[:strings.LastIndexByte(text, '.')])
	}
	f.Add(int64(0), "")
	f.Add(int64(10), "cg1.AAAAAAAAAAA.1.0.0."+runsOf(1, math.MaxUint64))
	f.Add(int64(1<<61), "cg1.AAAAAAAAAAA.1.1.0.b_w")
	f.Fuzz(func(t *testing.T, offset int64, body string) {
		_, _ = decodeMetadata(offset, 0, body)
		m, err := decodeMetadata(offset, 0, body+"."+checksum(body)) // a fuzzer finds no checksums
		if err != nil || offset < 0 || offset > 1<<61 {
			return
		}
		require.IsIncreasing(t, append([]int64{offset - 1}, m.position.finished...))
		again, err := decodeMetadata(offset, 0, m.encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
		requireSize(t, m)
	})
}
