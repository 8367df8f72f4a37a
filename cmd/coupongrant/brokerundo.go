package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerUndo makes commits of the embedded broker whole in its folder. kfake ends
// a transaction by many writes: a marker into every partition, then every offset,
// then an entry in pids.log. A process killed between them would come back with
// outcomes whose offsets are not committed, and publish them again.
//
// So the sizes of all its files are written down before it ends a transaction. If
// the process came to its end before pids.log grew, the files are cut back to
// these sizes, and the transaction is one that was never ended: kfake aborts it.
// kfake handles one request after the other, so nothing else writes meanwhile.
//
// It protects from the death of the process, not of the machine, as kfake does.
type brokerUndo struct {
	dir  string // of the broker
	file *os.File
	log  *slog.Logger
	open bool // sizes are written down
}

const (
	pidsLog   = "pids.log" // kfake's: its last write of a transaction goes there
	groupsLog = "groups.log"
)

// openBrokerUndo cuts back what was torn, and must be called before the broker
// starts. path is of a file of its own.
func openBrokerUndo(dir, path string, log *slog.Logger) (*brokerUndo, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var sizes map[string]int64
	if json.Unmarshal(text, &sizes) == nil { // else it was torn itself: nothing was ended
		if err := cutBack(dir, sizes); err != nil {
			return nil, fmt.Errorf("undoing half a commit: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &brokerUndo{dir: dir, file: file, log: log}, nil
}

// observe is a control function of kfake: it sees each request before the broker
// handles it, and never answers one. That a next one comes says that the last one
// was handled.
func (u *brokerUndo) observe(r kmsg.Request) (kmsg.Response, error, bool) {
	err := u.done()
	if end, ok := r.(*kmsg.EndTxnRequest); ok && end.Commit && err == nil {
		err = u.begin()
	}
	if err != nil {
		u.log.Warn("a commit of the embedded broker is not safe from a kill", "error", err)
	}
	return nil, nil, false
}

func (u *brokerUndo) begin() error {
	sizes, err := fileSizes(u.dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(sizes)
	if err != nil {
		return err
	}
	u.open = true
	_, err = u.file.WriteAt(text, 0)
	return err
}

func (u *brokerUndo) done() error {
	if !u.open {
		return nil
	}
	u.open = false
	return u.file.Truncate(0)
}

func (u *brokerUndo) close() error { return errors.Join(u.done(), u.file.Close()) }

// fileSizes of everything that the end of a transaction writes to.
func fileSizes(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isAppended(entry.Name()) {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sizes[name] = info.Size()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return sizes, nil // a broker that has written nothing yet
	}
	return sizes, err
}

func isAppended(name string) bool {
	return name == pidsLog || name == groupsLog || strings.HasSuffix(name, ".dat") || strings.HasSuffix(name, ".idx")
}

func cutBack(dir string, sizes map[string]int64) error {
	now, err := fileSizes(dir)
	if err != nil || now[pidsLog] > sizes[pidsLog] {
		return err
	}
	for name, size := range now {
		before, existed := sizes[name]
		switch {
		case !existed:
			err = os.Remove(filepath.Join(dir, name))
		case size > before:
			err = os.Truncate(filepath.Join(dir, name), before)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
