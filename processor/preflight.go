package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// preflight waits until everything is there that a session needs: brokers,
// topics, schemas. Each that is missing is a hold; it looks again every second.
type preflight struct {
	cfg      Config
	log      *slog.Logger
	holds    *holds
	registry *schemas.Registry
	kafka    []kgo.Opt
	passed   func() // tells the watchdog that waiting is no hang
	contact  *contact
	know     *knowledge
}

// knowledge is what need not be asked again in the life of a Processor, and what a session
// leaves to the next.
type knowledge struct {
	schemas            bool
	transactionVersion bool
	member             string // whom the session before was in the group; empty: it has left
	cuts               map[partition]cut
	unended            map[partition]*span // what sessions before had read, and not all had ended
	unproven           bool                // the session before ended in a transaction, or none with results has been made since one did
}

// span is the offsets of a topic that were read when not all of them had ended: from the
// watermark on, up to the next, which is not of it.
type span struct {
	topic    kadm.TopicID // zero: the brokers know no ids
	from, to int64
	told     bool // that the topic was made anew
}

// isOf says that a topic is not known to be another than the one that was read.
func (s *span) isOf(topic kadm.TopicID) bool {
	return s.topic == topic || s.topic == kadm.TopicID{} || topic == kadm.TopicID{}
}

// tellUnended names in the log what nobody can read again, as its topic was made anew: who
// gets the partition may be another replica, which knows nothing of it.
func (k *knowledge) tellUnended(topics kadm.TopicDetails, log *slog.Logger) {
	for p, s := range k.unended {
		if s.told || s.isOf(topics[p.topic].ID) {
			continue
		}
		s.told = true
		log.Error("input lost: its topic was made anew before all that was read of it had ended",
			"topic", p.topic, "partition", p.number, "from", s.from, "to", s.to-1)
	}
}

// cut is that the log was found to be another than the committed one from an offset
// on: it was truncated and has grown again.
type cut struct{ committed, at int64 }

// cluster is what a session needs to know of the brokers.
type cluster struct {
	maxMessageBytes map[string]int32 // by topic; none where we may not ask
}

// errOldBrokers: kafka.require_tv2 is set and the brokers do not have it. No
// waiting mends that.
var errOldBrokers = errors.New("kafka.require_tv2 is true, but the brokers do not run transaction version 2: upgrade them to Kafka 4.0 or later with transaction.version=2, or set it to false")

const (
	preflightEvery   = time.Second
	preflightTimeout = 5 * time.Second
	preflightAll     = 4 * preflightTimeout // of all that one look asks, one after the other: brokers may be slow
)

// wait returns when all is there, or with an error when ctx ends or waiting
// cannot help.
func (p *preflight) wait(ctx context.Context) (cluster, error) {
	client, err := kgo.NewClient(slices.Concat(p.kafka, []kgo.Opt{
		kgo.RetryTimeout(preflightTimeout), kgo.WithContext(ctx), kgo.MetadataMinAge(metadataMinAge), // or what is mended is seen 5 s later
	})...)
	if err != nil {
		return cluster{}, fmt.Errorf("preparing a Kafka client: %w", err)
	}
	defer client.Close()
	for {
		p.passed()
		c, ok, err := p.look(ctx, client)
		if ok || err != nil {
			return c, err
		}
		select {
		case <-time.After(preflightEvery):
		case <-ctx.Done():
			return cluster{}, ctx.Err()
		}
	}
}

// look checks everything once; ok is false when something is missing.
func (p *preflight) look(ctx context.Context, client *kgo.Client) (c cluster, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, preflightAll)
	defer cancel()
	adm := kadm.NewClient(client)
	topics, err := p.topicsSeen(kadm.WithAuthorizedOps(ctx), adm)
	if err != nil {
		p.holds.Set(holdKafka, "", Unreachable(err).Error())
		return c, false, nil
	}
	p.holds.Clear(holdKafka, "")
	p.contact.answered()
	p.passed()
	p.leaveGroup(ctx, client)
	present := p.topicsPresent(topics)
	if present {
		p.know.tellUnended(topics, p.log)
	}
	registered := p.schemasRegistered(ctx)
	p.passed()
	checked, err := p.transactionVersion(ctx, client)
	if err != nil {
		return c, false, err
	}
	p.passed()
	c.maxMessageBytes = maxMessageBytes(ctx, adm, p.cfg.Topics.All())
	return c, present && registered && checked, nil
}

