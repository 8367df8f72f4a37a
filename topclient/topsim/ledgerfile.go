package topsim

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	ledgerFormat  = "coupongrant-topsim-ledger"
	ledgerVersion = 1
)

// ledgerHead is the first line of a data file.
type ledgerHead struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Salt    string `json:"salt"`
}

// grant is every further line of a data file.
type grant struct {
	AppKey     string    `json:"app_key"`
	OutID      string    `json:"out_id"`
	UUID       string    `json:"uuid"`
	CouponType int64     `json:"coupon_type"`
	Member     string    `json:"member"`
	Content    string    `json:"dto_hash"`
	At         time.Time `json:"at"`
	Model      Model     `json:"coupon"`
}

// ledgerFile is append-only JSON lines. Each line is one write to the system
// before its answer leaves: it survives the death of the process, not that of
// the machine. One process at a time.
type ledgerFile struct {
	file *os.File
	size int64 // of whole lines
}

// open reads the file into the ledger, or makes it. A last line without an end
// is what a kill left of a grant that nobody was answered, and is cut off; any
// other damage is an error.
func (l *Ledger) open(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	f := &ledgerFile{file: file}
	if err := l.load(f); err != nil {
		return errors.Join(fmt.Errorf("reading the ledger %s: %w", path, err), file.Close())
	}
	l.file = f
	return nil
}

func (l *Ledger) load(f *ledgerFile) error {
	lines := bufio.NewReader(f.file)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := l.take(number, line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		f.size += int64(len(line))
	}
	if err := f.rewind(); err != nil {
		return err
	}
	if f.size > 0 {
		return nil
	}
	_, _ = rand.Read(l.salt[:]) // never fails
	return f.writeLine(ledgerHead{ledgerFormat, ledgerVersion, hex.EncodeToString(l.salt[:])})
}

func (l *Ledger) take(number int, line []byte) error {
	if number == 1 {
		return l.takeHead(line)
	}
	var g grant
	if err := json.Unmarshal(line, &g); err != nil {
		return errors.New("not a grant")
	}
	var member memberHash
	var content [16]byte
	if !unhex(member[:], g.Member) || !unhex(content[:], g.Content) || g.OutID == "" || g.Model.InstanceID <= 0 {
		return errors.New("a member of the grant is missing or wrong")
	}
	l.record(l.entry(entryKey{g.AppKey, g.OutID}), &g, member, content)
	return nil
}

func (l *Ledger) takeHead(line []byte) error {
	var head ledgerHead
	if err := json.Unmarshal(line, &head); err != nil || head.Format != ledgerFormat {
		return errors.New("not a ledger of this simulator")
	}
	if head.Version != ledgerVersion {
		return fmt.Errorf("version %d, this program knows %d", head.Version, ledgerVersion)
	}
	if !unhex(l.salt[:], head.Salt) {
		return errors.New("no salt")
	}
	return nil
}

// unhex wants exactly as much as fits.
func unhex(into []byte, text string) bool {
	if hex.DecodedLen(len(text)) != len(into) {
		return false
	}
	n, err := hex.Decode(into, []byte(text))
	return err == nil && n == len(into)
}

func (f *ledgerFile) append(g grant) error { return f.writeLine(g) }

// writeLine leaves the file as it was if the line does not fit as a whole: the
// next line must not begin in the middle of one.
func (f *ledgerFile) writeLine(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	line = append(line, '\n')
	if _, err := f.file.Write(line); err != nil {
		return errors.Join(fmt.Errorf("writing the ledger: %w", err), f.rewind())
	}
	f.size += int64(len(line))
	return nil
}

// rewind cuts off what comes after the last whole line.
func (f *ledgerFile) rewind() error {
	if err := f.file.Truncate(f.size); err != nil {
		return err
	}
	_, err := f.file.Seek(f.size, io.SeekStart)
	return err
}

// close ends persistence; the ledger in memory stays readable.
func (l *Ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.file.Close()
}
