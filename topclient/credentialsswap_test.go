//go:build linux || darwin

package topclient

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// swappedFolder is a mounted folder of secret and session, whose contents are
// swapped by one link. The secret of v1 is a pipe, so that a reading waits there.
type swappedFolder struct{ root string }

func newSwappedFolder(t *testing.T) swappedFolder {
	t.Helper()
	f := swappedFolder{t.TempDir()}
	for _, version := range []string{"v1", "v2"} {
		require.NoError(t, os.Mkdir(f.path(version), 0o700))
		write(t, f.path(version, "session"), "session-"+version)
	}
	require.NoError(t, syscall.Mkfifo(f.path("v1", "secret"), 0o600))
	write(t, f.path("v2", "secret"), "secret-v2")
	require.NoError(t, os.Symlink("v1", f.path("data")))
	return f
}

func (f swappedFolder) path(names ...string) string {
	return filepath.Join(append([]string{f.root}, names...)...)
}

// serveSecret answers one reading of v1's secret, which waits until meanwhile is
// over.
func (f swappedFolder) serveSecret(meanwhile func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		pipe, err := os.OpenFile(f.path("v1", "secret"), os.O_WRONLY, 0)
		if err == nil {
			err = meanwhile()
		}
		if err == nil {
			_, err = pipe.WriteString("secret-v1")
		}
		_ = pipe.Close()
		done <- err
	}()
	return done
}

func (f swappedFolder) swap() error {
	if err := os.Symlink("v2", f.path("next")); err != nil {
		return err
	}
	return os.Rename(f.path("next"), f.path("data"))
}

// A reading that has v1's secret and v2's session is no pair of anybody's.
func TestSwapWhileReadingGivesNoMixedPair(t *testing.T) {
	f := newSwappedFolder(t)
	var adopted []Credentials
	var s *CredentialSource
	cfg := FilesConfig{AppKey: "1", AppSecretFile: f.path("data", "secret"), SessionFile: f.path("data", "session")}
	cfg.OnReload = func(err error) {
		require.NoError(t, err)
		adopted = append(adopted, s.Current())
	}
	served := f.serveSecret(func() error { return nil })
	s, err := FromFiles(cfg)
	require.NoError(t, err)
	require.NoError(t, <-served)
	require.Equal(t, credentialsOf("secret-v1", "session-v1"), s.Current())

	served = f.serveSecret(f.swap)
	require.NoError(t, s.Check())
	require.NoError(t, <-served)
	require.Equal(t, []Credentials{credentialsOf("secret-v2", "session-v2")}, adopted)
}
