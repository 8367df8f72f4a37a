package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

var errLocked = errors.New("another process has it")

// lockFolder makes a folder and keeps other processes out of it until unlock, or
// until this process is gone, however that ends.
func lockFolder(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return noLock, fmt.Errorf("--data-dir: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return noLock, fmt.Errorf("--data-dir: %w", err)
	}
	if err := lockFile(file); err != nil {
		return noLock, errors.Join(fmt.Errorf("--data-dir is %s, but it cannot be locked (%w): end that process, or choose another folder", dir, err), file.Close())
	}
	return file.Close, nil
}

func noLock() error { return nil }
