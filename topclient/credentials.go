package topclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readEvery      = 2 * time.Second
	maxReadings    = 5 // of files that change meanwhile
	maxSecretBytes = 4 << 10
)

// Credentials are one merchant's: whose app calls, on whose behalf.
type Credentials struct {
	AppKey    string
	AppSecret Secret
	Session   Secret // the merchant's access token
}

func (c Credentials) equal(d Credentials) bool {
	return c.AppKey == d.AppKey && c.AppSecret.Reveal() == d.AppSecret.Reveal() && c.Session.Reveal() == d.Session.Reveal()
}

func (c Credentials) complete() bool {
	return !isBlank(c.AppKey) && !isBlank(c.AppSecret.Reveal()) && !isBlank(c.Session.Reveal())
}

// FilesConfig says where credentials come from. Each secret comes from its file,
// or directly (from the environment, say) if no file is named.
type FilesConfig struct {
	AppKey        string
	AppSecretFile string
	SessionFile   string
	AppSecret     Secret // used if AppSecretFile is empty
	Session       Secret // used if SessionFile is empty

	// OnReload, if set, hears what a log would want to say: nil when new
	// credentials are in force or the files can be used again, and an error, once
	// for each text, when they cannot and the old ones stay. The goroutine of Run
	// calls it, or the caller of Check; it must not call Check.
	OnReload func(error)
}

// hasFiles says whether there is anything to read again.
func (cfg FilesConfig) hasFiles() bool { return cfg.AppSecretFile != "" || cfg.SessionFile != "" }

// CredentialSource gives the credentials of the moment and tells of changes.
// Safe for concurrent use.
type CredentialSource struct {
	cfg     FilesConfig // zero: Static
	current atomic.Pointer[Credentials]
	changed chan struct{}

	checking sync.Mutex // one Check at a time, so that an older reading never wins
	trouble  string     // the last reported error; guarded by checking
}

// Static is a source that never changes.
func Static(c Credentials) *CredentialSource {
	s := &CredentialSource{changed: make(chan struct{}, 1)}
	s.current.Store(&c)
	return s
}

// FromFiles reads the credentials once; Run follows their changes. The error
// names the file or setting, and never its content.
func FromFiles(cfg FilesConfig) (*CredentialSource, error) {
	c, err := cfg.read()
	if err != nil {
		return nil, fmt.Errorf("gateway credentials: %w", err)
	}
	s := &CredentialSource{cfg: cfg, changed: make(chan struct{}, 1)}
	s.current.Store(&c)
	return s, nil
}

// Current returns the newest credentials read.
func (s *CredentialSource) Current() Credentials { return *s.current.Load() }

// Changed is signalled (capacity 1, never closed) after credentials changed.
func (s *CredentialSource) Changed() <-chan struct{} { return s.changed }

// Format shows the app key only, in place of addresses.
func (s *CredentialSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "credentials of app "+s.Current().AppKey)
}

// Run reads the files every two seconds until ctx ends. The caller owns its
// goroutine.
func (s *CredentialSource) Run(ctx context.Context) {
	if !s.cfg.hasFiles() {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.Check() // OnReload tells
		}
	}
}

// Check reads the files now. On error the old credentials stay in force.
//
// It compares contents and asks no modification time: an orchestrator swaps a
// symbolic link, and a copy can keep size and time. Files that change while they
// are read are read again, until two readings agree.
func (s *CredentialSource) Check() error {
	if !s.cfg.hasFiles() {
		return nil
	}
	s.checking.Lock()
	defer s.checking.Unlock()
	c, err := s.cfg.read()
	if err == nil && !c.equal(s.Current()) {
		c, err = s.cfg.settle(c)
	}
	if err != nil {
		err = fmt.Errorf("gateway credentials stay as they were: %w", err)
		if s.trouble != err.Error() {
			s.trouble = err.Error()
			s.report(err)
		}
		return err
	}
	recovered := s.trouble != ""
	s.trouble = ""
	if s.adopt(c) || recovered {
		s.report(nil)
	}
	return nil
}

// adopt puts c in force and reports whether it is new.
func (s *CredentialSource) adopt(c Credentials) bool {
	if c.equal(s.Current()) {
		return false
	}
	s.current.Store(&c)
	select {
	case s.changed <- struct{}{}:
	default: // signalled already and not seen yet
	}
	return true
}

func (s *CredentialSource) report(err error) {
	if s.cfg.OnReload != nil {
		s.cfg.OnReload(err)
	}
}

// read takes all of it or nothing.
func (cfg FilesConfig) read() (Credentials, error) {
	c := Credentials{AppKey: cfg.AppKey, AppSecret: cfg.AppSecret, Session: cfg.Session}
	var errs []error
	if isBlank(cfg.AppKey) {
		errs = append(errs, errors.New("gateway.app_key is empty"))
	}
	errs = append(errs,
		readSecret(&c.AppSecret, cfg.AppSecretFile, "gateway.app_secret_file"),
		readSecret(&c.Session, cfg.SessionFile, "gateway.session_file"))
	return c, errors.Join(errs...)
}

// settle reads again until a reading is the same as the one before it.
//
// The story it prevents: secret and session are swapped together, by one link,
// just after we read the one and before we read the other. Calls would be signed
// with the old secret for the new session until the next reading, and refused.
func (cfg FilesConfig) settle(last Credentials) (Credentials, error) {
	for range maxReadings {
		c, err := cfg.read()
		if err != nil || c.equal(last) {
			return c, err
		}
		last = c
	}
	return Credentials{}, errors.New("the files of gateway.app_secret_file and gateway.session_file keep changing")
}

// readSecret fills s from a file, if one is named.
func readSecret(s *Secret, path, setting string) error {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", setting, err)
		}
		defer func() { _ = f.Close() }()
		content, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
		if err != nil {
			return fmt.Errorf("reading %s: %w", setting, err)
		}
		if len(content) > maxSecretBytes {
			return fmt.Errorf("reading %s: %s holds more than %d bytes", setting, path, maxSecretBytes)
		}
		if *s, err = SecretIn(content); err != nil {
			return fmt.Errorf("reading %s: %s %w", setting, path, err)
		}
	}
	if isBlank(s.Reveal()) {
		return fmt.Errorf("%s is empty", setting)
	}
	return nil
}
