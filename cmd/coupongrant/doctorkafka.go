package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaFacts is what the brokers tell a doctor: read once, judged by the checks.
type kafkaFacts struct {
	err         error // no broker answers
	brokers     []brokerFacts
	txVersion   int16 // transaction.version in force
	versionsErr error
	groups848   bool              // they share the partitions of a group themselves
	settings    map[string]string // of a broker
	settingsErr error
	topics      map[string]topicFacts
	group       groupFacts
	others      map[string][]memberFacts // of the other groups that this user may see
	othersErr   error                    // why some of them are not told, or all: the first reason
	commits     kadm.OffsetResponses
	commitsErr  error
	starts      kadm.ListedOffsets
	ends        kadm.ListedOffsets
	offsetsErr  error                      // why starts or ends are not told
	transaction *kadm.DescribedTransaction // of our transactional id; nil: it was never used, or is not told
	txErr       error
}

type brokerFacts struct {
	address string
	err     error // it cannot be reached
}

type topicFacts struct {
	kadm.TopicDetail
	settings    map[string]string
	settingsErr error
}

// forbids says that an operation is not allowed, as far as is known.
func (t *topicFacts) forbids(op kadm.ACLOperation) bool { return forbids(t.AuthorizedOperations, op) }

// forbids: without any operation nothing is known, since who may ask may describe.
func forbids(allowed []kadm.ACLOperation, op kadm.ACLOperation) bool {
	return len(allowed) > 0 && !slices.Contains(allowed, op)
}

type groupFacts struct {
	err     error
	rights  []kadm.ACLOperation
	members []memberFacts
}

type memberFacts struct {
	client, host string
	topics       []string // it wants to read
}

// coordinatorPatience: new brokers set up the coordinators' topic when somebody
// first asks for a group, and have no answer until they have done so.
const coordinatorPatience = 3 * lookPatience

// askKafka asks for everything that the checks look at, and changes nothing.
func askKafka(ctx context.Context, cfg Config) (f kafkaFacts) {
	client, err := connect(ctx, cfg, quiet(), kgo.RetryTimeout(lookPatience))
	if err != nil {
		return kafkaFacts{err: err}
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	asking, cancel := context.WithTimeout(ctx, 10*lookPatience)
	defer cancel()
	brokers, err := admin.ListBrokers(asking)
	if err != nil {
		return kafkaFacts{err: fmt.Errorf("asking for the brokers: %w", err)}
	}
	f.brokers = dialBrokers(asking, brokers)
	f.askVersions(asking, client)
	f.askTopics(asking, admin, cfg.Processor.Topics.All())
	f.askSettings(asking, admin, brokers)
	f.askCommits(asking, admin, cfg.Processor.Group)
	f.group = askGroup(asking, admin, cfg.Processor.Group)
	if inputs := f.present(cfg.Processor.Topics.Inputs()); len(inputs) > 0 {
		var startsErr, endsErr error
		f.starts, startsErr = admin.ListStartOffsets(asking, inputs...)
		f.ends, endsErr = admin.ListEndOffsets(asking, inputs...)
		f.offsetsErr = cmp.Or(startsErr, endsErr)
	}
	f.askTransaction(asking, admin, cfg.Processor.TransactionalID)
	f.askOthers(asking, admin, cfg.Processor.Group)
	return f
}

// dialBrokers opens a connection to each broker under the address that it gives to
// clients.
func dialBrokers(ctx context.Context, brokers kadm.BrokerDetails) []brokerFacts {
	found := make([]brokerFacts, len(brokers))
	var all sync.WaitGroup
	for i, b := range brokers {
		found[i].address = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		all.Go(func() {
			dialing, cancel := context.WithTimeout(ctx, lookPatience)
			defer cancel()
			conn, err := (&net.Dialer{}).DialContext(dialing, "tcp", found[i].address)
			if err != nil {
				found[i].err = err
				return
			}
			_ = conn.Close()
		})
	}
	all.Wait()
	return found
}

func (f *kafkaFacts) askVersions(ctx context.Context, client *kgo.Client) {
	response, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		f.versionsErr = err
		return
	}
	for _, feature := range response.FinalizedFeatures {
		if feature.Name == "transaction.version" {
			f.txVersion = feature.MaxVersionLevel
		}
	}
	heartbeat := kmsg.NewConsumerGroupHeartbeatRequest()
	f.groups848 = slices.ContainsFunc(response.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == heartbeat.Key() })
}

// askTopics asks for one after the other: one that may not be seen would hide
// the others.
func (f *kafkaFacts) askTopics(ctx context.Context, admin *kadm.Client, names []string) {
	f.topics = map[string]topicFacts{}
	for _, name := range names {
		metadata, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), name)
		t := topicFacts{TopicDetail: metadata.Topics[name]}
		if err != nil {
			t.Err = err
		}
		if t.Err == nil && t.Topic == name {
			described, err := admin.DescribeTopicConfigs(ctx, name)
			if err == nil && len(described) == 1 {
				err = described[0].Err
			}
			if t.settingsErr = err; err == nil {
				t.settings = settingsOf(described[0])
			}
		}
		f.topics[name] = t
	}
}

