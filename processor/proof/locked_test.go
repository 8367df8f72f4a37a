//go:build chaos

package proof_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// What needs real brokers that let in only whom they know, and let nobody do more
// than was allowed.

const (
	lockedUser  = "grants"
	wrongSecret = "wrong-4c1f"

	// secrets live so long, and are renewed three times as often, from the start on:
	// whoever held on to one of the first would be refused before a run is over.
	secretLife   = time.Minute
	reauthentify = 4 * time.Second // after which brokers ask anew who somebody is
)

// lockedBroker is a broker with four listeners: one for the test's own clients,
// who may do everything, and one for each way to say who one is.
type lockedBroker struct {
	*realBrokers
	t         *testing.T
	authority *authority
	listeners map[string]string // address by name
}

func startLocked(t *testing.T) *lockedBroker {
	t.Helper()
	b := &lockedBroker{t: t, authority: newAuthority(t, "authority"), listeners: map[string]string{}}
	for _, name := range []string{"SCRAM", "MTLS", "OAUTH"} {
		b.listeners[name] = freeAddress(t)
	}
	dir := t.TempDir()
	cert, key := b.authority.issue("broker", 24*time.Hour)
	store, trust := filepath.Join(dir, "broker.pem"), filepath.Join(dir, "authority.pem")
	require.NoError(t, os.WriteFile(store, slices.Concat(key, cert), 0o600))
	require.NoError(t, os.WriteFile(trust, b.authority.pem, 0o600))
	setup := chaosBrokers(&wires{lines: make([]*wire, 1)})
	setup.wires = nil
	setup.more = func(direct, controller string) string {
		return fmt.Sprintf(lockedSettings, direct, b.listeners["SCRAM"], b.listeners["MTLS"], b.listeners["OAUTH"], controller,
			direct, b.listeners["SCRAM"], b.listeners["MTLS"], b.listeners["OAUTH"], store, trust, reauthentify.Milliseconds())
	}
	b.realBrokers = startBrokers(t, dir, setup)
	return b
}

// password of a user, from now on.
func (b *lockedBroker) password(user, text string) {
	b.t.Helper()
	changed, err := b.admin.AlterUserSCRAMs(b.t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: text}})
	require.NoError(b.t, err)
	require.NoError(b.t, changed[user].Err)
}

// lockedSettings: direct, three listeners, controller; direct, three listeners;
// stores; milliseconds.
const lockedSettings = `
listeners=DIRECT://%[1]s,SCRAM://%[2]s,MTLS://%[3]s,OAUTH://%[4]s,CONTROLLER://%[5]s
advertised.listeners=DIRECT://%[6]s,SCRAM://%[7]s,MTLS://%[8]s,OAUTH://%[9]s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL,OAUTH:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[10]s
ssl.truststore.type=PEM
ssl.truststore.location=%[11]s
listener.name.mtls.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]*).*$/$1/
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.oauth.oauthbearer.connections.max.reauth.ms=%[12]d
listener.name.scram.scram-sha-512.connections.max.reauth.ms=%[12]d
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
`

// bearer is an unsecured JWS, which brokers take where nobody tells them how to
// check a signature.
func bearer(life time.Duration) []byte {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now()
	return []byte(part(map[string]string{"alg": "none"}) + "." +
		part(map[string]any{"sub": lockedUser, "iat": now.Unix(), "exp": now.Add(life).Unix()}) + ".")
}

// lockedSystem is a system whose replicas come in by one of the listeners.
type lockedSystem struct {
	*system
	broker  *lockedBroker
	files   *volume
	sent    int
	renewed []time.Time // when all secrets were made anew

	replica *replica
}

func newLockedSystem(t *testing.T, b *lockedBroker) *lockedSystem {
	t.Helper()
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	t.Cleanup(registry.Close)
	t.Setenv("COUPONGRANT_TEST_REGISTRY_URL", registry.URL)
	s := &lockedSystem{system: newSystem(t, b.direct, newGateway(t, nil)), broker: b}
	s.createTopics(1)
	s.files = newVolume(t, s.secrets())
	return s
}

// entrance are the settings of who comes in by a listener.
func (s *lockedSystem) entrance(listener string) map[string]string {
	settings := map[string]string{"kafka.brokers": s.broker.listeners[listener], "kafka.tls.enabled": "true", "kafka.tls.ca_file": s.files.path("ca")}
	switch listener {
	case "SCRAM":
		maps.Copy(settings, map[string]string{"kafka.sasl.mechanism": "SCRAM-SHA-512", "kafka.sasl.user": lockedUser, "kafka.sasl.password_file": s.files.path("password")})
	case "MTLS":
		maps.Copy(settings, map[string]string{"kafka.tls.cert_file": s.files.path("cert"), "kafka.tls.key_file": s.files.path("key")})
	case "OAUTH":
		maps.Copy(settings, map[string]string{"kafka.sasl.mechanism": "OAUTHBEARER", "kafka.sasl.token_file": s.files.path("token")})
	}
	return settings
}

