package processor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Needs are the operations on a topic that the processor needs. Whoever may read
// or write may describe.
func (t Topics) Needs(topic string) (ops []kadm.ACLOperation) {
	if slices.Contains(t.Inputs(), topic) {
		ops = append(ops, kadm.OpRead)
	}
	if topic != t.Store && topic != t.Loyalty {
		ops = append(ops, kadm.OpWrite)
	}
	return ops
}

// lackingRights says, for the topics of which some right is lacking, which.
// A topic that cannot even be seen is refused: all of its rights are lacking.
func (t Topics) lackingRights(topics kadm.TopicDetails, refused []string) (reasons []string) {
	for _, topic := range t.All() {
		ops, allowed := t.Needs(topic), topics[topic].AuthorizedOperations
		switch {
		case slices.Contains(refused, topic):
		case len(allowed) == 0: // brokers that tell nothing
			continue
		default:
			ops = slices.DeleteFunc(ops, func(op kadm.ACLOperation) bool { return slices.Contains(allowed, op) })
		}
		if len(ops) > 0 {
			reasons = append(reasons, fmt.Sprintf("%s on topic %s", operations(ops), topic))
		}
	}
	return reasons
}

func operations(ops []kadm.ACLOperation) string {
	words := make([]string, len(ops))
	for i, op := range ops {
		words[i] = strings.ToUpper(op.String())
	}
	return strings.Join(words, " and ")
}
