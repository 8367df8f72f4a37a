//go:build chaos

package proof_test

import (
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/schemas"
)

// lockedRole is a role of deploy/kafka/acls.sh, as docs/security-kafka.md tells it.
type lockedRole struct {
	name     string
	rights   []string          // all of them
	commands []lockedCommand   // that it is for
	settings map[string]string // besides the system's own
}

// lockedCommand is a command, and what it takes.
type lockedCommand struct {
	args  string
	says  string   // when it has all that it needs
	first string   // the first time, if that is something else
	needs []string // rights
	seen  []string // rights without which it does not fail, and says what it could not look at
}

// TestLockedRolesWithExactlyTheDocumentedRights runs every command of each role but
// `run` as a user who has the rights of that role alone, and takes each away in turn:
// the commands that need it fail with a sentence that names it and its mend, and the
// others do not.
func TestLockedRolesWithExactlyTheDocumentedRights(t *testing.T) {
	s := newLockedSystem(t, startLocked(t))
	s.loseEnds()
	s.everyEnd()
	fresh := &lockedSystem{system: newSystem(t, s.broker.direct, s.gateway), broker: s.broker, files: s.files}
	for _, of := range []struct {
		*lockedSystem
		role lockedRole
	}{{fresh, fresh.createRole()}, {s, s.readRole()}, {s, s.replayRole()}, {s, s.doctorRole()}, {s, s.produceRole()}} {
		t.Run(of.role.name, func(t *testing.T) {
			of.t, of.broker.t = t, t
			of.has(of.role)
		})
	}
	s.t, s.broker.t = t, t
	s.follows()
}

// loseEnds takes the first record of each topic of ends, as retention does: then the
// audit has to know how long these are kept.
func (s *lockedSystem) loseEnds() {
	s.t.Helper()
	var gone kadm.Offsets
	for _, topic := range s.ends() {
		require.NoError(s.t, s.producer.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic}).FirstErr())
		gone.Add(kadm.Offset{Topic: topic, At: 1})
	}
	deleted, err := s.broker.admin.DeleteRecords(s.t.Context(), gone)
	require.NoError(s.t, err)
	require.NoError(s.t, deleted.Error())
}

// everyEnd leaves in the topics, of each input, a granted request, a failed one, and
// a dead letter with something behind it.
func (s *lockedSystem) everyEnd() {
	s.t.Helper()
	r := s.system.replica("before", nil)
	r.becomesReady()
	past := time.Now().Add(-time.Hour)
	for i, topic := range s.topics.Inputs {
		prefix := []string{"store", "loyalty"}[i]
		s.send(topic, "", someRequests(prefix+"-dead", 1, func(q *schemas.Request) { q.CouponType = 999 })...)
		s.send(topic, "", someRequests(prefix+"-late", 1, func(q *schemas.Request) { q.ExpiresAt = past })...)
		s.send(topic, "", someRequests(prefix, 1, nil)...)
	}
	s.balanced(6)
	require.Zero(s.t, r.stop(s.t, settleLimit))
}

func (s *lockedSystem) every(operation string) []string { return on(operation, s.names()...) }

// names of the six topics.
func (s *lockedSystem) names() []string {
	return append(slices.Clone(s.topics.Inputs), s.topics.Retry, s.topics.Granted, s.topics.Failed, s.topics.DeadLetter)
}

// ends are the names of the topics of ends.
func (s *lockedSystem) ends() []string {
	return []string{s.topics.Granted, s.topics.Failed, s.topics.DeadLetter}
}

// on names an operation's rights as the program does.
func on(operation string, topics ...string) (rights []string) {
	for _, topic := range topics {
		rights = append(rights, operation+" on topic "+topic)
	}
	return rights
}

func (s *lockedSystem) createRole() lockedRole {
	rights := slices.Concat(s.every("CREATE"), s.every("DESCRIBE"), s.every("DESCRIBE_CONFIGS"))
	return lockedRole{name: "create", rights: rights, commands: []lockedCommand{
		{args: "topics create --partitions 1", first: "created " + s.topics.DeadLetter, says: "exists " + s.topics.DeadLetter, needs: rights},
	}}
}

