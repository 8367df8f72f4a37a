package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// clusterPatience is how long a command that a person waits for asks brokers
// that do not answer.
const clusterPatience = 10 * time.Second

// clientID is what this program calls itself to the brokers.
const clientID = "coupongrant"

// kafkaOptions say how to reach the cluster, and what not to take from it.
func kafkaOptions(cfg Config, log *slog.Logger) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(clientID),
		kgo.SoftwareNameAndVersion("coupongrant", cfg.Processor.Version),
		kgo.MaxDecompressBatchBytes(processor.MaxDecompressed), // a search of the topics runs in a replica too
		kgo.WithLogger(kafkaLogger{log.With("component", "kafka")}),
	}, cfg.access.kafkaOptions()...)
}

// connect gives a client of which a broker has answered.
func connect(ctx context.Context, cfg Config, log *slog.Logger, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(kafkaOptions(cfg, log), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("preparing a Kafka client: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	if err := client.Ping(asking); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("kafka.brokers is %s, but %w", strings.Join(cfg.Brokers, ","), processor.Unreachable(err))
	}
	return client, nil
}

// reachable says sooner and better than a reader of topics would that no broker
// answers.
func reachable(ctx context.Context, cfg Config) error {
	client, err := connect(ctx, cfg, quiet())
	if err != nil {
		return err
	}
	client.Close()
	return nil
}

// ownCodec is a codec that can write what these topics hold.
func ownCodec(ctx context.Context, cfg Config, topics schemas.Topics) (*schemas.Registry, *schemas.Codec, error) {
	registry, err := schemas.NewRegistry(cfg.Registry)
	if err != nil {
		return nil, nil, err
	}
	if err := registry.FetchOwn(ctx, topics); err != nil {
		registry.Close()
		return nil, nil, registryError(cfg, err)
	}
	return registry, newCodec(cfg, registry), nil
}

// newSource says how the topics are read. Who has asked for it closes its registry.
func newSource(cfg Config, kafka []kgo.Opt) (*proof.Source, error) {
	registry, err := schemas.NewRegistry(cfg.Registry)
	if err != nil {
		return nil, usage(err)
	}
	return &proof.Source{
		Options: kafka, Topics: proofTopics(cfg.Processor.Topics), Group: cfg.Processor.Group,
		Codec: newCodec(cfg, registry), Registry: registry,
	}, nil
}

// registryError names the setting and the mend. The URL cannot hold a password:
// Validate refuses those.
func registryError(cfg Config, err error) error {
	if errors.Is(err, schemas.ErrRegistryDown) {
		return fmt.Errorf("registry.url is %s, but there is no registry to rely on (%w): check the address and the registry", cfg.Registry.URL, err)
	}
	return err
}
