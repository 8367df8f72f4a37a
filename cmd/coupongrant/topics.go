package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

const (
	defaultPartitions  = 12
	defaultReplication = 3
	resultRetention    = 7 * day
	deadRetention      = 30 * day
	headerRoom         = 64 << 10 // what our headers may add to an input record
	brokersMaxMessage  = 1048588  // the brokers' own default of max.message.bytes
)

// The topic settings that `topics create` gives and compares.
const (
	keyMaxMessage = "max.message.bytes"
	keyRetention  = "retention.ms"
	keyCleanup    = "cleanup.policy"
	keyMinInSync  = "min.insync.replicas"
)

func (c *cli) topicsCommand() *cobra.Command {
	parent := &cobra.Command{
		Use: "topics", Short: "Prepare the topics and schemas", GroupID: groupServe, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var partitions int32
	var replication int16
	create := &cobra.Command{
		Use:   "create",
		Short: "Create the six topics and register the schemas; safe to repeat",
		Long: `Creates the topics that are missing and registers the schemas of their values, with
compatibility FULL_TRANSITIVE. What exists already is left as it is; settings in which it
differs are told.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if partitions < 1 || replication < 1 {
				return usage(fmt.Errorf("--partitions is %d and --replication is %d: use at least 1", partitions, replication))
			}
			return c.topicsCreate(cmd.Context(), cfg, partitions, replication)
		},
	}
	create.Flags().Int32Var(&partitions, "partitions", defaultPartitions, "of each topic; more can never become fewer, and order of keys ends when they change")
	create.Flags().Int16Var(&replication, "replication", defaultReplication, "copies of each partition; as many as there are brokers if they are fewer")
	parent.AddCommand(create)
	return parent
}

func (c *cli) topicsCreate(ctx context.Context, cfg Config, partitions int32, replication int16) error {
	client, err := connect(ctx, cfg, quiet())
	if err != nil {
		return err
	}
	defer client.Close()
	maker := topicMaker{cfg: cfg, admin: kadm.NewClient(client), out: c.stdout, partitions: partitions, replication: replication}
	if err := maker.create(ctx); err != nil {
		return err
	}
	registry, err := schemas.NewRegistry(cfg.Registry)
	if err != nil {
		return usage(err)
	}
	defer registry.Close()
	if err := registry.Register(ctx, cfg.Processor.Topics.Schemas()); err != nil {
		return registryError(cfg, err)
	}
	_, err = fmt.Fprintf(c.stdout, "schemas registered at %s\n", cfg.Registry.URL)
	return err
}

// topicMaker creates what is missing and compares what is there.
type topicMaker struct {
	cfg         Config
	admin       *kadm.Client
	out         io.Writer
	partitions  int32
	replication int16
}

// plan is a topic as it should be.
type plan struct {
	topic    string
	settings map[string]string
}

func (m *topicMaker) create(ctx context.Context) error {
	if err := m.fitReplication(ctx); err != nil {
		return err
	}
	topics := m.cfg.Processor.Topics
	for _, p := range []plan{
		m.plan(topics.Store, resultRetention), m.plan(topics.Loyalty, resultRetention),
		m.plan(topics.Granted, resultRetention), m.plan(topics.Failed, resultRetention),
	} {
		if err := m.one(ctx, p); err != nil {
			return err
		}
	}
	// Retry and dead-letter records are input records and headers: as large as
	// the largest input may be, and more.
	limit, err := m.largestInput(ctx)
	if err != nil {
		return err
	}
	for _, p := range []plan{m.plan(topics.Retry, m.retryRetention()), m.plan(topics.DeadLetter, deadRetention)} {
		p.settings[keyMaxMessage] = strconv.FormatInt(withHeaders(limit), 10)
		if err := m.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (m *topicMaker) plan(topic string, retention time.Duration) plan {
	return plan{topic, map[string]string{
		keyCleanup:   "delete",
		keyRetention: strconv.FormatInt(retention.Milliseconds(), 10),
		keyMinInSync: strconv.Itoa(max(1, int(m.replication)-1)),
	}}
}

// retryRetention outlasts every parked request by far: one that retention takes
// away before its end is lost.
func (m *topicMaker) retryRetention() time.Duration {
	return max(resultRetention, 2*m.cfg.Processor.Retry.GiveUpAfter+day)
}

func (m *topicMaker) fitReplication(ctx context.Context) error {
	brokers, err := m.admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("listing the brokers: %w", err)
	}
	if n := len(brokers); n < int(m.replication) {
		fmt.Fprintf(m.out, "note: %d broker(s), so replication is %d and not %d: fit for trying it out, not for production\n", n, n, m.replication)
		m.replication = int16(n)
	}
	return nil
}

// withHeaders is the max.message.bytes that takes an input record of the largest size and
// our headers, as far as Kafka has a number for it.
func withHeaders(largest int64) int64 { return min(largest+headerRoom, math.MaxInt32) }

func (m *topicMaker) largestInput(ctx context.Context) (int64, error) {
	topics := m.cfg.Processor.Topics
	largest := int64(0)
	for _, topic := range []string{topics.Store, topics.Loyalty} {
		settings, err := m.settings(ctx, topic)
		if err != nil {
			return 0, err
		}
		if n, ok := number(settings, keyMaxMessage); ok {
			largest = max(largest, n)
		}
	}
	return cmp.Or(largest, brokersMaxMessage), nil
}

// settings of a topic, which the broker that is asked may not know yet when another
// has just made it.
func (m *topicMaker) settings(ctx context.Context, topic string) (map[string]string, error) {
	for over := time.Now().Add(clusterPatience); ; {
		found, err := m.admin.DescribeTopicConfigs(ctx, topic)
		var one kadm.ResourceConfig
		if err == nil {
			one, err = found.On(topic, func(r *kadm.ResourceConfig) error { return r.Err })
		}
		switch {
		case err == nil:
			return settingsOf(one), nil
		case !errors.Is(err, kerr.UnknownTopicOrPartition) || time.Now().After(over):
			return nil, fmt.Errorf("reading the settings of %s: %w", topic, proof.OnTopic(kadm.OpDescribeConfigs, topic).OrLacks(err))
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// askAgain is the pause between questions about a topic that was just made.
const askAgain = 100 * time.Millisecond

func settingsOf(topic kadm.ResourceConfig) map[string]string {
	all := map[string]string{}
	for _, c := range topic.Configs {
		if c.Value != nil {
			all[c.Key] = *c.Value
		}
	}
	return all
}

func (m *topicMaker) one(ctx context.Context, p plan) error {
	settings := map[string]*string{}
	for key, text := range p.settings {
		settings[key] = &text
	}
	_, err := m.admin.CreateTopic(ctx, m.partitions, m.replication, settings, p.topic)
	switch {
	case err == nil:
		_, err = fmt.Fprintf(m.out, "created  %s: %d partitions, replication %d\n", p.topic, m.partitions, m.replication)
		return err
	case errors.Is(err, kerr.TopicAlreadyExists):
		return m.compare(ctx, p)
	default:
		return fmt.Errorf("creating the topic %s: %w", p.topic, proof.OnTopic(kadm.OpCreate, p.topic).OrLacks(err))
	}
}

// compare tells in what an existing topic differs, and changes nothing: people
// may have had their reasons.
func (m *topicMaker) compare(ctx context.Context, p plan) error {
	fmt.Fprintf(m.out, "exists   %s\n", p.topic)
	differs := func(key, is, planned string) {
		fmt.Fprintf(m.out, "  differs: %s is %s, new it would be %s; not changed\n", key, is, planned)
	}
	details, err := m.admin.ListTopics(ctx, p.topic)
	if err != nil {
		return fmt.Errorf("looking at the topic %s: %w", p.topic, proof.OnTopic(kadm.OpDescribe, p.topic).OrLacks(err))
	}
	detail := details[p.topic]
	if n := len(detail.Partitions); n != int(m.partitions) {
		differs("partitions", strconv.Itoa(n), strconv.Itoa(int(m.partitions)))
	}
	if n := detail.Partitions.NumReplicas(); n != int(m.replication) {
		differs("replication", strconv.Itoa(n), strconv.Itoa(int(m.replication)))
	}
	is, err := m.settings(ctx, p.topic)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(p.settings) {
		if is[key] != p.settings[key] {
			differs(key, is[key], p.settings[key])
		}
	}
	return nil
}
