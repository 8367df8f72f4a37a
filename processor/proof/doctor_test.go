//go:build integration

package proof_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

type doctorFinding struct{ Check, Level, Finding, Mend string }

// doctor runs the command with credentials in files, and returns what it finds
// but for what one broker cannot have: copies.
func (s *system) doctor(args ...string) (found []doctorFinding, code int) {
	s.t.Helper()
	dir := s.t.TempDir()
	env := s.environment(map[string]string{
		"gateway.app_secret": "", "gateway.session": "", "kafka.transactional_id": s.group + ".a",
		"gateway.app_secret_file": filepath.Join(dir, "secret"), "gateway.session_file": filepath.Join(dir, "session"),
	})
	for _, file := range []string{"secret", "session"} {
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600))
	}
	p := runProcess(s.t, env, buildBinary(s.t), append([]string{"doctor", "--json"}, args...)...)
	code = p.wait(s.t, settleLimit)
	var report struct{ Findings []doctorFinding }
	require.NoError(s.t, json.Unmarshal([]byte(p.stdout.String()), &report), p.stderr.String())
	for _, f := range report.Findings {
		if f.Check != "replication" {
			found = append(found, f)
		}
	}
	return found, code
}

func requireFound(t *testing.T, found []doctorFinding, check, level, says, mend string) {
	t.Helper()
	for _, f := range found {
		if f.Check == check && strings.Contains(f.Finding, says) {
			require.Equal(t, level, f.Level)
			require.Contains(t, f.Mend, mend)
			return
		}
	}
	require.Fail(t, "not found: "+check, "%+v", found)
}

// The control, on brokers as they come: also while a replica runs, and after it
// has committed.
func TestDoctorFindsNothingWrongOnRealKafka(t *testing.T) {
	s := newSystem(t, startKafka(t), newGateway(t, nil))
	s.createTopics(2)
	found, code := s.doctor()
	require.Empty(t, found)
	require.Zero(t, code)
	r := s.replica("a", nil)
	s.send(s.topics.Inputs[0], "", someRequests("doctor", 50, nil)...)
	s.balanced(50)
	found, code = s.doctor()
	require.Empty(t, found)
	require.Zero(t, code)
	require.True(t, r.running(), "it is not fenced by it")
	s.send(s.topics.Inputs[0], "", someRequests("later", 1, nil)...)
	s.balanced(51)
}

func TestDoctorNamesBrokerSettingsAndTheirMend(t *testing.T) {
	brokers := startKafkaWith(t, map[string]string{
		"KAFKA_OFFSET_METADATA_MAX_BYTES": "512", "KAFKA_OFFSETS_RETENTION_MINUTES": "60",
		"KAFKA_TRANSACTION_MAX_TIMEOUT_MS": "45000", "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "6000",
		"KAFKA_LOG_RETENTION_BYTES": "1000000", "KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE": "true",
	})
	downgradeTransactions(t, brokers)
	s := newSystem(t, brokers, newGateway(t, nil))
	s.settings["kafka.transaction_timeout"] = "1m"
	s.createTopics(1)
	found, code := s.doctor()
	require.Equal(t, 1, code)
	requireFound(t, found, "commit-metadata", "warning", "offset.metadata.max.bytes of the brokers is 512", "set it to 4096")
	requireFound(t, found, "offsets-retention", "error", "stand still for 1h0m0s", "set it to 10080 or more")
	requireFound(t, found, "transaction-timeout", "error", "kafka.transaction_timeout is 1m0s, and the brokers take no more than 45s", "15s is usual")
	requireFound(t, found, "session-timeout", "error", "kafka.session_timeout is 3s, and the brokers take no less than 6s", "set it to that at least")
	requireFound(t, found, "transaction-version", "warning", "transaction version 1", "transaction.version=2")
	requireFound(t, found, "retention", "warning", "retention.bytes of "+s.topics.Inputs[0], "retention.bytes=-1")
	requireFound(t, found, "elections", "warning", s.topics.Retry, "unclean.leader.election.enable=false")
}

// Rights as Kafka's own authorizer gives them; without SASL everybody is
// ANONYMOUS.
func TestDoctorNamesRightsThatKafkaDenies(t *testing.T) {
	brokers := startKafkaWith(t, map[string]string{
		"KAFKA_AUTHORIZER_CLASS_NAME":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND": "true",
		"KAFKA_EARLY_START_LISTENERS":          "CONTROLLER",
	})
	s := newSystem(t, brokers, newGateway(t, nil))
	s.createTopics(1)
	found, _ := s.doctor()
	require.Empty(t, found, "everything is allowed so far")
	admin := adminClient(t, brokers)
	for _, b := range []*kadm.ACLBuilder{
		kadm.NewACLs().Deny("User:ANONYMOUS").DenyHosts("*").Topics(s.topics.Granted).Operations(kadm.OpWrite),
		kadm.NewACLs().Allow("User:ANONYMOUS").AllowHosts("*").Topics(s.topics.Failed).Operations(kadm.OpDescribe, kadm.OpDescribeConfigs),
		kadm.NewACLs().Deny("User:ANONYMOUS").DenyHosts("*").Topics(s.topics.Inputs[1]).Operations(kadm.OpRead),
		kadm.NewACLs().Deny("User:ANONYMOUS").DenyHosts("*").Groups(s.group).Operations(kadm.OpRead),
		kadm.NewACLs().Deny("User:ANONYMOUS").DenyHosts("*").TransactionalIDs(s.group + ".a").Operations(kadm.OpDescribe),
	} {
		results, err := admin.CreateACLs(t.Context(), b.ResourcePatternType(kadm.ACLPatternLiteral))
		require.NoError(t, err)
		for _, r := range results {
			require.NoError(t, r.Err)
		}
	}
	s.eventually("the broker must take it up", func() bool {
		found, _ = s.doctor()
		errs := 0
		for _, f := range found {
			if f.Level == "error" {
				errs++
			}
		}
		return errs >= 5
	})
	requireFound(t, found, "topics", "error", "this user may not see the topic "+s.topics.Granted, "--operation Write --topic "+s.topics.Granted)
	requireFound(t, found, "topics", "error", "this user may not see the topic "+s.topics.Inputs[1], "--operation Read --topic "+s.topics.Inputs[1])
	requireFound(t, found, "rights", "error", "this user may not write the topic "+s.topics.Failed, "--operation Write --topic "+s.topics.Failed)
	requireFound(t, found, "rights", "error", "this user may not join the group "+s.group, "--operation Read --group "+s.group)
	requireFound(t, found, "rights", "error", "this user may not use the transactional id "+s.group+".a", "--transactional-id")
}
