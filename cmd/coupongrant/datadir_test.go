package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFolderIsForOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	unlock, err := lockFolder("data-dir", dir)
	require.NoError(t, err)
	_, err = lockFolder("data-dir", dir)
	require.ErrorIs(t, err, errLocked)
	require.ErrorContains(t, err, "--data-dir is "+dir)
	got := runWith(t, "", "dev", "--events", "1", "--data-dir", dir)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "coupongrant: --data-dir is "+dir, "the sentence stands alone")
	require.NoError(t, unlock())
	unlock, err = lockFolder("data-dir", dir)
	require.NoError(t, err)
	require.NoError(t, unlock())
}

func TestAFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := lockFolder("data-dir", filepath.Join(file, "x"))
	require.ErrorContains(t, err, "--data-dir")
}
