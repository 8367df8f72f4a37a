package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// brokenSetUp is something done to a sound set-up, and the one thing that doctor
// must say of it.
type brokenSetUp struct {
	cluster    []kfake.Opt
	do         func(*patient)
	check      string
	level      level
	says, mend string
	also       []string // checks that find what comes of it
	cannot     []string // checks that cannot look for it, and say no more
}

var topicsOf = defaultConfig().Processor.Topics

const envelope = `{"error_response":{"code":21,"msg":"Missing Method"}}`

// withoutCompatibility is a registry that keeps that to itself.
func withoutCompatibility(t *testing.T, registry string) string {
	at, err := url.Parse(registry)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(at)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/config") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// refusedOffsets is a broker's answer that tells no offset.
func refusedOffsets(t *testing.T, asked kmsg.Request) kmsg.Response {
	list, ok := asked.(*kmsg.ListOffsetsRequest)
	require.True(t, ok)
	response, ok := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
	require.True(t, ok)
	for _, in := range list.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = in.Topic
		for _, p := range in.Partitions {
			partition := kmsg.NewListOffsetsResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, kerr.UnknownServerError.Code
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

var brokenSetUps = map[string]brokenSetUp{
	"a setting that cannot be": {
		do:    func(p *patient) { p.args = []string{"--retry.delay=-1s"} },
		check: "settings", level: levelError, says: "retry.delay is -1s", mend: "use a positive duration",
	},
	"a setting with a slip of the pen": {
		do:    func(p *patient) { p.args = []string{"--config", writeFile(p.T, "kafka:\n  borkers: [a:1]\n")} },
		check: "settings", level: levelError, says: "unknown key kafka.borkers", mend: "did you mean kafka.brokers?",
	},
	"an address of the gateway without encryption": {
		do:    func(p *patient) { p.gateway = "http://gateway.invalid/router/rest" },
		check: "gateway-url", level: levelWarning, says: "gateway.url is http://gateway.invalid/router/rest", mend: "use https://gateway.invalid/router/rest",
		also: []string{"gateway", "clock"},
	},
	"no app key": {
		do:    func(p *patient) { p.key = "" },
		check: "credentials", level: levelError, says: "gateway.app_key is empty", mend: "name the app that calls",
	},
	"no session": {
		do:    func(p *patient) { require.NoError(p, os.Remove(p.session)) },
		check: "credentials", level: levelError, says: "gateway.session_file", mend: "write the secret into the file that is named",
	},
	"an empty secret": {
		do:    func(p *patient) { require.NoError(p, os.WriteFile(p.secret, []byte("\n"), 0o600)) },
		check: "credentials", level: levelError, says: "gateway.app_secret_file is empty", mend: "write the secret into the file",
	},
	"a secret for everybody": {
		do:    func(p *patient) { require.NoError(p, os.Chmod(p.secret, 0o644)) },
		check: "credential-files", level: levelError, says: "which every user of this host can read", mend: "chmod 600 ",
	},
	"a secret for everybody, accepted": {
		do: func(p *patient) {
			require.NoError(p, os.Chmod(p.secret, 0o644))
			p.args = []string{"--insecure.accept=readable-secret-files"}
		},
		check: "credential-files", level: levelWarning, says: "which every user of this host can read", mend: "chmod 600 ",
	},
	"a session that has expired": {
		do:    func(p *patient) { p.args = []string{"--gateway.session_expires_at", "2020-01-01"} },
		check: "session-expiry", level: levelError, says: "which is past", mend: "authorise again",
	},
	"a session that expires soon": {
		do: func(p *patient) {
			p.args = []string{"--gateway.session_expires_at", time.Now().Add(5 * day).Format(time.RFC3339)}
		},
		check: "session-expiry", level: levelWarning, says: "in 5.0 days", mend: "replace the content of gateway.session_file",
	},
	"no gateway": {
		do:    func(p *patient) { p.gateway = "http://127.0.0.1:1/router/rest" },
		check: "gateway", level: levelError, says: "nothing answers there", mend: "check the address, the way out of this network",
		also: []string{"clock"},
	},
	"a proxy in the gateway's place": {
		do:    func(p *patient) { p.answers(http.StatusForbidden, time.Now(), "<html>no</html>") },
		check: "gateway", level: levelWarning, says: "with status 403 does not speak like the gateway", mend: "a proxy that answers in its place must let it through",
	},
	"a clock that is eleven minutes behind": {
		do:    func(p *patient) { p.answers(http.StatusOK, time.Now().Add(11*time.Minute), envelope) },
		check: "clock", level: levelError, says: " behind the gateway's, which refuses calls that are ten minutes off", mend: "NTP",
	},
	"a clock that is two minutes ahead": {
		do:    func(p *patient) { p.answers(http.StatusOK, time.Now().Add(-2*time.Minute), envelope) },
		check: "clock", level: levelWarning, says: "ahead of the gateway's", mend: "NTP",
	},
	"no registry": {
		do:    func(p *patient) { p.reach[3] = "http://127.0.0.1:1" },
		check: "registry", level: levelError, says: "registry.url is http://127.0.0.1:1", mend: "check the address",
		cannot: []string{"schemas", "compatibility"},
	},
	"another registry": {
		do: func(p *patient) {
			other := srfake.New()
			p.Cleanup(other.Close)
			p.reach[3] = other.URL()
		},
		check: "schemas", level: levelError, says: "the registry lacks the current schema of " + topicsOf.Store + "-value", mend: "run `coupongrant topics create`",
	},
	"a schema that cannot be read": {
		do: func(p *patient) {
			client, err := sr.NewClient(sr.URLs(p.reach[3]))
			require.NoError(p, err)
			_, err = client.CreateSchema(p.Context(), topicsOf.Loyalty+"-value", sr.Schema{Schema: `{"type":"record","name":"Other","fields":[]}`})
			require.NoError(p, err)
		},
		check: "schemas", level: levelError, says: "version 2 of " + topicsOf.Loyalty + "-value is none that can be read", mend: "go back to the version before",
	},
	"no compatibility": {
		do: func(p *patient) {
			client, err := sr.NewClient(sr.URLs(p.reach[3]))
			require.NoError(p, err)
			require.NoError(p, client.SetCompatibility(p.Context(), sr.SetCompatibility{Level: sr.CompatNone}, topicsOf.Granted+"-value")[0].Err)
		},
		check: "compatibility", level: levelWarning, says: "the compatibility of " + topicsOf.Granted + "-value is NONE", mend: "sets FULL_TRANSITIVE",
	},
	"a registry that does not tell the compatibility": {
		do:    func(p *patient) { p.reach[3] = withoutCompatibility(p.T, p.reach[3]) },
		check: "compatibility", level: levelUnseen, says: "does not tell the compatibility of " + topicsOf.Store + "-value, ", mend: "see whether this user may read it",
	},
	"no brokers": {
		do:    func(p *patient) { p.reach[1] = "127.0.0.1:1" },
		check: "brokers", level: levelError, says: "kafka.brokers is 127.0.0.1:1, but no broker answers", mend: "check kafka.brokers",
		cannot: needingBrokers(),
	},
	"brokers before Kafka 4": {
		cluster: []kfake.Opt{kfake.MaxVersions(kversion.V3_5_0())},
		do:      func(*patient) {},
		check:   "transaction-version", level: levelWarning, says: "transaction version 0", mend: "upgrade them to Kafka 4.0 or later",
	},
	"brokers before Kafka 4, refused": {
		cluster: []kfake.Opt{kfake.MaxVersions(kversion.V3_5_0())},
		do:      func(p *patient) { p.args = []string{"--kafka.require_tv2"} },
		check:   "transaction-version", level: levelError, says: "and kafka.require_tv2 is true", mend: "transaction.version=2",
	},
	"a protocol that the brokers do not know": {
		cluster: []kfake.Opt{kfake.MaxVersions(kversion.V3_5_0())},
		do:      func(p *patient) { p.args = []string{"--kafka.group_protocol", "consumer"} },
		check:   "group-protocol", level: levelError, says: "kafka.group_protocol is consumer", mend: "set it to classic",
		also: []string{"transaction-version"},
	},
	"a session that is too short for the brokers": {
		do: func(p *patient) {
			p.args = []string{"--kafka.session_timeout", "3s", "--kafka.heartbeat_interval", "1s"}
		},
		check: "session-timeout", level: levelError, says: "kafka.session_timeout is 3s, and the brokers take no less than 6s", mend: "set it to that at least",
	},
	"a transaction that is too long for the brokers": {
		do:    func(p *patient) { p.args = []string{"--kafka.transaction_timeout", "20m"} },
		check: "transaction-timeout", level: levelError, says: "kafka.transaction_timeout is 20m0s, and the brokers take no more than 15m0s", mend: "15s is usual",
	},
	"offsets that are forgotten overnight": {
		cluster: []kfake.Opt{kfake.BrokerConfigs(map[string]string{"offsets.retention.minutes": "60"})},
		do:      func(*patient) {},
		check:   "offsets-retention", level: levelError, says: "when all replicas stand still for 1h0m0s", mend: "set it to 10080 or more",
	},
	"a topic is missing": {
		do: func(p *patient) {
			_, err := p.admin.DeleteTopic(p.Context(), topicsOf.Retry)
			require.NoError(p, err)
		},
		check: "topics", level: levelError, says: "the topic " + topicsOf.Retry + " (topics.retry) is missing", mend: "run `coupongrant topics create`; if it has another name, set topics.retry",
	},
	"a topic that is compacted": {
		do:    func(p *patient) { p.alter(topicsOf.Store, keyCleanup, "compact,delete") },
		check: "cleanup", level: levelError, says: "of records with one key only the last stays", mend: "--add-config cleanup.policy=delete",
	},
	"parked requests are deleted": {
		do:    func(p *patient) { p.args = []string{"--retry.give_up_after", "100h"} },
		check: "retention", level: levelError, says: "retention.ms of " + topicsOf.Retry + " is 168h0m0s", mend: "--add-config retention.ms=806400000",
	},
	"requests are deleted within hours": {
		do:    func(p *patient) { p.alter(topicsOf.Loyalty, keyRetention, "3600000") },
		check: "retention", level: levelWarning, says: "an outage of that length loses requests", mend: "--add-config retention.ms=604800000",
	},
	"requests are deleted when there are many": {
		do:    func(p *patient) { p.alter(topicsOf.Store, "retention.bytes", "1000000") },
		check: "retention", level: levelWarning, says: "retention.bytes of " + topicsOf.Store + " is 1000000", mend: "retention.bytes=-1",
	},
	"large requests cannot be parked": {
		do:    func(p *patient) { p.alter(topicsOf.Retry, keyMaxMessage, "100000") },
		check: "sizes", level: levelWarning, says: "max.message.bytes of " + topicsOf.Retry + " is 100000", mend: "--add-config max.message.bytes=1114124",
	},
	"one broker may lose what it has acknowledged": {
		do:    func(p *patient) { p.alter(topicsOf.Granted, keyMinInSync, "1") },
		check: "replication", level: levelWarning, says: "what one broker alone has acknowledged is lost with it", mend: "set it to 2",
	},
	"nothing can be written": {
		do:    func(p *patient) { p.alter(topicsOf.Granted, keyMinInSync, "4") },
		check: "replication", level: levelError, says: "min.insync.replicas of " + topicsOf.Granted + " is 4, and there are 3 copies", mend: "lower it",
	},
	"one broker": {
		cluster: []kfake.Opt{kfake.NumBrokers(1)},
		do:      func(*patient) {},
		check:   "replication", level: levelWarning, says: "there is one copy of " + topicsOf.Store + ", " + topicsOf.Loyalty, mend: "give them 3 replicas",
	},
	"a leader that has lagged behind": {
		do:    func(p *patient) { p.alter(topicsOf.Failed, keyUncleanElection, "true") },
		check: "elections", level: levelWarning, says: "records that were acknowledged can vanish", mend: "unclean.leader.election.enable=false",
	},
	"outcomes that cannot be joined": {
		do: func(p *patient) {
			_, err := p.admin.UpdatePartitions(p.Context(), 5, topicsOf.Failed)
			require.NoError(p, err)
		},
		check: "partitions", level: levelWarning, says: topicsOf.Granted + " has 2 partitions and " + topicsOf.Failed + " has 5", mend: "give both as many",
	},
	"another program in the group": {
		do:    func(p *patient) { p.join("rdkafka", topicsOf.Store) },
		check: "group-members", level: levelError, says: "has a member that is not this program: client id rdkafka at ", mend: "give that client a group of its own",
	},
	"a replica with other topics": {
		do:    func(p *patient) { p.join(clientID, topicsOf.Store) },
		check: "group-members", level: levelError, says: "reads other topics in the group coupongrant: " + topicsOf.Store, mend: "the same settings topics.*",
	},
	"a fleet in another group": {
		do: func(p *patient) {
			p.joinIn("analysts", "rdkafka", topicsOf.Store) // reads only
			p.joinIn("green", clientID, topicsOf.Inputs()...)
		},
		check: "other-groups", level: levelError, says: "reads the same topics in another group, green", mend: "stop the fleet",
	},
	"somebody else has committed": {
		do:    func(p *patient) { p.commit(0, "checkpoint-17") },
		check: "commits", level: levelError, says: "is not this program's", mend: "--accept-foreign-offsets",
	},
	"a later version has committed": {
		do:    func(p *patient) { p.commit(0, "cg2.AAAAAAAAAAA.1.0.0..15fxd92") }, // sealed as ours are
		check: "commits", level: levelError, says: `of a later version ("cg2", this program reads cg1)`, mend: "run the version that made the commit",
	},
	"a topic was made again": {
		do:    func(p *patient) { p.commit(1000, "") },
		check: "commits", level: levelError, says: topicsOf.Store + "/0 is committed up to offset 1000, and ends at 0", mend: "stop all replicas",
	},
	"a topic was cut below what had ended": {
		do:    func(p *patient) { p.commit(0, finishedMetadata()) },
		check: "commits", level: levelError, says: topicsOf.Store + "/0 is committed up to offset 2, and ends at 0", mend: "stop all replicas",
	},
	"ends of the topics that are not told": {
		do: func(p *patient) {
			p.commit(0, "")
			p.kafka.ControlKey(kmsg.NewPtrListOffsetsRequest().Key(), func(asked kmsg.Request) (kmsg.Response, error, bool) {
				p.kafka.KeepControl()
				return refusedOffsets(p.T, asked), nil, true
			})
		},
		check: "commits", level: levelUnseen, says: "what is committed of " + topicsOf.Store + "/0 cannot be compared with what the topics hold: UNKNOWN_SERVER_ERROR", mend: "look at the brokers",
	},
	"input has vanished": {
		do: func(p *patient) {
			p.commit(0, "")
			for range 3 {
				require.NoError(p, p.client.ProduceSync(p.Context(), &kgo.Record{Topic: topicsOf.Store, Key: []byte("0"), Value: []byte("x")}).FirstErr())
			}
			for partition := range int32(2) {
				var before kadm.Offsets
				before.Add(kadm.Offset{Topic: topicsOf.Store, Partition: partition, At: -1})
				_, err := p.admin.DeleteRecords(p.Context(), before)
				require.NoError(p, err)
				var commits kadm.Offsets
				commits.Add(kadm.Offset{Topic: topicsOf.Store, Partition: partition, At: 0, LeaderEpoch: -1})
				require.NoError(p, p.admin.CommitAllOffsets(p.Context(), "coupongrant", commits))
			}
		},
		check: "commits", level: levelError, says: "is committed up to offset 0, and begins at 3", mend: "--accept-lost-input",
	},
	"a transactional id that is not told": {
		do: func(p *patient) {
			p.kafka.ControlKey(kmsg.NewPtrDescribeTransactionsRequest().Key(), func(asked kmsg.Request) (kmsg.Response, error, bool) {
				p.kafka.KeepControl()
				response, ok := asked.ResponseKind().(*kmsg.DescribeTransactionsResponse)
				require.True(p, ok)
				state := kmsg.NewDescribeTransactionsResponseTransactionState()
				state.TransactionalID, state.ErrorCode = "replica-1", kerr.UnknownServerError.Code
				response.TransactionStates = append(response.TransactionStates, state)
				return response, nil, true
			})
		},
		check: "transactional-id", level: levelUnseen, says: "the transactional id replica-1 cannot be looked at: UNKNOWN_SERVER_ERROR", mend: "look at the brokers",
	},
	"a transactional id of somebody else": {
		do: func(p *patient) {
			other, err := kgo.NewClient(kgo.SeedBrokers(p.reach[1]), kgo.TransactionalID("replica-1"), kgo.TransactionTimeout(time.Minute))
			require.NoError(p, err)
			defer other.Close()
			_, _, err = other.ProducerID(p.Context())
			require.NoError(p, err)
		},
		check: "transactional-id", level: levelWarning, says: "was last used with a transaction timeout of 1m0s, not 15s", mend: "a kafka.transactional_id of its own",
	},
	"a transactional id that writes elsewhere": {
		do: func(p *patient) {
			_, err := p.admin.CreateTopic(p.Context(), 1, 1, nil, "elsewhere")
			require.NoError(p, err)
			other, err := kgo.NewClient(kgo.SeedBrokers(p.reach[1]), kgo.TransactionalID("replica-1"), kgo.TransactionTimeout(15*time.Second))
			require.NoError(p, err)
			p.Cleanup(other.Close)
			require.NoError(p, other.BeginTransaction())
			require.NoError(p, other.ProduceSync(p.Context(), &kgo.Record{Topic: "elsewhere", Value: []byte("x")}).FirstErr())
		},
		check: "transactional-id", level: levelError, says: "has a transaction open that writes to elsewhere", mend: "a kafka.transactional_id of its own",
	},
}
