package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// patient is a set-up that doctor finds nothing wrong with, until something is
// done to it.
type patient struct {
	*site
	secret, session string   // files
	gateway         string   // gateway.url
	key             string   // gateway.app_key
	args            []string // more of them
}

func newPatient(t *testing.T, opts ...kfake.Opt) *patient {
	t.Helper()
	sim, err := topsim.New(topsim.Config{Apps: map[string]topsim.App{"42": app("secret", "session")}})
	require.NoError(t, err)
	gateway := httptest.NewServer(simulatorHandler(sim))
	t.Cleanup(func() { gateway.Close(); require.NoError(t, sim.Close()) })
	dir := t.TempDir()
	p := &patient{
		site:   newSite(t, append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...).ready(),
		secret: filepath.Join(dir, "secret"), session: filepath.Join(dir, "session"), gateway: gateway.URL + routerPath, key: "42",
	}
	require.NoError(t, os.WriteFile(p.secret, []byte(canary+"\n"), 0o600))
	require.NoError(t, os.WriteFile(p.session, []byte(canary+"\n"), 0o600))
	return p
}

// examined is what doctor says, as JSON and as text, which agree.
func (p *patient) examined() (diagnosis, ran) {
	p.Helper()
	args := append([]string{
		"--gateway.url", p.gateway, "--gateway.app_key", p.key, "--gateway.app_secret_file", p.secret, "--gateway.session_file", p.session,
		"--kafka.transactional_id", "replica-1",
	}, p.args...)
	got := p.run("", append([]string{"doctor", "--json"}, args...)...)
	var d diagnosis
	require.NoError(p, json.Unmarshal([]byte(got.stdout), &d), got.stderr)
	require.Equal(p, d.Errors > 0, got.code != exitDone)
	require.Equal(p, d.count(levelError), d.Errors)
	require.Equal(p, d.count(levelWarning), d.Warnings)
	text := p.run("", append([]string{"doctor"}, args...)...)
	require.Equal(p, got.code, text.code)
	for _, f := range d.Findings {
		require.Contains(p, text.stdout, string(f.Level))
		require.Contains(p, text.stdout, f.Check+": ")
	}
	require.NotContains(p, got.stdout+got.stderr+text.stdout+text.stderr, canary)
	return d, text
}

// The control: nothing is found where nothing is wrong, also beside a commit of
// the processor's own.
func TestDoctorFindsNothingWrongWithASoundSetUp(t *testing.T) {
	p := newPatient(t)
	for key := range 10 { // some in each partition
		require.NoError(t, p.client.ProduceSync(t.Context(), &kgo.Record{
			Topic: defaultConfig().Processor.Topics.Store, Key: []byte(strconv.Itoa(key)), Value: []byte("x"),
		}).FirstErr())
	}
	p.commit(0, finishedMetadata())
	d, text := p.examined()
	require.Empty(t, d.Findings)
	require.Equal(t, exitDone, text.code)
	require.Empty(t, text.stderr)
	for _, s := range checkSections() {
		require.Contains(t, text.stdout, s.title+"\n")
		for _, c := range s.checks {
			require.Contains(t, text.stdout, fmt.Sprintf("  ok       %s: %s\n", c.name, c.about))
		}
	}
	require.Contains(t, text.stdout, "0 errors, 0 warnings; `coupongrant run` can start")
}

// commit stands for the group's commit of the first partition of the store topic.
func (p *patient) commit(offset int64, metadata string) {
	p.Helper()
	var commits kadm.Offsets
	commits.Add(kadm.Offset{Topic: defaultConfig().Processor.Topics.Store, Partition: 0, At: offset, LeaderEpoch: -1, Metadata: metadata})
	require.NoError(p, p.admin.CommitAllOffsets(p.Context(), defaultConfig().Processor.Group, commits))
}

