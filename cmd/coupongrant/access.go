package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/coupongrant/coupongrant/schemas"
)

// access is how to get into a cluster and a registry that let in only whom they
// know. Every connection is made, and every user named, with what the files hold
// at that moment.
type access struct {
	dialer    *tlsAccess // nil: no TLS
	mechanism sasl.Mechanism
	registry  http.RoundTripper // nil: the registry's own
	watched   []watchedFile
}

// watchedFile is a fileValue of any type.
type watchedFile interface {
	look() (changes int, trouble error)
	settings() string
}

// newAccess reads every file once. Errors name the setting.
func newAccess(c Config) (*access, error) {
	a := &access{}
	var err, sum error
	if c.Security.TLS {
		a.dialer, err = a.newTLS("kafka.tls", c.Security.Files, c)
		sum = errors.Join(sum, err)
	}
	a.mechanism, err = a.newMechanism(c)
	sum = errors.Join(sum, err)
	a.registry, err = a.newRegistryTransport(c)
	return a, errors.Join(sum, err)
}

// kafkaOptions of a nil access are none.
func (a *access) kafkaOptions() (opts []kgo.Opt) {
	if a == nil {
		return nil
	}
	if a.dialer != nil {
		opts = append(opts, kgo.Dialer(a.dialer.dial))
	}
	if a.mechanism != nil {
		opts = append(opts, kgo.SASL(a.mechanism))
	}
	return opts
}

// tlsAccess makes a configuration anew for each connection, so that it is of the
// moment.
type tlsAccess struct {
	serverName  string
	authorities *fileValue[*x509.CertPool]   // nil: the system's
	certificate *fileValue[*tls.Certificate] // nil: none
}

func (a *access) newTLS(section string, files tlsFiles, c Config) (*tlsAccess, error) {
	t := &tlsAccess{serverName: files.ServerName}
	var err, sum error
	if files.CA != "" {
		t.authorities, err = newFileValue(true, authoritiesOf, namedFile{section + ".ca_file", files.CA, false})
		sum = errors.Join(sum, err)
		a.watched = append(a.watched, t.authorities)
	}
	if files.Cert != "" {
		t.certificate, err = newFileValue(c.accepts(readableFiles), certificateOf,
			namedFile{section + ".cert_file", files.Cert, false}, namedFile{section + ".key_file", files.Key, true})
		sum = errors.Join(sum, err)
		a.watched = append(a.watched, t.certificate)
	}
	return t, sum
}

func authoritiesOf(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("the file holds no certificate: it should have lines like -----BEGIN CERTIFICATE-----")
	}
	return pool, nil
}

func certificateOf(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1]) // its errors hold nothing of the key
	return &pair, err
}

func (t *tlsAccess) config() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	if t.authorities != nil {
		cfg.RootCAs = t.authorities.get()
	}
	if t.certificate != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return t.certificate.get(), nil
		}
	}
	return cfg
}

const dialTimeout = 10 * time.Second

func (t *tlsAccess) dial(ctx context.Context, network, host string) (net.Conn, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: t.config()}
	return dialer.DialContext(ctx, network, host)
}

// newMechanism names the user with the password or token of the moment.
func (a *access) newMechanism(c Config) (sasl.Mechanism, error) {
	s := c.Security.SASL
	if s.Mechanism == saslNone {
		return nil, nil
	}
	if s.Mechanism == saslOAuthBearer {
		token, err := a.newToken(c)
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			text, err := token()
			return oauth.Auth{Token: text}, err
		}), err
	}
	password, err := a.secret(c, "kafka.sasl.password_file", s.PasswordFile, s.Password)
	scrammed := func(context.Context) (scram.Auth, error) {
		return scram.Auth{User: s.User, Pass: password()}, nil
	}
	switch s.Mechanism {
	case saslScram256:
		return scram.Sha256(scrammed), err
	case saslScram512:
		return scram.Sha512(scrammed), err
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: s.User, Pass: password()}, nil
		}), err
	}
}

// secret is that of a file, if one is named, or else the one that is given.
func (a *access) secret(c Config, key, path string, given schemas.Password) (func() string, error) {
	if path == "" {
		return given.Reveal, nil
	}
	value, err := newFileValue(c.accepts(readableFiles), oneLine, namedFile{key, path, true})
	a.watched = append(a.watched, value)
	return value.get, err
}

// newRegistryTransport is nil where the registry's own does.
func (a *access) newRegistryTransport(c Config) (http.RoundTripper, error) {
	if !c.RegistryTLS.used() && c.RegistryTokenFile == "" && c.RegistryPasswordFile == "" {
		return nil, nil
	}
	t, sum := a.newTLS("registry.tls", c.RegistryTLS, c)
	transport := &registryTransport{tls: t, Transport: &http.Transport{
		DialTLSContext: t.dial, MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}}
	switch {
	case c.RegistryTokenFile != "":
		token, err := a.secret(c, "registry.token_file", c.RegistryTokenFile, schemas.Password{})
		sum = errors.Join(sum, err)
		transport.authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token()) }
	case c.RegistryPasswordFile != "":
		password, err := a.secret(c, "registry.password_file", c.RegistryPasswordFile, schemas.Password{})
		sum = errors.Join(sum, err)
		transport.authorize = func(r *http.Request) { r.SetBasicAuth(c.Registry.User, password()) }
	}
	return transport, sum
}

// registryTransport says who asks, in each request anew.
type registryTransport struct {
	*http.Transport

	tls       *tlsAccess
	authorize func(*http.Request) // nil: leaves it as it is
}

// RoundTrip implements http.RoundTripper, which may not change the request.
func (t *registryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.authorize != nil {
		r = r.Clone(r.Context())
		t.authorize(r)
	}
	return t.Transport.RoundTrip(r)
}

// watchEvery is how long a file that is no good goes unnoticed at most.
const watchEvery = 2 * time.Second

// watch tells of changed files, and of those that cannot be used, until ctx ends.
func (a *access) watch(ctx context.Context, log *slog.Logger) {
	if a == nil || len(a.watched) == 0 {
		return
	}
	seen := make([]struct {
		changes int
		trouble string
	}, len(a.watched))
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for i, file := range a.watched {
			changes, err := file.look()
			last := &seen[i]
			switch {
			case err != nil && err.Error() != last.trouble:
				last.trouble = err.Error()
				log.Error("a file cannot be used, what it held before stays in force", "settings", file.settings(), "error", err)
			case err == nil && (changes != last.changes || last.trouble != ""):
				last.changes, last.trouble = changes, ""
				log.Info("new connections are made with what the file holds now", "settings", file.settings())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
