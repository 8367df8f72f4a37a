//go:build integration || chaos || apart

package proof_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kafkaImage    = "apache/kafka:4.4.0"
	registryImage = "apicurio/apicurio-registry:3.3.3"

	// startLimit allows for a loaded machine; an idle one needs 4 to 7 s.
	startLimit = 120 * time.Second

	// ownerLabel marks our containers with the process that made them, as
	// "host/pid", so that a later run can tell what a killed one left behind.
	ownerLabel = "com.github.coupongrant.test-owner"
)

// One broker and one registry serve all tests of this package: a start costs
// more than most tests. Tests name their topics after themselves.
var (
	sharedKafka = sync.OnceValues(func() ([]string, error) {
		_, brokers, err := runKafka(context.Background(), nil)
		return brokers, err
	})
	sharedRegistry = sync.OnceValues(func() (string, error) {
		return runRegistry(context.Background())
	})
)

// TestMain sweeps before, for runs that were killed, and after, for this one:
// the engine's own reaper may be off.
func TestMain(m *testing.M) {
	sweep := func(whose func(owner string) bool) {
		if err := removeContainers(context.Background(), whose); err != nil {
			fmt.Fprintln(os.Stderr, "sweeping test containers:", err)
		}
	}
	sweep(isLeftover)
	code := m.Run()
	sweep(func(owner string) bool { return owner == ownerName(os.Getpid()) })
	removeBinary()
	os.Exit(code)
}

// startKafka returns the bootstrap addresses of the package's broker, or those
// in COUPONGRANT_TEST_BROKERS.
func startKafka(t testing.TB) []string {
	t.Helper()
	if given := os.Getenv("COUPONGRANT_TEST_BROKERS"); given != "" {
		return strings.Split(given, ",")
	}
	brokers, err := sharedKafka()
	require.NoError(t, err, "starting real Kafka")
	return brokers
}

// startKafkaWith starts a broker for t alone, with settings by their names in
// the image's environment, such as KAFKA_OFFSET_METADATA_MAX_BYTES. It needs a
// container engine and skips where the brokers are given.
func startKafkaWith(t testing.TB, settings map[string]string) []string {
	t.Helper()
	if os.Getenv("COUPONGRANT_TEST_BROKERS") != "" {
		t.Skip("the brokers of COUPONGRANT_TEST_BROKERS cannot be given other settings")
	}
	container, brokers, err := runKafka(t.Context(), settings)
	testcontainers.CleanupContainer(t, container)
	require.NoError(t, err, "starting real Kafka")
	return brokers
}

// startRegistry returns the base URL of the package's Schema Registry
// (Confluent's API), or COUPONGRANT_TEST_REGISTRY_URL.
func startRegistry(t testing.TB) string {
	t.Helper()
	if given := os.Getenv("COUPONGRANT_TEST_REGISTRY_URL"); given != "" {
		return given
	}
	url, err := sharedRegistry()
	require.NoError(t, err, "starting the schema registry")
	return url
}

// testTopic creates a topic named after the test and returns its name.
func testTopic(t testing.TB, brokers []string, suffix string, partitions int32) string {
	t.Helper()
	admin := adminClient(t, brokers)
	name := strings.NewReplacer("/", ".", " ", "-").Replace(t.Name()) + "." +
		strconv.FormatInt(time.Now().UnixNano(), 36) + "." + suffix
	_, err := admin.CreateTopic(t.Context(), partitions, 1, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), name) })
	return name
}

func adminClient(t testing.TB, brokers []string) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// kafkaSettings is one broker that is its own controller, cheap to start and
// quick to notice a dead member or a dead transaction. Not for measurements.
func kafkaSettings() map[string]string {
	return map[string]string{
		"KAFKA_NODE_ID":                        "1",
		"KAFKA_PROCESS_ROLES":                  "broker,controller",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":       "1@localhost:9093",
		"KAFKA_CONTROLLER_LISTENER_NAMES":      "CONTROLLER",
		"KAFKA_INTER_BROKER_LISTENER_NAME":     "INTERNAL",
		"KAFKA_LISTENERS":                      "EXTERNAL://0.0.0.0:9092,INTERNAL://0.0.0.0:9094,CONTROLLER://0.0.0.0:9093",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "EXTERNAL:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",

		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
		"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS":             "1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
		"KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS":     "1",

		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":                            "0",
		"KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS":                                "1000",
		"KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "2000",
		"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                                   "false",

		"KAFKA_HEAP_OPTS":            "-Xms256m -Xmx512m",
		"KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
	}
}

