package topclient

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// credentialFiles are files of a test and what was reported of them.
type credentialFiles struct {
	cfg     FilesConfig
	reports []string
}

func newCredentialFiles(t *testing.T) *credentialFiles {
	t.Helper()
	dir := t.TempDir()
	f := &credentialFiles{}
	f.cfg = FilesConfig{
		AppKey: "1", AppSecretFile: filepath.Join(dir, "secret"), SessionFile: filepath.Join(dir, "session"),
		OnReload: func(err error) {
			if err == nil {
				f.reports = append(f.reports, "ok")
				return
			}
			f.reports = append(f.reports, err.Error())
		},
	}
	write(t, f.cfg.AppSecretFile, "secret-1\n")
	write(t, f.cfg.SessionFile, "session-1\r\n")
	return f
}

// credentialsOf app 1.
func credentialsOf(secret, session string) Credentials {
	return Credentials{"1", NewSecret(secret), NewSecret(session)}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func signalled(s *CredentialSource) bool {
	select {
	case <-s.Changed():
		return true
	default:
		return false
	}
}

func TestCredentialsComeFromFiles(t *testing.T) {
	f := newCredentialFiles(t)
	s, err := FromFiles(f.cfg)
	require.NoError(t, err)
	require.Equal(t, credentialsOf("secret-1", "session-1"), s.Current())
	require.False(t, signalled(s), "the first reading is no change")
}

func TestSecretsAreOneLineWithoutWhatEditorsLeave(t *testing.T) {
	f := newCredentialFiles(t)
	for _, content := range []string{"s", "s\n", "s\r\n\r\n", "\ufeffs", "\ufeffs\r\n"} {
		write(t, f.cfg.AppSecretFile, content)
		s, err := FromFiles(f.cfg)
		require.NoError(t, err)
		require.Equal(t, credentialsOf("s", "session-1"), s.Current(), "%q", content)
	}
	for _, content := range []string{" canary", "canary\t\n", "\ufeff canary", "canary\u00a0"} {
		write(t, f.cfg.AppSecretFile, content)
		_, err := FromFiles(f.cfg)
		require.ErrorContains(t, err, "gateway.app_secret_file: "+f.cfg.AppSecretFile+" has blanks before or after the secret: write it without them", "%q", content)
		require.NotContains(t, err.Error(), "canary")
	}
	for _, content := range []string{"canary\ncanary", "canary\r\ncanary\n", "canary\x00", "canary\rcanary"} {
		write(t, f.cfg.AppSecretFile, content)
		_, err := FromFiles(f.cfg)
		require.ErrorContains(t, err, "gateway.app_secret_file: "+f.cfg.AppSecretFile+" holds more than one line")
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestSecretMayComeDirectly(t *testing.T) {
	s, err := FromFiles(FilesConfig{AppKey: "1", AppSecret: NewSecret("direct"), Session: NewSecret("too")})
	require.NoError(t, err)
	require.Equal(t, credentialsOf("direct", "too"), s.Current())
	require.NoError(t, s.Check())
	require.False(t, signalled(s))
}

func TestCredentialsAreReadAgain(t *testing.T) {
	f := newCredentialFiles(t)
	s, err := FromFiles(f.cfg)
	require.NoError(t, err)

	require.NoError(t, s.Check())
	require.False(t, signalled(s), "nothing changed")

	write(t, f.cfg.SessionFile, "session-2\n")
	write(t, f.cfg.AppSecretFile, "secret-2\n")
	require.NoError(t, s.Check())
	require.Equal(t, credentialsOf("secret-2", "session-2"), s.Current())

	write(t, f.cfg.SessionFile, "session-3\n")
	require.NoError(t, s.Check())
	require.True(t, signalled(s))
	require.False(t, signalled(s), "two changes that nobody looked at are one signal")
	require.Equal(t, []string{"ok", "ok"}, f.reports)
}

// Same size and same time, as a restored copy has: the content decides.
func TestSameSizeAndTimeIsSeen(t *testing.T) {
	f := newCredentialFiles(t)
	s, err := FromFiles(f.cfg)
	require.NoError(t, err)
	before, err := os.Stat(f.cfg.SessionFile)
	require.NoError(t, err)
	write(t, f.cfg.SessionFile, "session-9\r\n")
	require.NoError(t, os.Chtimes(f.cfg.SessionFile, before.ModTime(), before.ModTime()))
	require.NoError(t, s.Check())
	require.Equal(t, "session-9", s.Current().Session.Reveal())
}

// Kubernetes mounts files as links into a directory that it swaps by a link.
func TestSwappedLinkIsSeen(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		dir := filepath.Join(root, version)
		require.NoError(t, os.Mkdir(dir, 0o700))
		write(t, filepath.Join(dir, "secret"), "secret-"+version)
		write(t, filepath.Join(dir, "session"), "session-"+version)
	}
	data := filepath.Join(root, "..data")
	require.NoError(t, os.Symlink("v1", data))
	for _, name := range []string{"secret", "session"} {
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(root, name)))
	}
	s, err := FromFiles(FilesConfig{AppKey: "1", AppSecretFile: filepath.Join(root, "secret"), SessionFile: filepath.Join(root, "session")})
	require.NoError(t, err)
	require.NoError(t, os.Symlink("v2", data+"_tmp"))
	require.NoError(t, os.Rename(data+"_tmp", data))
	require.NoError(t, s.Check())
	require.Equal(t, credentialsOf("secret-v2", "session-v2"), s.Current())
}