// leaveGroup takes the session before out of the group, if the brokers were gone when it
// was thrown away: or the group, and we with it, would wait for that member until
// kafka.session_timeout is over. It is as safe as leaving with an error is.
func (p *preflight) leaveGroup(ctx context.Context, client *kgo.Client) {
	if p.know.member == "" {
		return
	}
	var request kmsg.Request
	if p.cfg.GroupProtocol == Classic {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = p.know.member
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID, leave.Members = p.cfg.Group, p.know.member, append(leave.Members, member)
		request = leave
	} else {
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Group, beat.MemberID, beat.MemberEpoch = p.cfg.Group, p.know.member, -1
		request = beat
	}
	if _, err := client.Request(ctx, request); err != nil {
		p.log.Debug("the member before could not be taken out of the group", "error", err)
		return // it is tried again in the next round, or its time runs out
	}
	p.know.member = ""
}

// topicsSeen asks for one after the other: one that this user may not see would
// make kadm refuse to tell of the others.
func (p *preflight) topicsSeen(ctx context.Context, adm *kadm.Client) (kadm.TopicDetails, error) {
	seen := kadm.TopicDetails{}
	for _, name := range p.cfg.Topics.All() {
		p.passed()
		asking, over := context.WithTimeout(ctx, preflightTimeout)
		details, err := adm.ListTopics(asking, name)
		over()
		switch {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			seen[name] = kadm.TopicDetail{Topic: name, Err: err}
		case err != nil:
			return nil, err
		default:
			seen[name] = details[name]
		}
	}
	return seen, nil
}

func (p *preflight) topicsPresent(topics kadm.TopicDetails) bool {
	var missing, refused []string
	for _, topic := range p.cfg.Topics.All() {
		err := topics[topic].Err
		switch {
		case err == nil && topics.Has(topic):
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			refused = append(refused, topic)
		default:
			missing = append(missing, topic)
		}
	}
	rights := p.cfg.Topics.lackingRights(topics, refused)
	if len(missing)+len(rights) == 0 {
		p.holds.Clear(holdTopic, "")
		return true
	}
	var reasons []string
	if len(missing) > 0 {
		reasons = append(reasons, "topics "+strings.Join(missing, ", ")+" missing: run `coupongrant topics create`")
	}
	if len(rights) > 0 {
		reasons = append(reasons, "this user lacks "+strings.Join(rights, ", ")+": grant it")
	}
	p.holds.Set(holdTopic, "", strings.Join(reasons, "; "))
	return false
}

func (p *preflight) schemasRegistered(ctx context.Context) bool {
	if p.know.schemas {
		return true // they are kept; a registry outage must not hold up a rebuild
	}
	err := p.registry.FetchOwn(ctx, p.cfg.Topics.Schemas())
	var missing *schemas.MissingSubjectsError
	switch {
	case err == nil:
		p.know.schemas = true
		p.holds.Clear(holdRegistry, "")
		return true
	case errors.As(err, &missing):
		p.holds.Set(holdRegistry, "", err.Error())
	default:
		p.holds.Set(holdRegistry, "", fmt.Sprintf("%v; check registry.url and the registry", err))
	}
	return false
}

// transactionVersion warns once, or refuses, where a late message of one
// transaction could still end up in another (KIP-890 part 2 is the cure). known
// is false while the brokers do not say.
func (p *preflight) transactionVersion(ctx context.Context, client *kgo.Client) (known bool, err error) {
	if p.know.transactionVersion {
		return true, nil
	}
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return false, nil //nolint:nilerr // they are asked again in the next round
	}
	level := int16(0)
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			level = f.MaxVersionLevel
		}
	}
	if level < 2 && p.cfg.RequireTV2 {
		return false, errOldBrokers
	}
	if level < 2 {
		p.log.Warn("the brokers do not run transaction version 2: on rare occasions a delayed message may end up in a later transaction; upgrade to Kafka 4.0 or later", "transaction_version", level)
	}
	p.know.transactionVersion = true
	return true, nil
}

// maxMessageBytes asks how large a batch each topic takes. Without the right to
// ask, the brokers' default is assumed.
func maxMessageBytes(ctx context.Context, adm *kadm.Client, topics []string) map[string]int32 {
	limits := make(map[string]int32, len(topics))
	configs, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return limits
	}
	for _, topic := range configs {
		for _, c := range topic.Configs {
			if c.Key != "max.message.bytes" || c.Value == nil {
				continue
			}
			if n, err := strconv.ParseInt(*c.Value, 10, 32); err == nil {
				limits[topic.Name] = int32(n)
			}
		}
	}
	return limits
}
