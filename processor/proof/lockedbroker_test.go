//go:build chaos

package proof_test

import (
	"fmt"
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
	setup := brokerSetup{count: 1, jvm: smallJVM()}
	setup.more = func(direct, controller string) string {
		return fmt.Sprintf(lockedSettings, direct, b.listeners["SCRAM"], b.listeners["MTLS"], b.listeners["OAUTH"], controller,
			direct, b.listeners["SCRAM"], b.listeners["MTLS"], b.listeners["OAUTH"], store, trust, reauthenticateAfter.Milliseconds())
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

// script runs deploy/kafka/acls.sh with Kafka's own tool, for a user of a system.
func (b *lockedBroker) script(s *system, role, user, action string) {
	b.t.Helper()
	tools, _ := filepath.Glob(filepath.Join(b.libs, "kafka-tools-[0-9]*.jar"))
	require.NotEmpty(b.t, tools, "REAL_KAFKA_LIBS lacks kafka-tools-*.jar, which is what kafka-acls.sh runs")
	tool := filepath.Join(b.dir, "kafka-acls.sh")
	require.NoError(b.t, os.WriteFile(tool, fmt.Appendf(nil, "#!/bin/sh\nexec %q -XX:TieredStopAtLevel=1 -cp %q org.apache.kafka.tools.AclCommand \"$@\"\n",
		b.java, filepath.Join(b.libs, "*")), 0o700)) //nolint:gosec // it is run
	script := exec.Command("../../deploy/kafka/acls.sh", role, "User:"+user)
	script.Env = append(os.Environ(), "KAFKA_ACLS="+tool, "BOOTSTRAP="+b.direct[0], "ACTION="+action, "GROUP="+s.group,
		"STORE="+s.topics.Inputs[0], "LOYALTY="+s.topics.Inputs[1], "GRANTED="+s.topics.Granted,
		"FAILED="+s.topics.Failed, "DEAD_LETTER="+s.topics.DeadLetter, "RETRY="+s.topics.Retry)
	out, err := script.CombinedOutput()
	require.NoError(b.t, err, string(out))
}

// rights are those that the broker says the user has.
func (b *lockedBroker) rights(user string) (all []kadm.DescribedACL) {
	b.t.Helper()
	found, err := b.admin.DescribeACLs(b.t.Context(), kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).
		Allow("User:"+user).AllowHosts().Operations())
	require.NoError(b.t, err)
	for _, some := range found {
		require.NoError(b.t, some.Err)
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
	case kmsg.ACLResourceTypeCluster:
		return acl.Clusters()
	default:
		return acl.TransactionalIDs(r.Name)
	}
}

func (b *lockedBroker) give(r kadm.DescribedACL) {
	b.t.Helper()
	given, err := b.admin.CreateACLs(b.t.Context(), aclOf(r))
	require.NoError(b.t, err)
	require.Len(b.t, given, 1)
	require.NoError(b.t, given[0].Err)
}

func (b *lockedBroker) take(r kadm.DescribedACL) {
	b.t.Helper()
	taken, err := b.admin.DeleteACLs(b.t.Context(), aclOf(r))
	require.NoError(b.t, err)
	require.Len(b.t, taken, 1)
	require.NoError(b.t, taken[0].Err)
	require.Len(b.t, taken[0].Deleted, 1, nameOf(r))
}