// secrets are all files of a moment, and those that the broker takes from then on.
func (s *lockedSystem) secrets() map[string][]byte {
	s.t.Helper()
	cert, key := s.broker.authority.issue(lockedUser, secretLife)
	password := fmt.Sprintf("password-%d", len(s.renewed))
	s.broker.password(lockedUser, password)
	s.renewed = append(s.renewed, time.Now())
	return map[string][]byte{"ca": s.broker.authority.pem, "cert": cert, "key": key, "password": []byte(password + "\n"), "token": bearer(secretLife)}
}

// load sends to both inputs, and renews the secrets when it is time.
func (s *lockedSystem) load() {
	s.t.Helper()
	if time.Since(s.renewed[len(s.renewed)-1]) > secretLife/3 {
		s.files.swap(s.secrets())
	}
	for _, topic := range s.topics.Inputs {
		s.send(topic, "", someRequests(fmt.Sprintf("r%d", s.sent), 1, nil)...)
		s.sent++
	}
}

// until sends until something is so.
func (s *lockedSystem) until(what string, so func() bool) {
	s.t.Helper()
	require.NoError(s.t, within(2*settleLimit, what, func() bool {
		s.load()
		return so()
	}), s.replica.stderr.String())
	require.True(s.t, s.replica.running())
}

func (s *lockedSystem) isReady() bool {
	status, _ := s.replica.readiness()
	return status == http.StatusOK
}

// saysThat tells whether it waits, and says so with these words.
func (s *lockedSystem) saysThat(words string) bool {
	status, holds := s.replica.readiness()
	at := slices.IndexFunc(holds, func(h hold) bool { return strings.Contains(h.Reason, words) })
	if at >= 0 {
		s.t.Log(holds[at].Reason)
	}
	return at >= 0 && status == http.StatusServiceUnavailable
}

// script runs deploy/kafka/acls.sh with Kafka's own tool.
func (s *lockedSystem) script(role, action string) {
	s.t.Helper()
	tools, _ := filepath.Glob(filepath.Join(s.broker.libs, "kafka-tools-*.jar"))
	require.NotEmpty(s.t, tools, "REAL_KAFKA_LIBS lacks kafka-tools-*.jar, which is what kafka-acls.sh runs")
	tool := filepath.Join(s.broker.dir, "kafka-acls.sh")
	require.NoError(s.t, os.WriteFile(tool, fmt.Appendf(nil, "#!/bin/sh\nexec %q -XX:TieredStopAtLevel=1 -cp %q org.apache.kafka.tools.AclCommand \"$@\"\n",
		s.broker.java, filepath.Join(s.broker.libs, "*")), 0o700)) //nolint:gosec // it is run
	script := exec.Command("../../deploy/kafka/acls.sh", role, "User:"+lockedUser)
	script.Env = append(os.Environ(), "KAFKA_ACLS="+tool, "BOOTSTRAP="+s.broker.direct[0], "ACTION="+action, "GROUP="+s.group,
		"STORE="+s.topics.Inputs[0], "LOYALTY="+s.topics.Inputs[1], "GRANTED="+s.topics.Granted,
		"FAILED="+s.topics.Failed, "DEAD_LETTER="+s.topics.DeadLetter, "RETRY="+s.topics.Retry)
	out, err := script.CombinedOutput()
	require.NoError(s.t, err, string(out))
}

// rights are those that the broker says the user has.
func (s *lockedSystem) rights() (all []kadm.DescribedACL) {
	s.t.Helper()
	found, err := s.broker.admin.DescribeACLs(s.t.Context(), kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).
		Allow("User:"+lockedUser).AllowHosts().Operations())
	require.NoError(s.t, err)
	for _, some := range found {
		require.NoError(s.t, some.Err)
		all = append(all, some.Described...)
	}
	return all
}

// nameOf is how the program names a right.
func nameOf(r kadm.DescribedACL) string {
	return r.Operation.String() + " on " + strings.ToLower(strings.ReplaceAll(r.Type.String(), "_", " ")) + " " + r.Name
}

func aclOf(r kadm.DescribedACL) *kadm.ACLBuilder {
	acl := kadm.NewACLs().Allow(r.Principal).AllowHosts(r.Host).Operations(r.Operation).ResourcePatternType(r.Pattern)
	switch r.Type {
	case kmsg.ACLResourceTypeTopic:
		return acl.Topics(r.Name)
	case kmsg.ACLResourceTypeGroup:
		return acl.Groups(r.Name)
	default:
		return acl.TransactionalIDs(r.Name)
	}
}

func (s *lockedSystem) give(r kadm.DescribedACL) {
	s.t.Helper()
	given, err := s.broker.admin.CreateACLs(s.t.Context(), aclOf(r))
	require.NoError(s.t, err)
	require.Len(s.t, given, 1)
	require.NoError(s.t, given[0].Err)
}

func (s *lockedSystem) take(r kadm.DescribedACL) {
	s.t.Helper()
	taken, err := s.broker.admin.DeleteACLs(s.t.Context(), aclOf(r))
	require.NoError(s.t, err)
	require.Len(s.t, taken, 1)
	require.NoError(s.t, taken[0].Err)
	require.Len(s.t, taken[0].Deleted, 1, nameOf(r))
}

