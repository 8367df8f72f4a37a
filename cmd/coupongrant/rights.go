package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// operationNames are those of kafka-acls.sh.
var operationNames = map[kadm.ACLOperation]string{
	kadm.OpRead: "Read", kadm.OpWrite: "Write", kadm.OpCreate: "Create",
	kadm.OpDescribe: "Describe", kadm.OpDescribeConfigs: "DescribeConfigs",
}

// resourceFlags are those of kafka-acls.sh.
var resourceFlags = map[kmsg.ACLResourceType]string{
	kmsg.ACLResourceTypeTopic: "--topic", kmsg.ACLResourceTypeGroup: "--group", kmsg.ACLResourceTypeTransactionalId: "--transactional-id",
}

// grantMend gives rights to one resource.
func grantMend(resource kmsg.ACLResourceType, name string, operations ...kadm.ACLOperation) string {
	var b strings.Builder
	b.WriteString("kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME")
	for _, op := range operations {
		b.WriteString(" --operation " + operationNames[op])
	}
	if resource == kmsg.ACLResourceTypeCluster {
		return b.String() + " --cluster"
	}
	return b.String() + " " + resourceFlags[resource] + " " + shellWord(name)
}

// withMend adds to an error how to give the right that is lacking, if it is one.
func withMend(err error) error {
	lacks, ok := errors.AsType[*proof.LacksError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%w: `%s` gives it, and deploy/kafka/acls.sh all that the command needs", err, grantMend(lacks.Resource, lacks.Name, lacks.Operation))
}
