package proof

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
)

// maxFinished is more than a commit's metadata can hold in any sane setting; a
// hostile run length must not grow memory.
const maxFinished = 1 << 17

// finishedSet reads the offsets above the watermark that a commit calls
// finished from its metadata:
//
//	cg1.<nonce>.<sequence>.<ceiling>.<ban>.<finished set>.<checksum>
//
// It is written down here again, on purpose: the engine's own could be wrong.
// What cannot be read is no set, which only makes the verdict milder.
func finishedSet(watermark int64, metadata string) []int64 {
	body, sum, ok := cutLast(metadata, ".")
	fields := strings.Split(body, ".")
	if !ok || len(fields) != 6 || fields[0] != "cg1" || len(fields[5]) < 2 ||
		sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36) {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(fields[5][1:])
	if err != nil {
		return nil
	}
	switch fields[5][0] {
	case 'r':
		return finishedRuns(watermark, raw)
	case 'b':
		return finishedBits(watermark, raw)
	default:
		return nil
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// finishedRuns: pairs of uvarints, offsets skipped and offsets finished.
func finishedRuns(at int64, raw []byte) (all []int64) {
	for len(raw) > 0 {
		skip, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil
		}
		length, m := binary.Uvarint(raw[n:])
		if m <= 0 || skip > 1<<62 || at+int64(skip) < at || length > uint64(maxFinished-len(all)) {
			return nil
		}
		raw = raw[n+m:]
		at += int64(skip)
		for range length {
			all = append(all, at)
			at++
		}
	}
	return all
}

func finishedBits(watermark int64, raw []byte) (all []int64) {
	if len(raw)*8 > maxFinished {
		return nil
	}
	for i, b := range raw {
		for bit := range 8 {
			if b&(1<<bit) != 0 {
				all = append(all, watermark+int64(i*8+bit))
			}
		}
	}
	return all
}
