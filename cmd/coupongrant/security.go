package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/coupongrant/coupongrant/schemas"
)

// tlsFiles say whom to trust, and as whom to come.
type tlsFiles struct {
	CA, Cert, Key string
	ServerName    string
}

func (t tlsFiles) used() bool { return t != tlsFiles{} }

// kafkaSecurity is how the brokers are to be talked to.
type kafkaSecurity struct {
	TLS   bool
	Files tlsFiles
	SASL  saslConfig
}

type saslConfig struct {
	Mechanism        mechanism
	User             string
	PasswordFile     string
	Password         schemas.Password
	TokenFile        string
	TokenURL         string
	ClientID         string
	ClientSecretFile string
	Scopes           []string
}

// mechanism is how a client says who it is. Empty: it does not.
type mechanism string

const (
	saslNone        mechanism = ""
	saslPlain       mechanism = "PLAIN"
	saslScram256    mechanism = "SCRAM-SHA-256"
	saslScram512    mechanism = "SCRAM-SHA-512"
	saslOAuthBearer mechanism = "OAUTHBEARER"
)

// risk is something that is refused unless it is accepted by its name.
type risk string

const (
	readableFiles  risk = "readable-secret-files"
	secretsInClear risk = "secrets-without-tls"

	acceptReadable = "insecure.accept=" + string(readableFiles)
	acceptInClear  = "insecure.accept=" + string(secretsInClear)
)

func (c Config) accepts(r risk) bool { return slices.Contains(c.Accept, r) }

// validateSecurity looks at the settings alone, at no file.
func (c Config) validateSecurity() error {
	k := c.Security
	errs := []error{k.Files.validate("kafka.tls"), c.RegistryTLS.validate("registry.tls"), k.SASL.validate()}
	if k.Files.used() && !k.TLS {
		errs = append(errs, errors.New("kafka.tls.enabled is false, though other settings of kafka.tls are set: set it to true, or leave the others out"))
	}
	if m := k.SASL.Mechanism; !k.TLS && (m == saslPlain || m == saslOAuthBearer) && !c.accepts(secretsInClear) {
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism is %q without TLS, which shows the secret to everybody on the way: set kafka.tls.enabled to true; %s accepts it", m, acceptInClear))
	}
	return errors.Join(append(errs, k.SASL.validateTokenURL(c.accepts(secretsInClear)), c.validateRegistry())...)
}

func (t tlsFiles) validate(section string) error {
	if (t.Cert == "") != (t.Key == "") {
		return fmt.Errorf("%s.cert_file is %q and %s.key_file is %q: name both, or neither", section, t.Cert, section, t.Key)
	}
	return nil
}

// validate says what the mechanism lacks, and what it has no use for.
func (s saslConfig) validate() error {
	var errs []error
	for _, one := range []struct {
		key, value string
		of         []mechanism
	}{
		{"kafka.sasl.user", s.User, []mechanism{saslPlain, saslScram256, saslScram512}},
		{"kafka.sasl.password_file", s.PasswordFile, []mechanism{saslPlain, saslScram256, saslScram512}},
		{"kafka.sasl.token_file", s.TokenFile, []mechanism{saslOAuthBearer}},
		{"kafka.sasl.token_url", s.TokenURL, []mechanism{saslOAuthBearer}},
		{"kafka.sasl.client_id", s.ClientID, []mechanism{saslOAuthBearer}},
		{"kafka.sasl.client_secret_file", s.ClientSecretFile, []mechanism{saslOAuthBearer}},
		{"kafka.sasl.scopes", strings.Join(s.Scopes, ","), []mechanism{saslOAuthBearer}},
	} {
		if one.value != "" && !slices.Contains(one.of, s.Mechanism) {
			errs = append(errs, fmt.Errorf("%s is %q, and kafka.sasl.mechanism is %q, which has no use for it: set the mechanism to %v, or leave it out", one.key, one.value, s.Mechanism, one.of))
		}
	}
	switch s.Mechanism {
	case saslNone:
	case saslOAuthBearer:
		errs = append(errs, s.validateToken())
	case saslPlain, saslScram256, saslScram512:
		if s.User == "" {
			errs = append(errs, errors.New("kafka.sasl.user is empty: name the user that the brokers know"))
		}
		if s.PasswordFile == "" && s.Password.Reveal() == "" {
			errs = append(errs, fmt.Errorf("kafka.sasl.password_file is empty: name a file that holds the password, or set %s", variableOf("kafka.sasl.password")))
		}
	}
	return errors.Join(errs...)
}