// TestLockedRunWithExactlyTheDocumentedRights takes each right away in turn, while
// requests come: `run` says which one is lacking, and goes on when it is back.
func TestLockedRunWithExactlyTheDocumentedRights(t *testing.T) {
	s := newLockedSystem(t, startLocked(t))
	s.script("run", "--add")
	rights := s.rights()
	var names []string
	for _, r := range rights {
		require.Equal(t, "*", r.Host)
		require.Equal(t, r.Type == kmsg.ACLResourceTypeTransactionalId, r.Pattern == kadm.ACLPatternPrefixed, nameOf(r))
		names = append(names, nameOf(r))
	}
	require.ElementsMatch(t, []string{
		"READ on topic " + s.topics.Inputs[0], "READ on topic " + s.topics.Inputs[1], "READ on topic " + s.topics.Retry,
		"WRITE on topic " + s.topics.Granted, "WRITE on topic " + s.topics.Failed, "WRITE on topic " + s.topics.DeadLetter, "WRITE on topic " + s.topics.Retry,
		"READ on group " + s.group, "WRITE on transactional id " + s.group,
	}, names)

	s.replica = s.system.replica("a", s.entrance("SCRAM"))
	s.until("it does not become ready", s.isReady)
	s.balanced(s.sent)
	for _, lacking := range rights {
		s.denies(lacking)
	}
	require.NotContains(t, s.replica.stderr.String(), "password-")
	s.script("run", "--remove")
	require.Empty(t, s.rights())
}

// denies takes one right away from a running replica, and from one that starts
// where nothing that comes needs it.
func (s *lockedSystem) denies(lacking kadm.DescribedACL) {
	s.t.Helper()
	s.take(lacking)
	if lacking.Operation == kadm.OpWrite && slices.Contains([]string{s.topics.Failed, s.topics.DeadLetter, s.topics.Retry}, lacking.Name) {
		require.Zero(s.t, s.replica.stop(s.t, settleLimit))
		s.replica = s.system.replica("a", s.entrance("SCRAM"))
	}
	s.until("it does not say what it lacks", func() bool { return s.saysThat("lacks " + nameOf(lacking)) })
	s.give(lacking)
	s.until("it does not go on", s.isReady)
	s.balanced(s.sent)
}

// TestLockedSecretsAreRotatedUnderLoad renews certificate, password and token
// while requests come, past the end of the first, and spoils them once: nothing
// restarts, nothing is lost.
func TestLockedSecretsAreRotatedUnderLoad(t *testing.T) {
	s := newLockedSystem(t, startLocked(t))
	s.script("run", "--add")
	for _, listener := range []string{"SCRAM", "MTLS", "OAUTH"} {
		t.Run(listener, func(t *testing.T) {
			s.t, s.broker.t = t, t
			s.rotates(listener)
		})
	}
}

func (s *lockedSystem) rotates(listener string) {
	s.t.Helper()
	s.files.swap(s.secrets())
	end := time.Now().Add(secretLife + reauthentify)
	s.replica = s.system.replica("a", s.entrance(listener))
	s.until("it does not become ready", s.isReady)
	s.spoil()
	s.until("the first secrets are not past their end", func() bool { return time.Now().After(end) })
	require.NoError(s.t, s.broker.stop(0)) // every connection ends, and is made anew
	require.NoError(s.t, s.broker.start(0))
	s.until("it does not become ready after the broker's restart", s.isReady)
	if listener == "SCRAM" {
		s.forgets()
	}
	s.balanced(s.sent)
	said := s.replica.stderr.String()
	require.Contains(s.t, said, "new connections are made with what the file holds now")
	require.NotContains(s.t, said, "password-")
	require.NotContains(s.t, said, wrongSecret)
	require.NotContains(s.t, said, "eyJ") // as tokens begin
	require.Zero(s.t, s.replica.stop(s.t, settleLimit))
}

// spoil puts files in place that cannot be used, until the log says so.
func (s *lockedSystem) spoil() {
	s.t.Helper()
	bad := map[string][]byte{}
	for _, name := range []string{"ca", "cert", "key", "password", "token"} {
		bad[name] = []byte(wrongSecret + "\n" + wrongSecret)
	}
	s.files.swap(bad)
	s.until("it does not say that a file cannot be used", func() bool {
		return strings.Contains(s.replica.stderr.String(), "a file cannot be used, what it held before stays in force")
	})
	s.files.swap(s.secrets())
}

// forgets has the broker take another password while the file stays as it is: this
// is what a rotation is without one.
func (s *lockedSystem) forgets() {
	s.t.Helper()
	s.broker.password(lockedUser, "password-of-nobody")
	require.NoError(s.t, within(2*settleLimit, "it does not say that it is refused", func() bool { return s.saysThat("the brokers refuse this user") }))
	s.files.swap(s.secrets())
	s.until("it does not go on", s.isReady)
}
