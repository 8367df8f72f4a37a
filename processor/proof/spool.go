package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

const (
	// buckets divide the fingerprints of request ids, so that one bucket at a
	// time is looked at: a two hundred and fifty-sixth of all.
	buckets = 256

	// chunkSize is what a bucket gathers before it is written: 4 MiB for all.
	chunkSize = 16 << 10

	chunkHeader = 12 // bucket, length, and the checksum of both and of the entries
)

// spool keeps entries of one size by bucket, on disk as soon as a bucket has
// gathered a chunk of them. The first error stays; after it nothing is kept.
type spool struct {
	size    int
	file    *os.File // nil: nothing was written yet
	end     int64    // of what was written
	kept    bool     // the file outlives us
	buffers [buckets][]byte
	chunks  [buckets][]chunk
	err     error
}

// chunk is a part of a bucket in the file.
type chunk struct {
	at     int64
	length int
}

func newSpool(size int) *spool { return &spool{size: size} }

// add keeps an entry; bucket is the top byte of a fingerprint.
func (s *spool) add(fingerprint uint64, entry []byte) {
	b := int(fingerprint >> 56)
	if len(s.buffers[b])+len(entry) > chunkSize {
		s.flush(b)
	}
	s.buffers[b] = append(s.buffers[b], entry...)
}

func (s *spool) flush(b int) {
	if s.err != nil || len(s.buffers[b]) == 0 {
		return
	}
	if s.file == nil {
		if s.file, s.err = nameless(); s.err != nil {
			return
		}
	}
	header := chunkHead(b, s.buffers[b])
	if _, err := s.file.WriteAt(append(header, s.buffers[b]...), s.end); err != nil {
		s.err = fmt.Errorf("keeping fingerprints on disk: %w", err)
		if !s.kept {
			s.err = fmt.Errorf("%w; TMPDIR names the folder", s.err)
		}
		return
	}
	s.chunks[b] = append(s.chunks[b], chunk{s.end, len(s.buffers[b])})
	s.end += chunkHeader + int64(len(s.buffers[b]))
	s.buffers[b] = s.buffers[b][:0]
}

func chunkHead(b int, entries []byte) []byte {
	header := binary.LittleEndian.AppendUint32(nil, uint32(b))
	header = binary.LittleEndian.AppendUint32(header, uint32(len(entries)))
	return binary.LittleEndian.AppendUint32(header, crc32.Update(crc32.ChecksumIEEE(header), crc32.IEEETable, entries))
}

// nameless opens a file that is gone when the process is, however that ends.
func nameless() (*os.File, error) {
	file, err := os.CreateTemp("", "coupongrant-audit-")
	if err != nil {
		return nil, fmt.Errorf("keeping fingerprints on disk: %w; TMPDIR names the folder", err)
	}
	_ = os.Remove(file.Name()) // where that cannot be, close does it
	return file, nil
}

// each calls f for every entry of a bucket, in the order of adding.
func (s *spool) each(b int, f func(entry []byte)) error {
	if s.err != nil {
		return s.err
	}
	give := func(entries []byte) {
		for ; len(entries) >= s.size; entries = entries[s.size:] {
			f(entries[:s.size])
		}
	}
	var buf []byte
	for _, c := range s.chunks[b] {
		if buf == nil {
			buf = make([]byte, chunkHeader+chunkSize)
		}
		whole := buf[:chunkHeader+c.length]
		if _, err := s.file.ReadAt(whole, c.at); err != nil {
			return fmt.Errorf("reading fingerprints from disk: %w", err)
		}
		if !bytes.Equal(whole[:chunkHeader], chunkHead(b, whole[chunkHeader:])) {
			return errors.New("reading fingerprints from disk: " + s.file.Name() + " is damaged")
		}
		give(whole[chunkHeader:])
	}
	give(s.buffers[b])
	return nil
}

// openSpool goes on with the entries of a file, which were written up to end;
// what stands behind is of a look that was not finished.
func openSpool(size int, file *os.File, end int64) (*spool, error) {
	s := &spool{size: size, file: file, end: end, kept: true}
	if info, err := file.Stat(); err != nil || info.Size() < end {
		return nil, errors.Join(errors.New("the file facts is cut off"), err)
	}
	var header [chunkHeader]byte
	for at := int64(0); at < end; {
		if _, err := file.ReadAt(header[:], at); err != nil {
			return nil, err
		}
		b, length := binary.LittleEndian.Uint32(header[:]), int(binary.LittleEndian.Uint32(header[4:]))
		if b >= buckets || length == 0 || length > chunkSize || length%size != 0 || at+chunkHeader+int64(length) > end {
			return nil, errors.New("the file facts is damaged")
		}
		s.chunks[b] = append(s.chunks[b], chunk{at, length})
		at += chunkHeader + int64(length)
	}
	return s, nil
}

// sync brings everything to the file and the file to the disk.
func (s *spool) sync() error {
	for b := range buckets {
		s.flush(b)
	}
	if s.err == nil && s.file != nil {
		s.err = s.file.Sync()
	}
	return s.err
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	if !s.kept {
		_ = os.Remove(s.file.Name())
	}
	return s.file.Close()
}