func (p *patient) alter(topic, key, value string) {
	p.Helper()
	altered, err := p.admin.AlterTopicConfigs(p.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	require.NoError(p, err)
	require.NoError(p, altered[0].Err)
}

// answers puts another gateway in the place of the simulator.
func (p *patient) answers(status int, date time.Time, body string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	p.Cleanup(server.Close)
	p.gateway = server.URL + routerPath
}

// join makes another client a member of the group, which waits for it.
func (p *patient) join(client string, topics ...string) {
	p.Helper()
	p.joinIn("coupongrant", client, topics...)
}

func (p *patient) joinIn(group, client string, topics ...string) {
	p.Helper()
	other, err := kgo.NewClient(kgo.SeedBrokers(p.reach[1]), kgo.ClientID(client), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit())
	require.NoError(p, err)
	p.Cleanup(other.Close)
	require.Eventually(p, func() bool {
		described, err := p.admin.DescribeGroups(p.Context(), group)
		return err == nil && described[group].State == "Stable"
	}, 20*time.Second, 10*time.Millisecond)
}

// needingBrokers are the checks that cannot look without any.
func needingBrokers() (names []string) {
	for _, c := range slices.Concat(brokerChecks()[1:], topicChecks(), groupChecks()) {
		names = append(names, c.name)
	}
	return names
}

// Each broken set-up is told by its one check, with its mend, and no other check
// finds anything that is not a consequence.
func TestDoctorNamesWhatIsBrokenAndItsMend(t *testing.T) {
	for name, row := range brokenSetUps {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, row.cluster...)
			row.do(p)
			d, text := p.examined()
			at := slices.IndexFunc(d.Findings, func(f finding) bool { return f.Check == row.check && strings.Contains(f.Says, row.says) })
			require.GreaterOrEqual(t, at, 0, "%+v", d.Findings)
			require.Equal(t, row.level, d.Findings[at].Level)
			require.Contains(t, d.Findings[at].Mend, row.mend)
			require.Contains(t, text.stdout, row.says)
			require.Contains(t, text.stdout, "mend: "+d.Findings[at].Mend)
			require.Equal(t, row.check == "settings", text.code == exitUsage, "the settings alone are wrong configuration")
			for _, f := range d.Findings {
				require.Contains(t, slices.Concat(row.also, row.cannot, []string{row.check}), f.Check, f.Says)
				if slices.Contains(row.cannot, f.Check) {
					require.Equal(t, levelUnseen, f.Level, "%s: %s", f.Check, f.Says)
				}
			}
		})
	}
}

// Rights are the brokers' word on what this user may do.
func TestDoctorNamesRightsThatAreMissing(t *testing.T) {
	allow := func(resource kmsg.ACLResourceType, name string, operations ...kmsg.ACLOperation) (all []kfake.ACL) {
		for _, op := range operations {
			all = append(all, kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true})
		}
		return all
	}
	const topic, group, tx = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId
	all := slices.Concat(
		allow(topic, "coupon-", kmsg.ACLOperationRead, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationCreate),
		allow(kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationCreate),
	)
	// Without SASL everybody is ANONYMOUS.
	p := newPatient(t, kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x", all...))
	d, _ := p.examined()
	var said, mends []string
	for _, f := range d.Findings {
		if f.Check == "rights" {
			require.Equal(t, levelError, f.Level)
			require.Contains(t, f.Mend, "kafka-acls.sh --bootstrap-server BROKER --add")
			said, mends = append(said, f.Says), append(mends, f.Mend)
		}
	}
	require.Equal(t, []string{
		"this user may not write the topic " + topicsOf.Granted,
		"this user may not write the topic " + topicsOf.Failed,
		"this user may not write the topic " + topicsOf.DeadLetter,
		"this user may not write the topic " + topicsOf.Retry,
		"this user may not join the group coupongrant",
		"this user may not use the transactional id replica-1",
	}, said)
	require.Contains(t, mends[len(mends)-1], "--transactional-id replica-1;", "a name that does not begin with the group's")
	require.NotContains(t, transactionalMend("coupongrant-store-1", "coupongrant"), ";")

	enough := slices.Concat(all, allow(topic, "coupon-", kmsg.ACLOperationWrite),
		allow(group, "coupongrant", kmsg.ACLOperationRead, kmsg.ACLOperationDescribe), allow(tx, "replica", kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe))
	p = newPatient(t, kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "x", enough...))
	d, _ = p.examined()
	require.Empty(t, d.Findings)
}

