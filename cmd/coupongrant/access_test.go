package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// lockedSite lets in only who trusts it, has a certificate, and knows a password
// at the broker and a token at the registry.
type lockedSite struct {
	*testing.T
	dir      string
	settings map[string]string
	token    atomic.Pointer[string] // that the registry takes
}

const lockedUser = "grants"

func newLockedSite(t *testing.T) *lockedSite {
	t.Helper()
	s := &lockedSite{T: t, dir: t.TempDir()}
	inner := srfake.NewRegistry().Handler()
	registry := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+*s.token.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	registry.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	registry.StartTLS()
	t.Cleanup(registry.Close)
	pair := registry.TLS.Certificates[0]
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", lockedUser, canary), kfake.Superuser("SCRAM-SHA-512", lockedUser, canary), kfake.Superuser("PLAIN", lockedUser, canary),
		kfake.TLS(&tls.Config{Certificates: registry.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)

	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	certificate := s.file("certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	keyFile := s.file("key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	s.settings = map[string]string{
		"kafka.brokers": cluster.ListenAddrs()[0], "kafka.tls.enabled": "true",
		"kafka.tls.ca_file": certificate, "kafka.tls.cert_file": certificate, "kafka.tls.key_file": keyFile,
		"kafka.sasl.mechanism": "SCRAM-SHA-512", "kafka.sasl.user": lockedUser, "kafka.sasl.password_file": s.file("password", canary+"\n"),
		"registry.url": registry.URL, "registry.token_file": s.file("token", canary),
		"registry.tls.ca_file": certificate, "registry.tls.cert_file": certificate, "registry.tls.key_file": keyFile,
	}
	s.takes(canary)
	return s
}

func (s *lockedSite) takes(token string) { s.token.Store(&token) }

func (s *lockedSite) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// create runs a command that needs broker and registry.
func (s *lockedSite) create() ran {
	s.Helper()
	args := []string{"topics", "create", "--partitions", "1"}
	for key, value := range s.settings {
		args = append(args, "--"+key+"="+value)
	}
	got := runWith(s.T, "", args...)
	require.NotContains(s, got.stdout+got.stderr, canary)
	return got
}

func TestCommandsGetIntoALockedClusterAndRegistry(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"SCRAM-SHA-512": {},
		"SCRAM-SHA-256": {"kafka.sasl.mechanism": "SCRAM-SHA-256"},
		"PLAIN":         {"kafka.sasl.mechanism": "PLAIN"},
		"server name":   {"kafka.tls.server_name": "example.com", "registry.tls.server_name": "example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLockedSite(t)
			for key, value := range change {
				s.settings[key] = value
			}
			got := s.create()
			require.Equal(t, exitDone, got.code, got.stderr)
			require.Contains(t, got.stdout, "schemas registered")
		})
	}
}

func TestWhoIsNotLetInIsToldWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(s *lockedSite)
		want []string
	}{
		"wrong password": {func(s *lockedSite) { s.file("password", "no") }, []string{"closes the connection", "kafka.sasl"}},
		"other mechanism": {func(s *lockedSite) {
			s.settings["kafka.sasl.mechanism"] = "OAUTHBEARER"
			delete(s.settings, "kafka.sasl.user")
			delete(s.settings, "kafka.sasl.password_file")
			s.settings["kafka.sasl.token_file"] = s.settings["registry.token_file"]
		}, []string{"the brokers do not take kafka.sasl.mechanism"}},
		"unknown authority": {func(s *lockedSite) { delete(s.settings, "kafka.tls.ca_file") }, []string{"certificate cannot be trusted", "check kafka.tls.ca_file"}},
		"other server name": {func(s *lockedSite) { s.settings["kafka.tls.server_name"] = "other.example" }, []string{"certificate cannot be trusted", "other.example", "kafka.tls.server_name"}},
		"no own certificate": {func(s *lockedSite) {
			delete(s.settings, "kafka.tls.cert_file")
			delete(s.settings, "kafka.tls.key_file")
		}, []string{"does not take this client's TLS", "check kafka.tls.cert_file"}},
		"registry's token":   {func(s *lockedSite) { s.takes("another") }, []string{"registry.url is"}},
		"registry untrusted": {func(s *lockedSite) { delete(s.settings, "registry.tls.ca_file") }, []string{"registry.url is", "certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLockedSite(t)
			tt.do(s)
			got := s.create()
			require.Equal(t, exitFailed, got.code, got.stdout)
			for _, want := range tt.want {
				require.Contains(t, got.stderr, want)
			}
		})
	}
}

