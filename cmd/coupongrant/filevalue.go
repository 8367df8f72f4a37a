package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/coupongrant/coupongrant/topclient"
)

// maxFile is more than any certificate bundle or token needs.
const maxFile = 1 << 20

// namedFile is a file that a setting names.
type namedFile struct {
	key, path string
	secret    bool // others may not read it
}

// fileValue is something made of files, which are read whenever it is needed.
// While they cannot be used, what they held before stays in force.
//
// Nobody need poll for it to be current; watching finds out sooner than the next
// connection does that a new file is no good.
type fileValue[T any] struct {
	files    []namedFile
	build    func(contents [][]byte) (T, error)
	readable bool // others may read secrets: accepted

	mu       sync.Mutex
	contents [][]byte
	value    T
	trouble  error
	changes  int
}

// newFileValue reads the files for the first time: they must be good.
func newFileValue[T any](readable bool, build func([][]byte) (T, error), files ...namedFile) (*fileValue[T], error) {
	f := &fileValue[T]{files: files, build: build, readable: readable}
	f.get()
	return f, f.trouble
}

// get is the value of the moment.
func (f *fileValue[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Certificate and key are swapped by one link: the one may have been read before,
	// the other after. They do not fit then, and do when they are read again.
	if f.trouble = f.read(); f.trouble != nil {
		f.trouble = f.read()
	}
	return f.value
}

// look is what a watcher asks.
func (f *fileValue[T]) look() (changes int, trouble error) {
	f.get()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes, f.trouble
}

func (f *fileValue[T]) settings() string {
	keys := make([]string, len(f.files))
	for i, file := range f.files {
		keys[i] = file.key
	}
	return strings.Join(keys, " and ")
}

func (f *fileValue[T]) read() error {
	contents := make([][]byte, len(f.files))
	for i, file := range f.files {
		content, err := file.read(f.readable)
		if err != nil {
			return err
		}
		contents[i] = content
	}
	if f.contents != nil && slices.EqualFunc(contents, f.contents, bytes.Equal) {
		return nil
	}
	value, err := f.build(contents)
	if err != nil {
		return fmt.Errorf("%s: %w", f.settings(), err)
	}
	if f.contents != nil {
		f.changes++
	}
	f.contents, f.value = contents, value
	return nil
}

// read follows links, as volumes of an orchestrator are made of them. Its error
// names setting and file, never the content.
func (n namedFile) read(readable bool) ([]byte, error) {
	if n.secret && !readable {
		if err := n.guarded(); err != nil {
			return nil, err
		}
	}
	file, err := os.Open(n.path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.key, err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", n.key, err)
	case len(content) > maxFile:
		return nil, fmt.Errorf("%s is %s, which holds more than 1 MiB: name the file that was meant", n.key, n.path)
	default:
		return content, nil
	}
}

// guarded says that nobody but owner and group may read the file itself, which a
// link's own rights say nothing of. A file that is not there is no matter of rights.
func (n namedFile) guarded() error {
	info, err := os.Stat(n.path)
	if n.path == "" || errors.Is(err, os.ErrNotExist) || runtime.GOOS == "windows" { // which has no such rights
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.key, err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return &mendableError{
			fmt.Sprintf("%s is %s, which every user of this host can read (%v)", n.key, n.path, mode),
			fmt.Sprintf("chmod 600 %s, or defaultMode: 0440 of a Kubernetes volume; %s accepts it", shellWord(n.path), acceptReadable),
		}
	}
	return nil
}

// oneLine is a secret as the gateway's credentials are read from their files.
func oneLine(contents [][]byte) (string, error) {
	secret, err := topclient.SecretIn(contents[0])
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %w", err)
	case secret.Reveal() == "":
		return "", errors.New("the file is empty: write the secret into it")
	default:
		return secret.Reveal(), nil
	}
}
