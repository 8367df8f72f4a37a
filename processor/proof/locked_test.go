//go:build chaos

package proof_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
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
	secretLife          = time.Minute
	reauthenticateAfter = 4 * time.Second // after which brokers ask anew who somebody is
)

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

// TestLockedRunWithExactlyTheDocumentedRights takes each right away in turn, while
// requests come: `run` says which one is lacking, and goes on when it is back.
func TestLockedRunWithExactlyTheDocumentedRights(t *testing.T) {
	s := newLockedSystem(t, startLocked(t))
	s.broker.script(s.system, "run", lockedUser, "--add")
	rights := s.broker.rights(lockedUser)
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
	s.broker.script(s.system, "run", lockedUser, "--remove")
	require.Empty(t, s.broker.rights(lockedUser))
}

// denies takes one right away from a running replica, and from one that starts
// where nothing that comes needs it.
func (s *lockedSystem) denies(lacking kadm.DescribedACL) {
	s.t.Helper()
	s.broker.take(lacking)
	if lacking.Operation == kadm.OpWrite && slices.Contains([]string{s.topics.Failed, s.topics.DeadLetter, s.topics.Retry}, lacking.Name) {
		require.Zero(s.t, s.replica.stop(s.t, settleLimit))
		s.replica = s.system.replica("a", s.entrance("SCRAM"))
	}
	s.until("it does not say what it lacks", func() bool { return s.saysThat("lacks " + nameOf(lacking)) })
	s.broker.give(lacking)
	s.until("it does not go on", s.isReady)
	s.balanced(s.sent)
}

// TestLockedSecretsAreRotatedUnderLoad renews certificate, password and token
// while requests come, past the end of the first, and spoils them once: nothing
// restarts, nothing is lost.
func TestLockedSecretsAreRotatedUnderLoad(t *testing.T) {
	s := newLockedSystem(t, startLocked(t))
	s.broker.script(s.system, "run", lockedUser, "--add")
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
	end := time.Now().Add(secretLife + reauthenticateAfter)
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
