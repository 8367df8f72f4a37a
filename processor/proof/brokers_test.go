//go:build chaos || apart

package proof_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	brokerCount    = 3
	clusterID      = "4L6g3nShT-eMCtK--X86sw"
	coordinators   = 8               // partitions of the two coordinators' topics
	brokerStart    = 4 * time.Minute // where the machine is busy with much else
	leaderMoveTime = 30 * time.Second
)

// cluster is where the topics are: real brokers as processes, or kfake in this
// one. A broker is named by its place, from 0.
type cluster interface {
	name() string
	addresses() []string // for the test's own clients
	kill(broker int) error
	stop(broker int) error
	start(broker int) error // returns when its replicas are in sync again
	moveCoordinators(ctx context.Context, group, transactionalID string) error
	moveLeaders(ctx context.Context, topics ...string) error
}

// brokerSetup is how many brokers there are, and how they run.
type brokerSetup struct {
	count int
	jvm   []string
	wires *wires                                 // before them, for the processes under test; nil: none
	more  func(direct, controller string) string // settings, which win over brokerSettings; nil: none
}

// smallJVM starts and ends quickly: it spends less on becoming fast than a short
// life would bring in.
func smallJVM() []string {
	return []string{"-Xms256m", "-Xmx448m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
}

func chaosBrokers(w *wires) brokerSetup {
	return brokerSetup{count: len(w.lines), jvm: smallJVM(), wires: w}
}

// realBrokers are Kafka processes from the jars in REAL_KAFKA_LIBS. Each has a
// listener of its own for the processes under test, which it advertises at the
// address of its wire, if it has one.
type realBrokers struct {
	brokerSetup
	dir     string
	libs    string
	java    string
	version string
	direct  []string
	inner   []string // for the processes under test
	client  *kgo.Client
	admin   *kadm.Client // of that client; what it says of topics may be seconds old
	procs   []*exec.Cmd
	done    []chan struct{}
}

func startBrokers(t testing.TB, dir string, setup brokerSetup) *realBrokers {
	t.Helper()
	libs := os.Getenv("REAL_KAFKA_LIBS")
	require.NotEmpty(t, libs, "REAL_KAFKA_LIBS must name the folder with the broker's jars")
	jars, _ := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar"))
	require.NotEmpty(t, jars, "no broker in REAL_KAFKA_LIBS")
	java, err := exec.LookPath("java")
	require.NoError(t, err)
	b := &realBrokers{
		brokerSetup: setup, dir: dir, libs: libs, java: java,
		procs: make([]*exec.Cmd, setup.count), done: make([]chan struct{}, setup.count),
		version: strings.TrimSuffix(strings.TrimPrefix(filepath.Base(jars[0]), "kafka_2.13-"), ".jar"),
	}
	t.Cleanup(func() {
		for i := range b.procs {
			_ = b.kill(i) // it may be gone already
			if said, err := os.ReadFile(filepath.Join(b.folder(i), "out.log")); err == nil && t.Failed() {
				t.Logf("broker %d said at last:\n%s", i+1, said[max(0, len(said)-4000):])
			}
		}
	})
	b.configure(t)
	for i := range b.count {
		require.NoError(t, b.launch(i))
	}
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.direct...))
	require.NoError(t, err)
	t.Cleanup(b.client.Close)
	b.admin = kadm.NewClient(b.client)
	require.NoError(t, within(brokerStart, "the brokers do not serve", func() bool {
		all, err := b.admin.ListBrokers(t.Context())
		return err == nil && len(all) == b.count
	}))
	return b
}