func (s *lockedSystem) produceRole() lockedRole {
	rights := on("WRITE", s.topics.Inputs...)
	return lockedRole{name: "produce", rights: rights, commands: []lockedCommand{
		{args: "produce --count 1 --topic store", says: "1 requests sent", needs: rights[:1]},
		{args: "produce --count 1 --topic loyalty", says: "1 requests sent", needs: rights[1:]},
	}}
}

func (s *lockedSystem) readRole() lockedRole {
	t := s.topics
	reads := append(s.every("READ"), "DESCRIBE on group "+s.group)
	all := slices.Concat(reads, on("DESCRIBE_CONFIGS", s.ends()...))
	return lockedRole{name: "read", rights: all, commands: []lockedCommand{
		{args: "audit", says: "granted 2 failed 2 EXPIRED 2 dead letters 2 invalid-request 2 not finished 0", needs: all},
		{args: "report grants", says: "all 2 2", needs: on("READ", t.Granted)},
		{args: "report failures", says: "c0ffee EXPIRED - - 2 2", needs: on("READ", t.Failed)},
		{args: "report time-to-grant", says: "written 2", needs: on("READ", t.Granted, t.Inputs[0], t.Inputs[1])},
		{args: "report discount", says: "c0ffee - 2 0 2,000", needs: on("READ", t.Granted)},
		{args: "report repeats", says: "No request id has more than one record.", needs: on("READ", t.Granted, t.Failed, t.DeadLetter, t.Inputs[0], t.Inputs[1])},
		{args: "tail --to-end --json", says: `"request_id":"loyalty-0"`, needs: on("READ", t.Granted, t.Failed, t.DeadLetter)},
		{args: "request store-0", says: "granted once", needs: reads},
		{args: "dead-letters list", says: "2 dead letters: 2 invalid-request", needs: on("READ", t.DeadLetter)},
	}}
}

func (s *lockedSystem) replayRole() lockedRole {
	reads := on("READ", s.topics.DeadLetter, s.topics.Inputs[0], s.topics.Inputs[1])
	all := slices.Concat(reads, on("WRITE", s.topics.Inputs...), []string{"WRITE on transactional id " + s.group + "-replay"})
	return lockedRole{name: "replay", rights: all, commands: []lockedCommand{
		{args: "dead-letters replay --again", says: "2 of 2 dead letters would be put back", needs: reads},
		{args: "dead-letters replay --again --yes", says: "2 of 2 put back", needs: all},
	}}
}

func (s *lockedSystem) doctorRole() lockedRole {
	t := s.topics
	needs := slices.Concat(on("READ", t.Inputs[0], t.Inputs[1], t.Retry), on("WRITE", t.Retry, t.Granted, t.Failed, t.DeadLetter),
		[]string{"READ on group " + s.group, "WRITE on transactional id " + s.group})
	seen := append(s.every("DESCRIBE_CONFIGS"), "DESCRIBE_CONFIGS on cluster kafka-cluster")
	return lockedRole{name: "doctor", rights: slices.Concat(needs, seen), commands: []lockedCommand{
		{args: "doctor", says: "0 errors", needs: needs, seen: seen},
	}, settings: map[string]string{"kafka.transactional_id": s.group + ".doctor"}}
}

// has shows that a role's rights are those, are enough, and are each needed.
func (s *lockedSystem) has(role lockedRole) {
	s.t.Helper()
	s.broker.password(role.name, passwordOf(role))
	s.broker.script(s.system, role.name, role.name, "--add")
	rights := s.broker.rights(role.name)
	var names []string
	for _, r := range rights {
		names = append(names, nameOf(r))
	}
	require.ElementsMatch(s.t, role.rights, names)
	for _, c := range role.commands {
		s.becomes(role, c, 0, cmp.Or(c.first, c.says))
	}
	for _, lacking := range rights {
		s.broker.take(lacking)
		for _, c := range role.commands {
			s.lacks(role, c, lacking)
		}
		s.broker.give(lacking)
		for _, c := range role.commands {
			if slices.Contains(c.needs, nameOf(lacking)) {
				s.becomes(role, c, 0, c.says)
			}
		}
	}
	s.broker.script(s.system, role.name, role.name, "--remove")
	require.Empty(s.t, s.broker.rights(role.name))
	for _, c := range role.commands {
		s.becomes(role, c, 1, "User:NAME")
	}
}

