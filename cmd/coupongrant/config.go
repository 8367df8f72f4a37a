package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// Config of the program. Its keys are in settings.go.
type Config struct {
	Processor            processor.Config
	Brokers              []string
	Security             kafkaSecurity
	Registry             schemas.RegistryConfig
	RegistryPasswordFile string
	RegistryTokenFile    string
	RegistryTLS          tlsFiles
	Accept               []risk
	Gateway              topclient.Config
	Credentials          topclient.FilesConfig
	SessionExpiresAt     expiry
	CouponTypes          []int32
	Breaker              breaker.Config
	AdminListen          string
	PprofListen          string // empty: no profiles
	Tracing              TracingConfig
	Log                  LogConfig

	Origins map[string]string // of each key that is not a default: where its value stands

	access *access // made of the settings of security; nil: nothing is asked for
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string
	Format string
}

// defaultConfig is what runs where nothing else is said.
func defaultConfig() Config {
	return Config{
		Processor:   processor.DefaultConfig(),
		Brokers:     []string{"127.0.0.1:9092"},
		Registry:    schemas.RegistryConfig{URL: "http://127.0.0.1:8081"},
		Gateway:     topclient.DefaultConfig(),
		Breaker:     breaker.DefaultConfig(),
		AdminListen: "127.0.0.1:8080",
		Tracing:     TracingConfig{Sample: 1},
		Log:         LogConfig{Level: "info", Format: "json"},
	}
}

// derive fills in what follows from other settings.
func (c *Config) derive() error {
	p := &c.Processor
	p.Version = buildVersion()
	if p.TransactionalID == "" {
		p.TransactionalID = replicaName(p.Group, c.AdminListen)
		delete(c.Origins, keyTransactionalID) // where it stands, it is empty
	}
	c.follow()
	c.Gateway.Timeout = p.CallTimeout
	c.Gateway.IdleConns = max(c.Gateway.IdleConns, p.MaxInFlight)
	c.Gateway.UserAgent = "coupongrant/" + p.Version
	if err := c.validateSecurity(); err != nil {
		return err // files are not read for settings that cannot be
	}
	var err error
	if c.access, err = newAccess(*c); err != nil {
		return err
	}
	c.Registry.Transport = c.access.registry
	return nil
}

// follow lets settings that nobody gave keep in step with those that somebody did.
func (c *Config) follow() {
	p := &c.Processor
	for _, s := range []struct {
		key, leader string
		to          *time.Duration
		fitting     time.Duration
	}{
		{"kafka.heartbeat_interval", "kafka.session_timeout", &p.HeartbeatInterval, min(p.HeartbeatInterval, p.SessionTimeout/3)},
		{"stop_timeout", "gateway.timeout", &p.StopTimeout, max(p.StopTimeout, p.CallTimeout+5*time.Second)},
		{"breaker.interval", "gateway.timeout", &c.Breaker.Interval, max(c.Breaker.Interval, breaker.LeastInterval(p.CallTimeout))},
		{"retry.delay", "retry.give_up_after", &p.Retry.Delay, min(p.Retry.Delay, p.Retry.GiveUpAfter)},
	} {
		if c.Origins[s.key] == "" && *s.to != s.fitting && c.Origins[s.leader] != "" {
			*s.to = s.fitting
			c.Origins[s.key] = "follows " + s.leader
		}
	}
}

const (
	keyTransactionalID = "kafka.transactional_id"
	keyAdminListen     = "admin.listen"
)

// replicaName tells apart the replicas of hosts, and those that share one: two
// cannot listen on one port.
func replicaName(group, listen string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(listen) // Validate refuses what is no address
	if port == "0" {                        // any: it says nothing of this replica
		port = strconv.Itoa(os.Getpid())
	}
	return group + "-" + host + "-" + port
}

// Validate joins every problem, each one line that names the key, the value and
// the mend.
func (c Config) Validate() error {
	errs := []error{c.Processor.Validate(), c.Gateway.Validate(), c.Breaker.Validate(c.Processor.CallTimeout)}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers is empty: name host:port of some brokers"))
	}
	for _, broker := range c.Brokers {
		errs = append(errs, checkAddress("kafka.brokers", broker))
	}
	errs = append(errs, checkAddress(keyAdminListen, c.AdminListen), checkPprof(c.PprofListen))
	if _, err := schemas.NewRegistry(c.Registry); err != nil { // it contacts nobody
		errs = append(errs, fmt.Errorf("%w; it should look like http://host:port", err))
	}
	return errors.Join(append(errs, c.Tracing.validate()...)...)
}

// mendableError keeps what is wrong and its mend apart, as doctor shows them.
type mendableError struct{ says, mend string }

func (e *mendableError) Error() string { return e.says + ": " + e.mend }

// CheckCredentials reads the credentials once.
func (c Config) CheckCredentials() error {
	_, err := c.readCredentials()
	return err
}

func (c Config) readCredentials() (*topclient.CredentialSource, error) {
	if errs := c.emptyCredentials(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return topclient.FromFiles(c.Credentials)
}

// emptyCredentials are all mendable.
func (c Config) emptyCredentials() (errs []error) {
	if c.Credentials.AppKey == "" {
		errs = append(errs, &mendableError{"gateway.app_key is empty", "name the app that calls"})
	}
	for _, s := range []struct {
		key, file string
		secret    topclient.Secret
	}{
		{"gateway.app_secret", c.Credentials.AppSecretFile, c.Credentials.AppSecret},
		{"gateway.session", c.Credentials.SessionFile, c.Credentials.Session},
	} {
		if s.file == "" && s.secret.Reveal() == "" {
			errs = append(errs, &mendableError{s.key + "_file is empty", "name a file that holds the secret, or set " + variableOf(s.key)})
		}
	}
	return errs
}

// secretFiles are all files that hold a secret.
func (c Config) secretFiles() []namedFile {
	all := []namedFile{
		{"kafka.tls.key_file", c.Security.Files.Key, true},
		{"kafka.sasl.password_file", c.Security.SASL.PasswordFile, true},
		{"kafka.sasl.token_file", c.Security.SASL.TokenFile, true},
		{"kafka.sasl.client_secret_file", c.Security.SASL.ClientSecretFile, true},
		{"registry.tls.key_file", c.RegistryTLS.Key, true},
		{"registry.password_file", c.RegistryPasswordFile, true},
		{"registry.token_file", c.RegistryTokenFile, true},
		{"gateway.app_secret_file", c.Credentials.AppSecretFile, true},
		{"gateway.session_file", c.Credentials.SessionFile, true},
	}
	return slices.DeleteFunc(all, func(f namedFile) bool { return f.path == "" })
}

// CheckSecretFiles refuses those that everybody may read.
func (c Config) CheckSecretFiles() error {
	if c.accepts(readableFiles) {
		return nil
	}
	var errs []error
	for _, file := range c.secretFiles() {
		errs = append(errs, file.guarded())
	}
	return errors.Join(errs...)
}

func checkAddress(key, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s is %q: use host:port, such as %s", key, address, exampleAddress[key])
	}
	return nil
}

var exampleAddress = map[string]string{"kafka.brokers": "kafka-1:9092", keyAdminListen: "127.0.0.1:8080", "admin.pprof_listen": "127.0.0.1:6060"}

// proofTopics are those of the audit.
func proofTopics(t processor.Topics) proof.Topics {
	return proof.Topics{
		Inputs: []string{t.Store, t.Loyalty}, Retry: t.Retry,
		Granted: t.Granted, Failed: t.Failed, DeadLetter: t.DeadLetter,
	}
}