// However many groups a cluster has, all are asked for before doctor's patience ends.
func TestDoctorAsksForAllGroupsTogether(t *testing.T) {
	p := newPatient(t)
	for n := range 40 {
		require.NoError(t, p.admin.CommitAllOffsets(t.Context(), fmt.Sprintf("group-%d", n), kadm.OffsetsFromRecords(kgo.Record{Topic: topicsOf.Store})))
	}
	p.joinIn("zz-green", clientID, topicsOf.Inputs()...)
	var asked atomic.Int64
	for _, r := range []kmsg.Request{kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrConsumerGroupDescribeRequest()} {
		p.kafka.ControlKey(r.Key(), func(kmsg.Request) (kmsg.Response, error, bool) {
			p.kafka.KeepControl()
			asked.Add(1)
			return nil, nil, false
		})
	}
	cfg, err := load(t, "", nil, p.reach...)
	require.NoError(t, err)
	facts := askKafka(t.Context(), cfg)
	require.NoError(t, facts.othersErr)
	require.Len(t, facts.others, 41)
	require.Len(t, facts.others["zz-green"], 1)
	require.Positive(t, asked.Load())
	require.Less(t, asked.Load(), int64(10), "two for our own group, and two for each of three brokers")
}

// Where brokers do not tell of the other groups, it is not said that there are none.
func TestDoctorSaysThatGroupsWereNotTold(t *testing.T) {
	p := newPatient(t)
	p.joinIn("analysts", "rdkafka", topicsOf.Store)
	request := kmsg.NewPtrDescribeGroupsRequest()
	p.kafka.ControlKey(request.Key(), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		p.kafka.KeepControl()
		describe, ok := asked.(*kmsg.DescribeGroupsRequest)
		if !ok || !slices.Contains(describe.Groups, "analysts") {
			return nil, nil, false
		}
		response, ok := asked.ResponseKind().(*kmsg.DescribeGroupsResponse)
		require.True(t, ok)
		for _, name := range describe.Groups {
			group := kmsg.NewDescribeGroupsResponseGroup()
			group.Group, group.ErrorCode = name, kerr.GroupAuthorizationFailed.Code
			response.Groups = append(response.Groups, group)
		}
		return response, nil, true
	})
	d, _ := p.examined()
	require.Len(t, d.Findings, 1, "%+v", d.Findings)
	require.Equal(t, "other-groups", d.Findings[0].Check)
	require.Equal(t, levelUnseen, d.Findings[0].Level)
	require.Contains(t, d.Findings[0].Says, "GROUP_AUTHORIZATION_FAILED")
}

// Who may not see the settings of the topics is told so, with the mend once for each
// topic, and not that they are fine. The control: who may see them is told what is wrong.
func TestDoctorCallsNoSettingFineThatItMayNotSee(t *testing.T) {
	p := newPatient(t)
	p.alter(topicsOf.Retry, keyCleanup, "compact,delete")
	p.alter(topicsOf.Retry, keyRetention, "3600000")
	p.alter(topicsOf.Retry, keyUncleanElection, "true")
	p.alter(topicsOf.Retry, keyMaxMessage, "100000")
	p.alter(topicsOf.Retry, keyMinInSync, "1")
	checks := []string{"replication", "cleanup", "retention", "sizes", "elections"}
	d, _ := p.examined()
	for _, name := range checks {
		require.True(t, slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Check == name && f.Level != levelUnseen }), name)
	}

	p.kafka.ControlKey(kmsg.NewPtrDescribeConfigsRequest().Key(), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		p.kafka.KeepControl()
		describe, ok := asked.(*kmsg.DescribeConfigsRequest)
		if !ok || describe.Resources[0].ResourceType != kmsg.ConfigResourceTypeTopic {
			return nil, nil, false
		}
		response, ok := asked.ResponseKind().(*kmsg.DescribeConfigsResponse)
		require.True(t, ok)
		for _, r := range describe.Resources {
			resource := kmsg.NewDescribeConfigsResponseResource()
			resource.ResourceType, resource.ResourceName, resource.ErrorCode = r.ResourceType, r.ResourceName, kerr.TopicAuthorizationFailed.Code
			response.Resources = append(response.Resources, resource)
		}
		return response, nil, true
	})
	d, text := p.examined()
	require.Equal(t, exitDone, text.code)
	mends := 0
	for _, f := range d.Findings {
		require.Equal(t, levelUnseen, f.Level, f.Check)
		if f.Check == "topic-settings" {
			mends++
			require.Contains(t, f.Mend, "--operation DescribeConfigs --topic ")
			continue
		}
		require.Contains(t, checks, f.Check)
		require.Contains(t, f.Says, topicsOf.Retry)
		require.Empty(t, f.Mend)
	}
	require.Equal(t, 6, mends)
	for _, name := range checks {
		require.NotContains(t, text.stdout, "ok       "+name)
	}
	require.Contains(t, text.stdout, "0 errors, 0 warnings, 11 not looked at; as far as was seen, `coupongrant run` can start")
}