func (s saslConfig) validateToken() error {
	switch fetched := s.ClientID != "" && s.ClientSecretFile != ""; {
	case (s.TokenFile == "") == (s.TokenURL == ""):
		return errors.New("kafka.sasl.token_file and kafka.sasl.token_url are both empty, or both set: name the file that holds the token, or the address that gives one")
	case s.TokenURL != "" && !fetched:
		return errors.New("kafka.sasl.client_id or kafka.sasl.client_secret_file is empty: kafka.sasl.token_url gives a token to a client that it knows")
	default:
		return nil
	}
}

// validateTokenURL quotes nothing of what may hold a password by mistake.
func (s saslConfig) validateTokenURL(inClear bool) error {
	if s.TokenURL == "" {
		return nil
	}
	u, err := url.Parse(s.TokenURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		return errors.New("kafka.sasl.token_url is no https URL, or holds credentials: use https://host/path, and kafka.sasl.client_secret_file for the secret")
	case !private(u) && !inClear:
		return fmt.Errorf("kafka.sasl.token_url is http://%s%s, which shows the client's secret to everybody on the way: use https; %s accepts it", u.Host, u.Path, acceptInClear)
	default:
		return nil
	}
}

func (c Config) validateRegistry() error {
	u, err := url.Parse(c.Registry.URL)
	if err != nil {
		return nil // NewRegistry says it
	}
	var errs []error
	if c.RegistryTLS.used() && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("registry.url begins with %s://, though settings of registry.tls are set: use https, or leave them out", u.Scheme))
	}
	if c.RegistryTokenFile != "" && c.Registry.User != "" {
		errs = append(errs, fmt.Errorf("registry.user is %q and registry.token_file is %q: one of them says who asks, leave the other out", c.Registry.User, c.RegistryTokenFile))
	}
	if c.RegistryTokenFile != "" && c.RegistryPasswordFile != "" {
		errs = append(errs, fmt.Errorf("registry.token_file is %q and registry.password_file is %q: one of them says who asks, leave the other out", c.RegistryTokenFile, c.RegistryPasswordFile))
	}
	password := c.RegistryPasswordFile != "" || c.Registry.Password.Reveal() != ""
	if password && c.Registry.User == "" {
		errs = append(errs, errors.New("registry.user is empty, though a password of the registry is set: set the user, or leave registry.password and registry.password_file out"))
	}
	if secret := c.RegistryTokenFile != "" || c.Registry.User != "" || password; secret && !private(u) && !c.accepts(secretsInClear) {
		errs = append(errs, fmt.Errorf("registry.url begins with http://, which shows the password or token to everybody on the way: use https; %s accepts it", acceptInClear))
	}
	return errors.Join(errs...)
}

// gatewayInClear is what everybody on the way to the gateway can read; nil: nobody can.
// It is told and not refused: the way may be a network of one's own, as between containers.
func (c Config) gatewayInClear() *mendableError {
	at, err := url.Parse(c.Gateway.URL)
	if err != nil || private(at) { // what is no URL is refused elsewhere
		return nil
	}
	return &mendableError{"gateway.url is " + c.Gateway.URL + ": session and open_id travel readable for everybody on the way", "use https://" + at.Host + at.Path}
}

// private says that nobody on the way can read: there is TLS, or no way.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
