package proof

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// The lines of the file are what the engine writes; its own tests hold it to
// them, so that the proof reads the same format without sharing code.
func TestFinishedSetReadsWhatTheEngineCommits(t *testing.T) {
	file, err := os.Open("testdata/metadata.jsonl")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	kinds := map[byte]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var one struct {
			Watermark int64
			Finished  []int64
			Metadata  string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &one))
		got := finishedSet(one.Watermark, one.Metadata)
		require.Equal(t, fmt.Sprint(one.Finished), fmt.Sprint(got), one.Metadata)
		if set := strings.Split(one.Metadata, ".")[5]; set != "" {
			kinds[set[0]] = true
		}
	}
	require.Equal(t, map[byte]bool{'r': true, 'b': true}, kinds)
}

func TestFinishedSetOfAnythingElseIsNone(t *testing.T) {
	withSum := func(set string) string {
		body := "cg1.nonce.1.0.0." + set
		return body + "." + strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36)
	}
	encode := base64.RawURLEncoding.EncodeToString
	huge := binary.AppendUvarint(binary.AppendUvarint(nil, 1), 1<<40)
	require.Equal(t, []int64{11}, finishedSet(10, withSum("r"+encode([]byte{1, 1}))), "the rows below are of this form")
	for _, give := range []string{
		"", ".", "cg1", "text of somebody else",
		"cg1.nonce.1.0.0.rAQE.wrong",
		withSum("x" + encode([]byte{1, 1})),
		withSum("r" + encode([]byte{1})),
		withSum("r" + encode(huge)),
		withSum("r!"),
		withSum("b" + encode(make([]byte, maxFinished))),
		withSum(""),
	} {
		require.Empty(t, finishedSet(10, give), give)
	}
}

// A record that is committed as finished above the watermark and has no end is
// lost; one that is not, is not finished yet. A parked copy counts alike.
func TestFinishedSetDecidesWhatIsLostAboveTheWatermark(t *testing.T) {
	for _, c := range []struct {
		name       string
		plant      func(*system)
		lost       []int64
		unfinished int64
	}{
		{"no end", func(*system) {}, []int64{0, 2}, 2},
		{"ended", func(s *system) { s.grant(0); s.grant(2) }, nil, 2},
		{"parked", func(s *system) { s.grant(0); s.park(2, 50) }, nil, 3},
		{"parked copy finished above the watermark", func(s *system) { s.grant(0); s.park(2, 20) }, []int64{2}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem(4)
			s.AddRange(Range{Topic: "store", End: 4, Committed: 1, Finished: []int64{2}})
			s.AddRange(Range{Topic: "retry", End: 100, Committed: 10, Finished: []int64{20}})
			c.plant(s)
			r := s.Report()
			var lost []int64
			for _, f := range r.Violations[Lost].Named {
				lost = append(lost, f.Offset)
			}
			require.Equal(t, c.lost, lost)
			require.Equal(t, c.unfinished, r.Unfinished)
		})
	}
}

func TestReadKnowsTheFinishedSet(t *testing.T) {
	l := newLive(t, 12)
	l.finish(l.client, 0, false)
	source := strings.Split(l.sourceOf(11), "/")
	at, err := strconv.ParseInt(source[2], 10, 64)
	require.NoError(t, err)
	body := "cg1.nonce.1.0.0.r" + base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(at)), 1))
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: source[0], Metadata: fmt.Sprint(body, ".", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36))})
	require.NoError(t, l.admin.CommitAllOffsets(t.Context(), "g", offsets))
	r := l.look()
	require.EqualValues(t, 1, r.Violations[Lost].Total)
	require.Equal(t, at, r.Violations[Lost].Named[0].Offset)
	require.EqualValues(t, 10, r.Unfinished)
}

// Anybody may have committed to the group: whatever stands there is read
// without harm.
func FuzzFinishedSet(f *testing.F) {
	f.Add(int64(10), "cg1.nonce.1.0.0.rAQE")
	f.Add(int64(10), "cg1.nonce.1.0.0.b_w")
	f.Fuzz(func(t *testing.T, watermark int64, body string) {
		sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36) // a fuzzer finds no checksums
		all := finishedSet(watermark, body+"."+sum)
		require.LessOrEqual(t, len(all), maxFinished)
		if watermark >= 0 && watermark <= 1<<61 {
			require.True(t, slices.IsSorted(all))
		}
	})
}