// Of a topic that brokers say nothing of, no check says that it is fine.
func TestDoctorCallsNoTopicFineThatItCannotSee(t *testing.T) {
	d := &doctor{cfg: defaultConfig(), kafka: kafkaFacts{topics: map[string]topicFacts{
		topicsOf.Store: {TopicDetail: kadm.TopicDetail{Topic: topicsOf.Store}},
		topicsOf.Retry: {TopicDetail: kadm.TopicDetail{Topic: topicsOf.Retry, Err: kerr.LeaderNotAvailable}},
	}}}
	for _, c := range slices.Concat(topicChecks(), groupChecks()[:1]) {
		require.True(t, slices.ContainsFunc(c.look(d), func(f finding) bool { return f.Level == levelUnseen }), c.name)
	}
}

// A broker that tells a wrong address of itself is found by going there.
func TestDoctorGoesToEveryBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	at, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	found := dialBrokers(t.Context(), kadm.BrokerDetails{
		{NodeID: 1, Host: "127.0.0.1", Port: int32(at.Port)}, {NodeID: 2, Host: "127.0.0.1", Port: 1},
	})
	require.NoError(t, found[0].err)
	require.Error(t, found[1].err)
	require.Equal(t, "127.0.0.1:1", found[1].address)
}

// What kfake never does: partitions without leader, brokers that cannot be
// reached, settings that nobody may see, metadata that hardly fits.
func TestDoctorJudgesWhatRealBrokersMaySay(t *testing.T) {
	cfg := defaultConfig()
	leaderless := topicFacts{TopicDetail: kadm.TopicDetail{Topic: topicsOf.Store, Partitions: kadm.PartitionDetails{
		3: {Partition: 3, Leader: -1, Replicas: []int32{1, 2, 3}},
	}}}
	behind := leaderless
	behind.Partitions = kadm.PartitionDetails{3: {Partition: 3, Leader: 1, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2}}}
	hidden := topicFacts{TopicDetail: kadm.TopicDetail{Topic: topicsOf.Store}, settingsErr: kerr.TopicAuthorizationFailed}
	topics := func(t topicFacts) map[string]topicFacts { return map[string]topicFacts{topicsOf.Store: t} }
	for name, row := range map[string]struct {
		give  kafkaFacts
		check string
		level level
		says  string
	}{
		"a broker out of reach":        {kafkaFacts{brokers: []brokerFacts{{"kafka-2:9092", os.ErrDeadlineExceeded}}}, "brokers", levelError, "a broker says that it is at kafka-2:9092"},
		"no leader":                    {kafkaFacts{topics: topics(leaderless)}, "topics", levelError, "partition 3 of " + topicsOf.Store + " has no leader"},
		"a copy behind":                {kafkaFacts{topics: topics(behind)}, "replication", levelWarning, "has 2 of 3 copies in sync"},
		"settings of a topic hidden":   {kafkaFacts{topics: topics(hidden)}, "topic-settings", levelUnseen, "are not told"},
		"settings of brokers hidden":   {kafkaFacts{settingsErr: kerr.ClusterAuthorizationFailed}, "commit-metadata", levelUnseen, "the brokers do not tell their settings"},
		"metadata that hardly fits":    {kafkaFacts{settings: map[string]string{"offset.metadata.max.bytes": "512"}}, "commit-metadata", levelWarning, "is 512"},
		"metadata that does not fit":   {kafkaFacts{settings: map[string]string{"offset.metadata.max.bytes": "63"}}, "commit-metadata", levelError, "no commit fits"},
		"offsets forgotten in days":    {kafkaFacts{settings: map[string]string{"offsets.retention.minutes": "2880"}}, "offsets-retention", levelWarning, "stand still for 48h0m0s"},
		"groups that are not told":     {kafkaFacts{othersErr: kerr.CoordinatorNotAvailable}, "other-groups", levelUnseen, "the other groups are not told, or not all of them"},
		"a commit that is not told":    {kafkaFacts{commits: kadm.OffsetResponses{topicsOf.Store: {1: {Offset: kadm.Offset{Topic: topicsOf.Store, Partition: 1, At: -1}, Err: kerr.UnstableOffsetCommit}}}}, "commits", levelUnseen, "what is committed of " + topicsOf.Store + "/1 cannot be compared"},
		"a group that does not answer": {kafkaFacts{group: groupFacts{err: kerr.CoordinatorNotAvailable}}, "group-members", levelError, "cannot be looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{cfg: cfg, kafka: row.give}
			for _, c := range slices.Concat(brokerChecks(), topicChecks(), groupChecks()) {
				if c.name != row.check {
					continue
				}
				found := c.look(d)
				at := slices.IndexFunc(found, func(f finding) bool { return strings.Contains(f.Says, row.says) })
				require.GreaterOrEqual(t, at, 0, "%+v", found)
				require.Equal(t, row.level, found[at].Level)
				require.NotEmpty(t, found[at].Mend)
				return
			}
			require.Fail(t, "no such check", row.check)
		})
	}
}