// lacks shows what a command does without a right.
func (s *lockedSystem) lacks(role lockedRole, c lockedCommand, right kadm.DescribedACL) {
	s.t.Helper()
	switch name := nameOf(right); {
	case slices.Contains(c.seen, name):
		s.becomes(role, c, 0, "not looked at", mendOf(right))
	case role.name == "doctor":
		s.becomes(role, c, 1, mendOf(right))
	case slices.Contains(c.needs, name):
		s.becomes(role, c, 1, "this user lacks "+name+": `"+mendOf(right)+"` gives it")
	default:
		s.becomes(role, c, 0, c.says)
	}
}

// mendOf is the command that gives a right.
func mendOf(r kadm.DescribedACL) string {
	operation := map[kadm.ACLOperation]string{
		kadm.OpRead: "Read", kadm.OpWrite: "Write", kadm.OpCreate: "Create", kadm.OpDescribe: "Describe", kadm.OpDescribeConfigs: "DescribeConfigs",
	}[r.Operation]
	text := "kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME --operation " + operation + " --"
	if r.Type == kmsg.ACLResourceTypeCluster {
		return text + "cluster"
	}
	text += strings.ToLower(strings.ReplaceAll(r.Type.String(), "_", "-")) + " " + r.Name
	if r.Pattern == kadm.ACLPatternPrefixed {
		text += " --resource-pattern-type prefixed"
	}
	return text
}

// as is the environment of a command of a role.
func (s *lockedSystem) as(role lockedRole) []string {
	settings := s.entrance("SCRAM")
	maps.Copy(settings, map[string]string{"kafka.sasl.user": role.name, "kafka.sasl.password": passwordOf(role), "kafka.sasl.password_file": ""})
	maps.Copy(settings, role.settings)
	return s.environment(settings)
}

func passwordOf(role lockedRole) string { return "password-of-" + role.name }

// becomes runs a command until it ends so: what was changed of the rights takes a
// moment until the broker goes by it.
func (s *lockedSystem) becomes(role lockedRole, c lockedCommand, code int, says ...string) {
	s.t.Helper()
	binary, env := buildBinary(s.t), append(os.Environ(), s.as(role)...)
	var out string
	var is int
	err := within(settleLimit, "it does not end as it should", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), settleLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, strings.Fields(c.args)...)
		cmd.Env = env
		text, _ := cmd.CombinedOutput() // the exit code is looked at
		out, is = strings.Join(strings.Fields(string(text)), " "), cmd.ProcessState.ExitCode()
		return is == code && !slices.ContainsFunc(says, func(words string) bool { return !strings.Contains(out, words) })
	})
	require.NoError(s.t, err, "%s: %d, not %d with %q: %s", c.args, is, code, says, out)
	require.NotContains(s.t, out, passwordOf(role))
}

// follows shows that `tail`, which does not end, says what it lacks and goes on when
// it is given.
func (s *lockedSystem) follows() {
	s.t.Helper()
	role := lockedRole{name: "tail"}
	s.broker.password(role.name, passwordOf(role))
	var rights []kadm.DescribedACL
	for _, topic := range []string{s.topics.Failed, s.topics.DeadLetter, s.topics.Granted} {
		rights = append(rights, kadm.DescribedACL{Principal: "User:" + role.name, Host: "*", Type: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kadm.ACLPatternLiteral, Operation: kadm.OpRead, Permission: kmsg.ACLPermissionTypeAllow})
	}
	last := rights[2]
	s.broker.give(rights[0])
	s.broker.give(rights[1])
	tail := runProcess(s.t, s.as(role), buildBinary(s.t), "tail", "--from-start", "--limit", "6")
	s.eventually("it must say what it lacks, and show the rest", func() bool {
		require.True(s.t, tail.running())
		return strings.Contains(tail.stderr.String(), "this user lacks "+nameOf(last)+": `"+mendOf(last)+"` gives it") &&
			strings.Count(tail.stdout.String(), "\n") == 4
	})
	s.broker.give(last)
	require.Zero(s.t, tail.wait(s.t, settleLimit))
	require.Contains(s.t, tail.stdout.String(), "granted  loyalty-0")
}
