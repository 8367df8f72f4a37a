package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
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
	require.NoError(t, registry.Register(t.Context(), ownTopics(topics)))
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
