package processor

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metadata is what a commit says of a partition besides the offset. As text,
// since Kafka keeps it as a string:
//
//	cg1.<nonce>.<sequence>.<ceiling>.<ban>.<finished set>.<checksum>
//
// nonce and sequence name the transaction; ceiling is relative to the committed
// offset; ban is Unix seconds, 0 none; numbers are in base 36. The finished set
// is empty, or r (run lengths) or b (a bitmap) and base64, whichever is
// shorter. Without a set it stays below 64 bytes, the smallest limit that an
// operator is known to set (offset.metadata.max.bytes).
type metadata struct {
	nonce    nonce
	position position // watermark is the committed offset, which travels beside
	ban      time.Time
}

// nonce names one transaction of one session, so that a commit whose answer was
// lost can be recognised.
type nonce struct {
	session  string // random, 11 characters
	sequence uint64
}

const (
	metadataVersion = "cg1"
	maxFinished     = 1 << 17 // more is neither written nor read: a hostile run length must not grow memory
)

// errForeignMetadata: the partition was committed by something else, by a later
// version, or the metadata is damaged. To treat it as empty would publish
// second outcomes.
var errForeignMetadata = errors.New("commit metadata is not ours or damaged")

// LaterMetadataError is of a commit in a format to come: the version that wrote
// it knows from it what has ended.
type LaterMetadataError struct{ Version string }

func (e *LaterMetadataError) Error() string {
	return fmt.Sprintf("commit metadata of a later version (%.20q, this program reads %s): go on with that version; --accept-foreign-offsets would end again what it knows to have ended",
		e.Version, metadataVersion)
}

func (*LaterMetadataError) Unwrap() error { return errForeignMetadata }

var laterVersion = regexp.MustCompile(`^cg([2-9]|[1-9][0-9]+)$`)

func newNonce() nonce {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return nonce{session: base64.RawURLEncoding.EncodeToString(b[:])}
}

func (n nonce) next() nonce { return nonce{session: n.session, sequence: n.sequence + 1} }

func (m metadata) encode() string {
	body := m.body(encodeSet(m.position.watermark, m.position.finished))
	return body + "." + checksum(body)
}

// size is what encode gives at most, without the work.
func (m metadata) size() int {
	const longestChecksum = 7 // of 32 bits in base 36
	return len(m.body("")) + setSize(m.position.watermark, m.position.finished) + 1 + longestChecksum
}

func (m metadata) body(set string) string {
	ban := int64(0)
	if !m.ban.IsZero() {
		ban = m.ban.Add(time.Second - 1).Unix() // never shorter than it is
	}
	return strings.Join([]string{
		metadataVersion,
		m.nonce.session,
		strconv.FormatUint(m.nonce.sequence, 36),
		strconv.FormatInt(m.position.ceiling-m.position.watermark, 36),
		strconv.FormatInt(ban, 36),
		set,
	}, ".")
}

func checksum(body string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36)
}

// decodeMetadata reads what stands beside a committed offset. Empty metadata is
// no set and no ceiling: an operator reset the offset.
func decodeMetadata(offset int64, leaderEpoch int32, text string) (metadata, error) {
	m := metadata{position: position{watermark: offset, ceiling: offset, leaderEpoch: leaderEpoch}}
	if text == "" {
		return m, nil
	}
	cut := strings.LastIndexByte(text, '.')
	if cut < 0 || checksum(text[:cut]) != text[cut+1:] {
		return m, fmt.Errorf("%w: no valid checksum", errForeignMetadata)
	}
	fields := strings.Split(text[:cut], ".")
	if laterVersion.MatchString(fields[0]) {
		return m, &LaterMetadataError{fields[0]}
	}
	if fields[0] != metadataVersion || len(fields) != 6 {
		return m, fmt.Errorf("%w: version %.20q of %d fields", errForeignMetadata, fields[0], len(fields))
	}
	m.nonce.session = fields[1]
	var ahead, ban int64
	var errs [4]error
	m.nonce.sequence, errs[0] = strconv.ParseUint(fields[2], 36, 64)
	ahead, errs[1] = strconv.ParseInt(fields[3], 36, 64)
	ban, errs[2] = strconv.ParseInt(fields[4], 36, 64)
	m.position.finished, errs[3] = decodeSet(offset, fields[5])
	if err := errors.Join(errs[:]...); err != nil {
		return m, fmt.Errorf("%w: %w", errForeignMetadata, err)
	}
	if ahead < 0 || offset+ahead < offset {
		return m, fmt.Errorf("%w: ceiling %d", errForeignMetadata, ahead)
	}
	m.position.ceiling = offset + ahead
	if ban > 0 {
		m.ban = time.Unix(ban, 0).UTC()
	}
	return m, nil
}