func TestUnusableFileKeepsTheOldCredentials(t *testing.T) {
	tests := map[string]func(*testing.T, string){
		"missing":   func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"empty":     func(t *testing.T, path string) { write(t, path, "") },
		"blank":     func(t *testing.T, path string) { write(t, path, " \n\n") },
		"too large": func(t *testing.T, path string) { write(t, path, strings.Repeat("canary", maxSecretBytes)) },
		"a directory": func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o700))
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			f := newCredentialFiles(t)
			s, err := FromFiles(f.cfg)
			require.NoError(t, err)
			write(t, f.cfg.AppSecretFile, "secret-2")
			spoil(t, f.cfg.SessionFile)
			for range 3 {
				require.ErrorContains(t, s.Check(), "gateway.session_file")
			}
			require.Equal(t, credentialsOf("secret-1", "session-1"), s.Current(), "all of it or nothing")
			require.False(t, signalled(s))
			require.Len(t, f.reports, 1, "said once")
			require.NotContains(t, f.reports[0], "canary")

			require.NoError(t, os.RemoveAll(f.cfg.SessionFile))
			write(t, f.cfg.SessionFile, "session-2")
			require.NoError(t, s.Check())
			require.Equal(t, credentialsOf("secret-2", "session-2"), s.Current())
			require.True(t, signalled(s))
			require.Equal(t, "ok", f.reports[1])

			_, err = FromFiles(FilesConfig{AppKey: "1", AppSecret: NewSecret("s"), SessionFile: filepath.Join(t.TempDir(), "none")})
			require.ErrorContains(t, err, "gateway.session_file")
		})
	}
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	_, err := FromFiles(FilesConfig{})
	require.ErrorContains(t, err, "gateway.app_key is empty")
	require.ErrorContains(t, err, "gateway.app_secret_file is empty")
	require.ErrorContains(t, err, "gateway.session_file is empty")
}

func TestRunFollowsTheFilesUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newCredentialFiles(t)
		s, err := FromFiles(f.cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx)
		}()
		next := f.cfg.SessionFile + ".next"
		write(t, next, "session-2")
		require.NoError(t, os.Rename(next, f.cfg.SessionFile))
		began := time.Now()
		<-s.Changed()
		require.Equal(t, readEvery, time.Since(began))
		require.Equal(t, "session-2", s.Current().Session.Reveal())
		cancel()
		<-done
	})
}

func TestStaticNeverChanges(t *testing.T) {
	s := Static(testCred)
	require.Equal(t, testCred, s.Current())
	require.NoError(t, s.Check())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ctx)
	require.False(t, signalled(s))
}
