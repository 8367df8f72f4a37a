package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/schemas"
)

// topics of one run.
type topics struct{ Store, Loyalty, Granted, Failed, DeadLetter, Retry string }

func topicsOf(prefix string) topics {
	return topics{
		Store: prefix + ".store", Loyalty: prefix + ".loyalty", Granted: prefix + ".granted",
		Failed: prefix + ".failed", DeadLetter: prefix + ".dead-letter", Retry: prefix + ".retry",
	}
}

func (t topics) all() []string {
	return []string{t.Store, t.Loyalty, t.Granted, t.Failed, t.DeadLetter, t.Retry}
}

// schemas are the topics whose values have the program's own schemas.
func (t topics) schemas() schemas.Topics {
	return schemas.Topics{Inputs: []string{t.Store, t.Loyalty}, Granted: t.Granted, Failed: t.Failed}
}

// cluster is what one run has to itself on the brokers: topics, and schemas in
// the registry of this process.
type cluster struct {
	brokers  []string
	admin    *kadm.Client
	registry string
	topics   topics
	made     []string // of the topics, those that the brokers said they made
	own      *schemas.Registry
	codec    *schemas.Codec
}

func (c *cluster) options() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(c.brokers...)} }

// newCluster leaves nothing behind if it fails.
func newCluster(ctx context.Context, brokers []string, admin *kadm.Client, registry, name string, partitions int32) (*cluster, error) {
	own, err := schemas.NewRegistry(schemas.RegistryConfig{URL: registry})
	if err != nil {
		return nil, err
	}
	c := &cluster{
		brokers: brokers, admin: admin, registry: registry, topics: topicsOf(name),
		own: own, codec: schemas.NewCodec(own, schemas.Rules{}),
	}
	if err := c.prepare(ctx, name, partitions); err != nil {
		c.drop(ctx)
		return nil, err
	}
	return c, nil
}

// prepare makes the topics, with one copy of each partition: more would measure the
// brokers.
func (c *cluster) prepare(ctx context.Context, name string, partitions int32) error {
	created, err := c.admin.CreateTopics(ctx, partitions, 1, nil, c.topics.all()...)
	if err == nil {
		err = created.Error()
	}
	c.made = slices.DeleteFunc(c.topics.all(), func(topic string) bool {
		answer, answered := created[topic]
		return !answered || answer.Err != nil
	})
	if err != nil {
		return fmt.Errorf("creating the topics %s.*: %w", name, err)
	}
	return errors.Join(c.own.Register(ctx, c.topics.schemas()), c.own.FetchOwn(ctx, c.topics.schemas()))
}

// drop takes the topics away, also when ctx has ended.
func (c *cluster) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	_, _ = c.admin.DeleteTopics(ctx, c.made...) // what stays costs disk, and has a name that says whose it is
	c.own.Close()
}

// startRegistry serves an empty registry in this process: it is asked a few
// times at the start of a run and has no part in what is measured.
func startRegistry() (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening on loopback for the registry: %w", err)
	}
	server := &http.Server{Handler: srfake.NewRegistry().Handler(), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until stop
	}()
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		<-done
	}, nil
}