func TestInsecureSettingsAreRefusedUnlessAccepted(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(canary), 0o600))
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.WriteFile(open, []byte(canary), 0o600))
	require.NoError(t, os.Chmod(open, 0o644))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(open, link))
	plain := []string{"--kafka.sasl.user=u", "--kafka.sasl.password_file=" + secret, "--kafka.sasl.mechanism"}
	for name, tt := range map[string]struct {
		args   []string
		want   []string
		accept risk // goes with it; empty: nothing does
	}{
		"PLAIN in clear":         {append(plain, "PLAIN"), []string{`kafka.sasl.mechanism is "PLAIN" without TLS`, "set kafka.tls.enabled to true"}, secretsInClear},
		"token in clear":         {[]string{"--kafka.sasl.mechanism=OAUTHBEARER", "--kafka.sasl.token_file=" + secret}, []string{`"OAUTHBEARER" without TLS`}, secretsInClear},
		"registry password":      {[]string{"--registry.url=http://far:1", "--registry.user=u", "--registry.password_file=" + secret}, []string{"registry.url begins with http://", "use https"}, secretsInClear},
		"registry token":         {[]string{"--registry.url=http://far:1", "--registry.token_file=" + secret}, []string{"registry.url begins with http://"}, secretsInClear},
		"readable password":      {append(plain, "SCRAM-SHA-256", "--kafka.sasl.password_file="+open), []string{"kafka.sasl.password_file is " + open, "which every user of this host can read", "chmod 600"}, readableFiles},
		"readable behind a link": {append(plain, "SCRAM-SHA-256", "--kafka.sasl.password_file="+link), []string{"kafka.sasl.password_file is " + link}, readableFiles},
		"readable session":       {[]string{"--gateway.app_key=1", "--gateway.app_secret_file=" + secret, "--gateway.session_file=" + open}, []string{"gateway.session_file is " + open, "chmod 600"}, readableFiles},
		"token address in clear": {[]string{"--kafka.tls.enabled", "--kafka.sasl.mechanism=OAUTHBEARER", "--kafka.sasl.token_url=http://far/token", "--kafka.sasl.client_id=c", "--kafka.sasl.client_secret_file=" + secret}, []string{"kafka.sasl.token_url is http://far/token", "use https"}, secretsInClear},

		"TLS files without TLS":  {[]string{"--kafka.tls.ca_file=" + secret}, []string{"kafka.tls.enabled is false", "set it to true"}, ""},
		"key without cert":       {[]string{"--kafka.tls.enabled", "--kafka.tls.key_file=" + secret}, []string{`kafka.tls.cert_file is ""`, "name both, or neither"}, ""},
		"no user":                {[]string{"--kafka.sasl.mechanism=SCRAM-SHA-256"}, []string{"kafka.sasl.user is empty", "COUPONGRANT_KAFKA_SASL_PASSWORD"}, ""},
		"user without mechanism": {[]string{"--kafka.sasl.user=u"}, []string{`kafka.sasl.user is "u"`, "set the mechanism to"}, ""},
		"unknown mechanism":      {[]string{"--kafka.sasl.mechanism=GSSAPI"}, []string{`kafka.sasl.mechanism is "GSSAPI"`, "use PLAIN or SCRAM-SHA-256"}, ""},
		"no token":               {[]string{"--kafka.tls.enabled", "--kafka.sasl.mechanism=OAUTHBEARER"}, []string{"kafka.sasl.token_file and kafka.sasl.token_url are both empty"}, ""},
		"token without client":   {[]string{"--kafka.tls.enabled", "--kafka.sasl.mechanism=OAUTHBEARER", "--kafka.sasl.token_url=https://idp/token"}, []string{"kafka.sasl.client_id or kafka.sasl.client_secret_file is empty"}, ""},
		"password in an address": {[]string{"--kafka.tls.enabled", "--kafka.sasl.mechanism=OAUTHBEARER", "--kafka.sasl.token_url=https://u:" + canary + "@idp", "--kafka.sasl.client_id=c", "--kafka.sasl.client_secret_file=" + secret}, []string{"kafka.sasl.token_url is no https URL, or holds credentials"}, ""},
		"two ways to ask":        {[]string{"--registry.user=u", "--registry.token_file=" + secret}, []string{`registry.user is "u"`, "leave the other out"}, ""},
		"two secrets to ask":     {[]string{"--registry.password_file=" + secret, "--registry.token_file=" + secret}, []string{"registry.token_file is ", "leave the other out"}, ""},
		"password without user":  {[]string{"--registry.url=https://far:1", "--registry.password_file=" + secret}, []string{"registry.user is empty", "set the user"}, ""},
		"no user, and in clear":  {[]string{"--registry.url=http://far:1", "--registry.password_file=" + secret}, []string{"registry.user is empty", "registry.url begins with http://"}, ""},
		"registry's CA in clear": {[]string{"--registry.tls.ca_file=" + secret}, []string{"registry.url begins with http://, though settings of registry.tls are set"}, ""},
		"not a certificate":      {[]string{"--kafka.tls.enabled", "--kafka.tls.ca_file=" + secret}, []string{"kafka.tls.ca_file", "holds no certificate"}, ""},
		"not a key":              {[]string{"--kafka.tls.enabled", "--kafka.tls.cert_file=" + secret, "--kafka.tls.key_file=" + secret}, []string{"kafka.tls.cert_file and kafka.tls.key_file"}, ""},
		"unknown risk":           {[]string{"--insecure.accept=everything"}, []string{`insecure.accept is "everything"`, "use readable-secret-files or secrets-without-tls"}, ""},
		"file absent":            {append(plain, "SCRAM-SHA-256", "--kafka.sasl.password_file=/absent"), []string{"kafka.sasl.password_file", "/absent"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, "", append([]string{"config", "check"}, tt.args...)...)
			require.Equal(t, exitUsage, got.code)
			require.NotContains(t, got.stderr, canary)
			for _, want := range tt.want {
				require.Contains(t, got.stderr, want)
			}
			if tt.accept == "" {
				return
			}
			require.Contains(t, got.stderr, "insecure.accept="+string(tt.accept), "it says how to ask twice")
			again := runWith(t, "", append([]string{"config", "check", "--insecure.accept=" + string(tt.accept)}, tt.args...)...)
			for _, want := range tt.want {
				require.NotContains(t, again.stderr, want)
			}
		})
	}
}

