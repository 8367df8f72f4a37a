package proof

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Right is one that brokers give a user.
type Right struct {
	Operation kadm.ACLOperation
	Resource  kmsg.ACLResourceType
	Name      string
}

// OnTopic is a right to a topic.
func OnTopic(op kadm.ACLOperation, topic string) Right {
	return Right{op, kmsg.ACLResourceTypeTopic, topic}
}

// String is such as READ on topic coupon-granted.
func (r Right) String() string {
	return r.Operation.String() + " on " + strings.ToLower(strings.ReplaceAll(r.Resource.String(), "_", " ")) + " " + r.Name
}

// LacksError says which right it is whose lack brokers refuse something for.
type LacksError struct {
	Right

	err error
}

func (e *LacksError) Error() string { return "this user lacks " + e.String() }

func (e *LacksError) Unwrap() error { return e.err }

// OrLacks is err, which names the right if it is a refusal for want of one: brokers
// say no more than the kind of resource.
func (r Right) OrLacks(err error) error {
	if refusal := refusals[r.Resource]; refusal != nil && errors.Is(err, refusal) {
		return &LacksError{r, err}
	}
	return err
}

var refusals = map[kmsg.ACLResourceType]error{
	kmsg.ACLResourceTypeTopic: kerr.TopicAuthorizationFailed, kmsg.ACLResourceTypeGroup: kerr.GroupAuthorizationFailed,
	kmsg.ACLResourceTypeTransactionalId: kerr.TransactionalIDAuthorizationFailed,
}

// orHidden is err, which names a topic that may not be seen if it is for one: of
// several that were asked for together, brokers say which, and kadm does not.
func orHidden(ctx context.Context, admin *kadm.Client, topics []string, err error) error {
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		return err
	}
	for _, topic := range topics {
		if _, one := admin.ListTopics(ctx, topic); errors.Is(one, kerr.TopicAuthorizationFailed) {
			return OnTopic(kadm.OpRead, topic).OrLacks(one)
		}
	}
	return err
}