// runKafka starts a broker that the sweep of TestMain ends at the latest. Brokers
// tell their clients where they can be reached, and the published port is known
// only once the container runs: so its command waits for a script that the hook
// copies in. The script's last line is what it waits for; half a script is none.
func runKafka(ctx context.Context, settings map[string]string) (testcontainers.Container, []string, error) {
	env := kafkaSettings()
	maps.Copy(env, settings)
	const script, entry = "/tmp/start.sh", "/etc/kafka/docker/run"
	var address string
	advertise := func(ctx context.Context, c testcontainers.Container) error {
		var err error
		if address, err = c.PortEndpoint(ctx, "9092/tcp", ""); err != nil {
			return fmt.Errorf("asking for the broker's port: %w", err)
		}
		text := "export KAFKA_ADVERTISED_LISTENERS=EXTERNAL://" + address + ",INTERNAL://localhost:9094\nexec " + entry + "\n"
		return c.CopyToContainer(ctx, []byte(text), script, 0o755)
	}
	container, err := testcontainers.Run(ctx, imageOr("COUPONGRANT_TEST_KAFKA_IMAGE", kafkaImage),
		testcontainers.WithEnv(env),
		testcontainers.WithLabels(ownLabels()),
		testcontainers.WithExposedPorts("9092/tcp"),
		testcontainers.WithCmd("sh", "-c", "until grep -qs '^exec' "+script+"; do sleep 0.1; done; . "+script),
		testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{
			PostStarts: []testcontainers.ContainerHook{advertise},
		}),
		testcontainers.WithWaitStrategyAndDeadline(startLimit, wait.ForLog("Kafka Server started")),
	)
	if err != nil {
		return container, nil, fmt.Errorf("running the broker's container: %w", err)
	}
	return container, []string{address}, warmUp(ctx, address)
}

// warmUp commits one transaction. The first after a start creates the
// coordinator's topic and takes a second or more, which no test's own time
// limit should see.
func warmUp(ctx context.Context, broker string) error {
	const topic = "warm-up"
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return fmt.Errorf("making the warm-up client: %w", err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return fmt.Errorf("creating the warm-up topic: %w", err)
	}
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning the warm-up transaction: %w", err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("warm")).FirstErr(); err != nil {
		return fmt.Errorf("producing the warm-up record: %w", err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing the warm-up transaction: %w", err)
	}
	return nil
}

// runRegistry starts a registry in memory that the sweep of TestMain ends.
func runRegistry(ctx context.Context) (string, error) {
	const api = "/apis/ccompat/v7"
	c, err := testcontainers.Run(ctx, imageOr("COUPONGRANT_TEST_REGISTRY_IMAGE", registryImage),
		testcontainers.WithLabels(ownLabels()),
		testcontainers.WithExposedPorts("8080/tcp"),
		testcontainers.WithWaitStrategyAndDeadline(startLimit,
			wait.ForHTTP(api+"/subjects").WithPort("8080/tcp").WithStartupTimeout(startLimit)),
	)
	if err != nil {
		return "", fmt.Errorf("running the registry's container: %w", err)
	}
	url, err := c.PortEndpoint(ctx, "8080/tcp", "http")
	if err != nil {
		return "", fmt.Errorf("asking for the registry's port: %w", err)
	}
	return url + api, nil
}

func imageOr(variable, image string) string {
	if given := os.Getenv(variable); given != "" {
		return given
	}
	return image
}

func ownLabels() map[string]string {
	return map[string]string{ownerLabel: ownerName(os.Getpid())}
}

func ownerName(pid int) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + strconv.Itoa(pid)
}

// isLeftover: made on this host by a process that is gone. Other hosts may
// share the engine, and we cannot see whether their processes live.
func isLeftover(owner string) bool {
	_, number, _ := strings.Cut(owner, "/")
	pid, err := strconv.Atoi(number)
	return err == nil && owner == ownerName(pid) && !processAlive(pid)
}

// removeContainers removes our containers whose owner label it is told to.
// Without an engine there is nothing to remove: the brokers are given then, or
// the first test says what is missing.
func removeContainers(ctx context.Context, whose func(owner string) bool) error {
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil //nolint:nilerr // see the comment above
	}
	defer func() { _ = docker.Close() }()
	filters := client.Filters{}.Add("label", ownerLabel)
	found, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return fmt.Errorf("listing them: %w", err)
	}
	for _, c := range found.Items {
		if !whose(c.Labels[ownerLabel]) {
			continue
		}
		if _, err := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			return fmt.Errorf("removing %s: %w", c.ID, err)
		}
	}
	return nil
}
