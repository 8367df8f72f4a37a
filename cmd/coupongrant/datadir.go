package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

var errLocked = errors.New("another process has it")

// lockFolder makes a folder and keeps other processes out of it until unlock, or
// until this process is gone, however that ends. flag names it in errors.
func lockFolder(flag, dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return noLock, fmt.Errorf("--%s: %w", flag, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return noLock, fmt.Errorf("--%s: %w", flag, err)
	}
	if err := lockFile(file); err != nil {
		return noLock, errors.Join(fmt.Errorf("--%s is %s, but it cannot be locked (%w): end that process, or choose another folder", flag, dir, err), file.Close())
	}
	return file.Close, nil
}

func noLock() error { return nil }