// configure writes the brokers' settings and formats their folders.
func (b *realBrokers) configure(t testing.TB) {
	t.Helper()
	var advertised, voters []string
	for i := range b.count {
		b.direct = append(b.direct, freeAddress(t))
		b.inner = append(b.inner, freeAddress(t))
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, freeAddress(t)))
		advertised = append(advertised, b.inner[i])
		if b.wires != nil {
			b.wires.lines[i].target, advertised[i] = b.inner[i], b.wires.addresses()[i]
		}
	}
	copies := min(b.count, brokerCount)
	for i := range b.count {
		folder := b.folder(i)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		_, controller, _ := strings.Cut(voters[i], "@")
		text := fmt.Sprintf(brokerSettings, i+1, strings.Join(voters, ","),
			b.direct[i], b.inner[i], controller, b.direct[i], advertised[i], folder,
			copies, copies, max(1, copies-1), max(1, copies-1), copies)
		if b.more != nil {
			text += b.more(b.direct[i], controller)
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, "server.properties"), []byte(text), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "log4j2.xml"), []byte(brokerLogging), 0o600))
		format := b.command(i, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", "server.properties")
		out, err := format.CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func (b *realBrokers) folder(i int) string {
	return filepath.Join(b.dir, fmt.Sprintf("broker-%d", i+1))
}

func (b *realBrokers) command(i int, args ...string) *exec.Cmd {
	folder := b.folder(i)
	cmd := exec.Command(b.java, slices.Concat(b.jvm, []string{
		"-Dlog4j2.configurationFile=" + filepath.Join(folder, "log4j2.xml"), "-cp", filepath.Join(b.libs, "*"),
	}, args)...)
	cmd.Dir = folder
	return cmd
}

func (b *realBrokers) launch(i int) error {
	out, err := os.OpenFile(filepath.Join(b.folder(i), "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd, done := b.command(i, "kafka.Kafka", "server.properties"), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	b.procs[i], b.done[i] = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it was killed, or stopped: both are ends
		_ = out.Close()
	}()
	return nil
}

func (b *realBrokers) name() string        { return "Apache Kafka " + b.version }
func (b *realBrokers) addresses() []string { return b.direct }

func (b *realBrokers) kill(i int) error { return b.end(i, syscall.SIGKILL) }
func (b *realBrokers) stop(i int) error { return b.end(i, syscall.SIGTERM) }

func (b *realBrokers) end(i int, sig os.Signal) error {
	if b.procs[i] == nil {
		return nil
	}
	if err := b.procs[i].Process.Signal(sig); err != nil {
		return fmt.Errorf("ending broker %d: %w", i+1, err)
	}
	select {
	case <-b.done[i]:
		return nil
	case <-time.After(brokerStart):
		return fmt.Errorf("broker %d does not end", i+1)
	}
}

// start begins a broker again, once the others lead what it led. One that is back before
// the controller has missed it is leader and coordinator again, for a moment, over ends of
// logs that nobody else has: of Apache Kafka 4.4.0 no transaction is then certain to be
// whole (docs/guarantees.md).
func (b *realBrokers) start(i int) error {
	if err := within(brokerStart, fmt.Sprintf("nobody leads in the place of broker %d", i+1), func() bool { return b.count == 1 || b.leadsNothing(i) }); err != nil {
		return err
	}
	if err := b.launch(i); err != nil {
		return err
	}
	if err := within(brokerStart, fmt.Sprintf("broker %d does not serve", i+1), func() bool { return b.serves(i) }); err != nil {
		return err
	}
	return within(brokerStart, fmt.Sprintf("broker %d is not in sync again", i+1), b.inSync)
}

// serves says that a broker answers by itself: the others may not have missed
// it yet.
func (b *realBrokers) serves(i int) bool {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.direct[i]))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return client.Ping(ctx) == nil
}

// inSync says that every partition has all its replicas.
func (b *realBrokers) inSync() bool {
	return b.allPartitions(func(p kmsg.MetadataResponseTopicPartition) bool {
		return p.ErrorCode == 0 && len(p.ISR) == len(p.Replicas)
	})
}

// leadsNothing says that no partition has a broker for its leader.
func (b *realBrokers) leadsNothing(i int) bool {
	return b.allPartitions(func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader != int32(i+1) })
}

func (b *realBrokers) allPartitions(are func(kmsg.MetadataResponseTopicPartition) bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	found, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, b.client) // without topics: all of them
	if err != nil {
		return false
	}
	for _, topic := range found.Topics {
		if slices.ContainsFunc(topic.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return !are(p) }) {
			return false
		}
	}
	return len(found.Topics) > 0
}

const brokerLogging = `<Configuration status="WARN"><Appenders><Console name="c"><PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders><Loggers><Logger name="kafka.coordinator.transaction" level="INFO"/><Logger name="org.apache.kafka.coordinator.group" level="INFO"/><Root level="WARN"><AppenderRef ref="c"/></Root></Loggers></Configuration>
`

// brokerSettings notice a dead broker, member or transaction quickly. Node,
// voters, three listeners, two advertised, folder, copies of topics.
const brokerSettings = `process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
controller.listener.names=CONTROLLER
listeners=DIRECT://%s,WIRE://%s,CONTROLLER://%s
advertised.listeners=DIRECT://%s,WIRE://%s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,WIRE:PLAINTEXT
inter.broker.listener.name=DIRECT
log.dirs=%s/data
offsets.topic.replication.factor=%d
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=%d
transaction.state.log.min.isr=%d
transaction.state.log.num.partitions=8
min.insync.replicas=%d
default.replication.factor=%d
auto.create.topics.enable=false
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=2000
log.segment.bytes=67108864
num.io.threads=4
num.network.threads=2
`