// present are those of topics that exist and can be seen.
func (f *kafkaFacts) present(names []string) (some []string) {
	for _, name := range names {
		if t := f.topics[name]; t.Err == nil && t.Topic == name {
			some = append(some, name)
		}
	}
	return some
}

// hidden are those of topics that may exist, and cannot be seen.
func (f *kafkaFacts) hidden(names []string) (some []string) {
	for _, name := range names {
		if err := f.topics[name].Err; err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			some = append(some, name)
		}
	}
	return some
}

func (f *kafkaFacts) askSettings(ctx context.Context, admin *kadm.Client, brokers kadm.BrokerDetails) {
	if len(brokers) == 0 {
		return
	}
	described, err := admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err == nil && len(described) == 1 {
		err = described[0].Err
	}
	if f.settingsErr = err; err == nil {
		f.settings = settingsOf(described[0])
	}
}

// coordinated asks until there is a coordinator to answer.
func coordinated(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, coordinatorPatience)
	defer cancel()
	again := time.NewTicker(time.Second / 4)
	defer again.Stop()
	for {
		err := ask(ctx)
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// askCommits waits for the coordinator, so that askGroup finds it.
func (f *kafkaFacts) askCommits(ctx context.Context, admin *kadm.Client, name string) {
	f.commitsErr = coordinated(ctx, func(ctx context.Context) (err error) {
		f.commits, err = admin.FetchOffsets(ctx, name)
		return err
	})
}

func askGroup(ctx context.Context, admin *kadm.Client, name string) (found groupFacts) {
	if described, err := admin.DescribeConsumerGroups(ctx, name); err == nil && described[name].Err == nil && len(described[name].Members) > 0 {
		return groupFacts{rights: described[name].AuthorizedOperations, members: membersOf(described[name])}
	}
	described, err := admin.DescribeGroups(ctx, name)
	if err != nil {
		return groupFacts{err: err}
	}
	g := described[name]
	found = groupFacts{rights: g.AuthorizedOperations, members: classicMembersOf(g)}
	if !isNoGroup(g.Err) {
		found.err = g.Err
	}
	return found
}

func membersOf(g kadm.DescribedConsumerGroup) (members []memberFacts) {
	for _, m := range g.Members {
		members = append(members, memberFacts{m.ClientID, m.ClientHost, m.SubscribedTopics})
	}
	return members
}

func classicMembersOf(g kadm.DescribedGroup) (members []memberFacts) {
	for _, m := range g.Members {
		member := memberFacts{client: m.ClientID, host: m.ClientHost}
		if join, ok := m.Join.AsConsumer(); ok {
			member.topics = join.Topics
		}
		members = append(members, member)
	}
	return members
}

// askOthers needs no right of its own: brokers list what this user may describe. It
// asks for all groups together, since a cluster may have hundreds, and each as of both
// protocols: the list does not say which it has, and of the other it is not there.
func (f *kafkaFacts) askOthers(ctx context.Context, admin *kadm.Client, mine string) {
	listed, err := admin.ListGroups(ctx)
	names := slices.DeleteFunc(listed.Groups(), func(name string) bool { return name == mine })
	f.others, f.othersErr = map[string][]memberFacts{}, err
	if len(names) == 0 {
		return
	}
	classic, err := admin.DescribeGroups(ctx, names...)
	f.othersErr = cmp.Or(f.othersErr, err)
	for name, g := range classic {
		f.addOther(name, classicMembersOf(g), g.Err)
	}
	if !f.groups848 {
		return
	}
	described, err := admin.DescribeConsumerGroups(ctx, names...)
	f.othersErr = cmp.Or(f.othersErr, err)
	for name, g := range described {
		f.addOther(name, membersOf(g), g.Err)
	}
}

func (f *kafkaFacts) addOther(name string, members []memberFacts, err error) {
	if err != nil && !isNoGroup(err) {
		f.othersErr = cmp.Or(f.othersErr, fmt.Errorf("group %s: %w", name, err))
	}
	f.others[name] = append(f.others[name], members...)
}

func (f *kafkaFacts) askTransaction(ctx context.Context, admin *kadm.Client, id string) {
	var found kadm.DescribedTransaction
	err := coordinated(ctx, func(ctx context.Context) error {
		described, err := admin.DescribeTransactions(ctx, id)
		found = described[id]
		return cmp.Or(err, found.Err)
	})
	switch {
	case isNoTransaction(err):
	case err != nil:
		f.txErr = err
	default:
		f.transaction = &found
	}
}

// number is a setting of a broker or topic; ok is false where it is not told.
func number(settings map[string]string, key string) (n int64, ok bool) {
	n, err := strconv.ParseInt(settings[key], 10, 64)
	return n, err == nil
}

func milliseconds(n int64) time.Duration { return times(n, time.Millisecond) }

// times is so many units, or the longest duration there is.
func times(n int64, unit time.Duration) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(unit))) * unit
}