// Reached is the first offset of which a commit says nothing: what is below it was in the
// log once. An error says why this program could not go on from the commit.
func Reached(offset int64, text string) (int64, error) {
	m, err := decodeMetadata(offset, -1, text)
	return m.position.reached(), err
}

func encodeSet(watermark int64, finished []int64) string {
	if len(finished) == 0 {
		return ""
	}
	if runs, bitmap := runsSize(watermark, finished), bitmapSize(watermark, finished); runs <= bitmap {
		return "r" + base64.RawURLEncoding.EncodeToString(encodeRuns(watermark, finished))
	}
	return "b" + base64.RawURLEncoding.EncodeToString(encodeBitmap(watermark, finished))
}

// setSize is the length of what encodeSet gives.
func setSize(watermark int64, finished []int64) int {
	if len(finished) == 0 {
		return 0
	}
	return 1 + base64.RawURLEncoding.EncodedLen(min(runsSize(watermark, finished), bitmapSize(watermark, finished)))
}

// runs yields of each run of finished offsets how many are skipped before it, and
// how many it has.
func runs(watermark int64, finished []int64) iter.Seq2[uint64, uint64] {
	return func(yield func(skipped, length uint64) bool) {
		at := watermark
		for i := 0; i < len(finished); {
			end := i + 1
			for end < len(finished) && finished[end] == finished[end-1]+1 {
				end++
			}
			if !yield(uint64(finished[i]-at), uint64(end-i)) {
				return
			}
			at = finished[end-1] + 1
			i = end
		}
	}
}

// encodeRuns writes pairs of uvarints: offsets skipped, offsets finished.
func encodeRuns(watermark int64, finished []int64) []byte {
	var out []byte
	for skipped, length := range runs(watermark, finished) {
		out = binary.AppendUvarint(out, skipped)
		out = binary.AppendUvarint(out, length)
	}
	return out
}

func runsSize(watermark int64, finished []int64) int {
	size := 0
	for skipped, length := range runs(watermark, finished) {
		size += uvarintSize(skipped) + uvarintSize(length)
	}
	return size
}

func uvarintSize(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

func bitmapSize(watermark int64, finished []int64) int {
	return int((finished[len(finished)-1] - watermark + 8) / 8)
}

func encodeBitmap(watermark int64, finished []int64) []byte {
	out := make([]byte, bitmapSize(watermark, finished))
	for _, offset := range finished {
		i := offset - watermark
		out[i/8] |= 1 << (i % 8)
	}
	return out
}

func decodeSet(watermark int64, text string) ([]int64, error) {
	if text == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text[1:])
	if err != nil {
		return nil, fmt.Errorf("finished set: %w", err)
	}
	switch text[0] {
	case 'r':
		return decodeRuns(watermark, raw)
	case 'b':
		return decodeBitmap(watermark, raw)
	default:
		return nil, fmt.Errorf("finished set of kind %.1q", text)
	}
}

func decodeRuns(watermark int64, raw []byte) ([]int64, error) {
	var finished []int64
	at := watermark
	for len(raw) > 0 {
		skip, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, errors.New("finished set: broken run")
		}
		length, m := binary.Uvarint(raw[n:])
		if m <= 0 || length == 0 || skip > 1<<62 || length > uint64(maxFinished-len(finished)) {
			return nil, errors.New("finished set: broken run")
		}
		raw = raw[n+m:]
		at += int64(skip)
		if at < watermark || at > 1<<62 {
			return nil, errors.New("finished set: run out of range")
		}
		finished = slices.Grow(finished, int(length))
		for range length {
			finished = append(finished, at)
			at++
		}
	}
	return finished, nil
}

func decodeBitmap(watermark int64, raw []byte) ([]int64, error) {
	if len(raw)*8 > maxFinished || watermark > 1<<62 {
		return nil, errors.New("finished set: bitmap out of range")
	}
	var finished []int64
	for i, b := range raw {
		for bit := range 8 {
			if b&(1<<bit) != 0 {
				finished = append(finished, watermark+int64(i*8+bit))
			}
		}
	}
	return finished, nil
}