// A value may hold what else stands between what is wrong and its mend.
func TestDoctorSplitsSettingsErrorsWhereTheMendBegins(t *testing.T) {
	for name, tt := range map[string]struct {
		file, flag string
		says, mend string
	}{
		"a value":           {flag: `--retry.delay=1: "2`, says: `retry.delay is "1: \"2" (flag)`, mend: "use a duration with its unit, such as 1500ms, 45s or 24h"},
		"a name of a topic": {flag: "--topics.store=a: b", says: `topics.store is "a: b", which can be no topic's name`, mend: "use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"},
		"a key":             {file: "'kafka: b': 1\n", says: "unknown key 'kafka: b' in file ", mend: "did you mean "},
		"no value":          {flag: "--kafka.brokers=", says: "kafka.brokers is empty", mend: "name host:port of some brokers"},
		"a cause":           {flag: "--registry.tls.ca_file=absent.pem", says: "registry.url begins with http://, though settings of registry.tls are set", mend: "use https"},
	} {
		t.Run(name, func(t *testing.T) {
			var args []string
			if tt.flag != "" {
				args = []string{tt.flag}
			}
			_, err := load(t, tt.file, nil, args...)
			require.Error(t, err)
			found := brokenSettings(err)
			require.Len(t, found, 1)
			require.True(t, strings.HasPrefix(found[0].Says, tt.says), found[0].Says)
			require.True(t, strings.HasPrefix(found[0].Mend, tt.mend), found[0].Mend)
		})
	}
}

// The largest numbers of Kafka are nothing to find fault with, and no mend goes above
// them.
func TestDoctorTakesTheLargestSettings(t *testing.T) {
	const most = "2147483647"
	facts := func(topic, limit string) topicFacts {
		return topicFacts{TopicDetail: kadm.TopicDetail{Topic: topic}, settings: map[string]string{keyMaxMessage: limit}}
	}
	d := &doctor{cfg: defaultConfig(), kafka: kafkaFacts{
		settings: map[string]string{"offsets.retention.minutes": most},
		topics:   map[string]topicFacts{topicsOf.Store: facts(topicsOf.Store, most), topicsOf.Retry: facts(topicsOf.Retry, most)},
	}}
	require.Empty(t, lookOffsetsRetention(d))
	require.Empty(t, lookSizes(d))
	d.kafka.topics[topicsOf.Retry] = facts(topicsOf.Retry, "1000")
	found := lookSizes(d)
	require.Len(t, found, 1)
	require.Contains(t, found[0].Mend, keyMaxMessage+"="+most)
}

// What answers 101 hands out its connection, of which nothing but its own end ends a
// read.
func TestDoctorReadsNothingOfAnotherProtocol(t *testing.T) {
	over := make(chan struct{})
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		<-over
		_ = conn.Close()
	}))
	defer gateway.Close()
	defer close(over)
	d := &doctor{cfg: defaultConfig(), http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}}
	d.cfg.Gateway.URL = gateway.URL
	answered := make(chan gatewayAnswer, 1)
	go func() { answered <- d.askGateway(t.Context()) }()
	select {
	case a := <-answered:
		require.NoError(t, a.err)
		require.Equal(t, http.StatusSwitchingProtocols, a.status)
		require.False(t, a.speaks)
	case <-time.After(20 * time.Second):
		require.Fail(t, "it still reads")
	}
}