// TestAFileThatCannotBeUsedLeavesTheOldOneInForce swaps files the way an
// orchestrator does, and badly.
func TestAFileThatCannotBeUsedLeavesTheOldOneInForce(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, content string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, "password"), []byte(content), 0o600))
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "new")))
		require.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data")))
	}
	swap("1", "first\n")
	path := filepath.Join(dir, "password")
	require.NoError(t, os.Symlink(filepath.Join("..data", "password"), path))
	value, err := newFileValue(false, oneLine, namedFile{"kafka.sasl.password_file", path, true})
	require.NoError(t, err)
	require.Equal(t, "first", value.get())

	swap("2", "\ufeffsecond\r\n")
	require.Equal(t, "second", value.get())
	changes, trouble := value.look()
	require.Equal(t, 1, changes)
	require.NoError(t, trouble)

	for name, spoil := range map[string]func(){
		"empty":     func() { swap("3", "\n") },
		"two lines": func() { swap("4", canary+"\n"+canary) },
		"blanks":    func() { swap("8", " "+canary+"\n") },
		"huge":      func() { swap("5", strings.Repeat("x", maxFile+1)) },
		"readable":  func() { swap("6", canary); require.NoError(t, os.Chmod(path, 0o644)) },
		"absent":    func() { require.NoError(t, os.Remove(filepath.Join(dir, "..data"))) },
	} {
		t.Run(name, func(t *testing.T) {
			spoil()
			require.Equal(t, "second", value.get())
			changes, trouble := value.look()
			require.Equal(t, 1, changes)
			require.ErrorContains(t, trouble, "kafka.sasl.password_file")
			require.NotContains(t, trouble.Error(), canary)
		})
	}
	swap("7", "third")
	require.Equal(t, "third", value.get())
	_, trouble = value.look()
	require.NoError(t, trouble)
}

func TestTokenIsFetchedWithTheSecretOfTheMomentAndKept(t *testing.T) {
	var asked atomic.Int64
	life := 3600
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		id, secret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		if id != "grants" || secret != canary {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "secret was " + secret + canary})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "token of " + r.FormValue("scope"), "token_type": "Bearer", "expires_in": life})
	}))
	t.Cleanup(idp.Close)
	file := writeFile(t, "old")
	require.NoError(t, os.Chmod(file, 0o600))
	cfg := defaultConfig()
	cfg.Security = kafkaSecurity{TLS: true, SASL: saslConfig{
		Mechanism: saslOAuthBearer, TokenURL: idp.URL, ClientID: "grants", ClientSecretFile: file, Scopes: []string{"kafka"},
	}}
	require.NoError(t, cfg.validateSecurity())
	token, err := new(access).newToken(cfg)
	require.NoError(t, err)
	_, err = token()
	require.ErrorContains(t, err, "kafka.sasl.token_url gives no token (status 401, invalid_client)")
	require.NotContains(t, err.Error(), canary)

	require.NoError(t, os.WriteFile(file, []byte(canary), 0o600))
	asked.Store(0)
	for range 3 {
		got, err := token()
		require.NoError(t, err)
		require.Equal(t, "token of kafka", got)
	}
	require.Equal(t, int64(1), asked.Load(), "a token is kept while it is good")
	life = 10 // less than how early the next is fetched
	brief, err := new(access).newToken(cfg)
	require.NoError(t, err)
	asked.Store(0)
	for range 3 {
		_, err := brief()
		require.NoError(t, err)
	}
	require.Equal(t, int64(3), asked.Load())
}

func TestDoctorWarnsOfWhatTravelsInClear(t *testing.T) {
	for name, tt := range map[string]struct {
		brokers []string
		tls     bool
		warned  int
	}{
		"on this host":     {[]string{"127.0.0.1:9092", "localhost:9092", "[::1]:9092"}, false, 0},
		"elsewhere":        {[]string{"127.0.0.1:9092", "kafka-1:9092"}, false, 1},
		"elsewhere by TLS": {[]string{"kafka-1:9092"}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			found := lookEncryption(&doctor{cfg: Config{Brokers: tt.brokers, Security: kafkaSecurity{TLS: tt.tls}}})
			require.Len(t, found, tt.warned)
		})
	}
}
