package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// Of topics that its user may not see, the processor names those, and does not
// take the brokers for dead.
func TestRunSaysWhichTopicsItMayNotSee(t *testing.T) {
	topics := defaultConfig().Processor.Topics
	var acls []kfake.ACL
	for _, topic := range topics.All() {
		if topic != topics.Loyalty {
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true})
		}
	}
	// Without SASL everybody is ANONYMOUS.
	s := newSite(t, kfake.SeedTopics(1, topics.All()...), kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x", acls...))
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: s.reach[3]})
	require.NoError(t, err)
	defer registry.Close()
	require.NoError(t, registry.Register(t.Context(), topics.Schemas()))
	secret := filepath.Join(t.TempDir(), "secret")
	(&troubled{site: s}).write(secret, "secret")
	ctx, cancel := context.WithCancel(t.Context())
	var stderr output
	code := make(chan int, 1)
	args := slices.Concat([]string{"run", "--gateway.app_key", "42", "--gateway.app_secret_file", secret, "--gateway.session_file", secret, "--admin.listen", "127.0.0.1:0"}, s.reach)
	go func() { code <- run(ctx, args, strings.NewReader(""), new(output), &stderr) }()
	require.Eventually(t, func() bool {
		return strings.Contains(stderr.String(), "this user lacks READ on topic "+topics.Loyalty+": grant it")
	}, 20*time.Second, 10*time.Millisecond, "%s", &stderr)
	cancel()
	require.Equal(t, exitDone, <-code, stderr.String())
	require.NotContains(t, stderr.String(), "no broker answers")
}

// What nobody may do who has no rights at all is told by the right that comes first,
// with what gives it.
func TestCommandsNameTheRightThatIsLacking(t *testing.T) {
	topics := defaultConfig().Processor.Topics
	s := newSite(t, kfake.SeedTopics(1, topics.All()...), kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x"))
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: s.reach[3]})
	require.NoError(t, err)
	defer registry.Close()
	require.NoError(t, registry.Register(t.Context(), topics.Schemas()))
	for command, lacks := range map[string][2]string{
		"topics create":                   {"CREATE on topic " + topics.Store, "--operation Create --topic " + topics.Store},
		"audit":                           {"DESCRIBE on group coupongrant", "--operation Describe --group coupongrant"},
		"produce --count 1 --topic store": {"WRITE on topic " + topics.Store, "--operation Write --topic " + topics.Store},
		"report repeats":                  {"READ on topic " + topics.Granted, "--operation Read --topic " + topics.Granted},
		"tail --to-end":                   {"READ on topic " + topics.Granted, "--operation Read --topic " + topics.Granted},
		"dead-letters list":               {"READ on topic " + topics.DeadLetter, "--operation Read --topic " + topics.DeadLetter},
		"dead-letters replay --yes":       {"WRITE on transactional id coupongrant-replay", "--operation Write --transactional-id coupongrant-replay"},
	} {
		t.Run(command, func(t *testing.T) {
			var stderr output
			require.Equal(t, exitFailed, run(t.Context(), append(strings.Fields(command), s.reach...), strings.NewReader(""), new(output), &stderr))
			require.Contains(t, stderr.String(), "this user lacks "+lacks[0]+": `kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME "+lacks[1]+"` gives it")
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one sentence")
		})
	}
}

// Where retention has taken ends, an audit has to know how long they are kept, or it
// would find no loss any more. The rights are those of role read.
func TestAuditNamesTheRightToKnowHowLongEndsAreKept(t *testing.T) {
	topics := defaultConfig().Processor.Topics
	ends := []string{topics.Granted, topics.Failed, topics.DeadLetter}
	for _, lacking := range append([]string{""}, ends...) {
		t.Run(lacking, func(t *testing.T) {
			var acls []kfake.ACL
			allow := func(resource kmsg.ACLResourceType, name string, operations ...kmsg.ACLOperation) {
				for _, op := range operations {
					acls = append(acls, kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
				}
			}
			for _, topic := range topics.All() {
				allow(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationRead)
			}
			allow(kmsg.ACLResourceTypeGroup, "coupongrant", kmsg.ACLOperationDescribe)
			for _, topic := range ends {
				allow(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationWrite, kmsg.ACLOperationDelete) // for the test itself
				if topic != lacking {
					allow(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationDescribeConfigs)
				}
			}
			s := newSite(t, kfake.SeedTopics(1, topics.All()...), kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x", acls...))
			var gone kadm.Offsets
			for _, topic := range ends {
				require.NoError(t, s.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic}).FirstErr())
				gone.Add(kadm.Offset{Topic: topic, At: 1})
			}
			deleted, err := s.admin.DeleteRecords(t.Context(), gone)
			require.NoError(t, err)
			require.NoError(t, deleted.Error())

			got := s.run("", "audit")
			if lacking == "" {
				require.Equal(t, exitDone, got.code, got.stderr)
				require.Contains(t, got.stdout, "balanced")
				return
			}
			require.Equal(t, exitFailed, got.code, got.stdout)
			require.Contains(t, got.stderr, "reading how long "+lacking+" keeps its records, of which some are gone: this user lacks DESCRIBE_CONFIGS on topic "+lacking+
				": `kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME --operation DescribeConfigs --topic "+lacking+"` gives it")
			require.NotContains(t, got.stdout, "balanced")
		})
	}
}

// What `tail` may not see yet it waits for, since it goes on when it may.
func TestTailWaitsForTopicsThatItMayNotSee(t *testing.T) {
	topics := defaultConfig().Processor.Topics
	s := newSite(t, kfake.SeedTopics(1, topics.All()...), kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr output
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"tail"}, s.reach...), strings.NewReader(""), new(output), &stderr)
	}()
	require.Eventually(t, func() bool {
		return strings.Contains(stderr.String(), "waiting: "+topics.Granted+" cannot be read: this user lacks READ on topic "+topics.Granted)
	}, 20*time.Second, 10*time.Millisecond, "%s", &stderr)
	cancel()
	require.Equal(t, exitDone, <-code, stderr.String())
}
