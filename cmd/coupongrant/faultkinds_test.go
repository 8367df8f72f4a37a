package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// gatewayFaults are of the way to the gateway, of its answers, and of what it lets pass.
func gatewayFaults() []fault {
	return []fault{
		{
			name: "gateway refuses connections", sends: 1,
			begin: func(r *troubled) { r.gateway.refuse() },
			says:  `the gateway is in trouble, .*: requests wait and are tried again by themselves; check gateway.url`, metric: holdsMetric("gateway"),
			mend: func(r *troubled) { r.gateway.restore() },
		},
		{
			name: "gateway silent", sends: 1, silent: true,
			begin: func(r *troubled) { r.gateway.silence() },
			says:  `nothing has moved for .*its oldest request held-0 \(offset \d+\) is being called for .* check gateway.url`, metric: holdsMetric("stalled"),
			mend: func(r *troubled) { r.gateway.restore() },
		},
		{
			name: "gateway answers 500", sends: 1,
			begin: func(r *troubled) { r.rule = r.sim.On(topsim.Match{}, topsim.MustParse("http-500")).Always() },
			says:  `the gateway is in trouble, \d+ calls in a row failed, the last with http-500`, metric: holdsMetric("gateway"),
			mend: func(r *troubled) { r.rule.Remove() },
		},
		{
			name: "gateway bans the app", sends: 1,
			begin: func(r *troubled) { r.sim.On(topsim.Match{}, topsim.Ban(banOfTest)).Once() },
			says:  `the gateway limits our calls until .*: calls wait, and go on by themselves then`, metric: holdsMetric("gateway"),
			mend: func(*troubled) { <-time.After(banOfTest) },
		},
		{
			name: "most answers refuse what is sent", sends: 140,
			begin: func(r *troubled) { r.sim.On(topsim.Match{}, topsim.Error(15, "isv.invalid-parameter", "")).Always() },
			says:  `of the last 100 answers refuse what we send as wrong`, metric: troubleMetric("refusals"),
			mend:   func(r *troubled) { r.halt(); r.begin("--accept-refusals") },
			refuse: true,
		},
		{
			name: "one request is stuck", sends: 1, ready: true,
			begin: func(r *troubled) {
				r.rule = r.sim.On(topsim.Match{OutID: "held-0"}, topsim.Stall(time.Hour)).Always()
			},
			says: `its oldest request held-0 \(offset \d+\) is (being called for|called again in) \d`, metric: `coupongrant_requests_unfinished 1`,
			mend: func(r *troubled) { r.rule.Remove() }, // the call that hangs is given up after callTimeout
		},
		{
			name: "daily budget used up", sends: 1, cold: true, flags: []string{"--gateway.daily_budget", "2"},
			begin: func(r *troubled) { r.ready() },
			says:  `gateway.daily_budget \(2 calls\) is used up as far as it reaches by this hour`, metric: holdsMetric("gateway"),
			mend: func(r *troubled) { r.halt(); r.begin("--gateway.daily_budget", "90000000") },
		},
		{
			name: "rate of the fleet used up", sends: 1, ready: true, flags: []string{"--gateway.rate", "0.01"},
			begin: func(*troubled) {},
			says:  `waits for quota: this replica may make 0.01 calls a second, its share of gateway.rate \(0.01\)`, metric: `coupongrant_requests_unfinished 1`,
			mend: func(r *troubled) { r.halt(); r.begin("--gateway.rate", "1000") },
		},
	}
}

// appFaults are what the gateway has against our app.
func appFaults() []fault {
	app2 := app("secret-2", "session")
	return []fault{
		{
			name: "session expired", sends: 1,
			begin: func(r *troubled) {
				r.sim.SetApp("42", topsim.App{Secret: "secret", Sessions: map[string]time.Time{"session": time.Now()}})
			},
			says: `the session has expired: authorise again and replace the content of gateway.session_file`, metric: troubleMetric("session"),
			mend: func(r *troubled) { r.renewSession("secret") },
		},
		{
			name: "bad signature", sends: 1,
			begin: func(r *troubled) { r.sim.SetApp("42", app2) },
			says:  `the secret is wrong or was changed at Tmall: check gateway.app_secret_file`, metric: troubleMetric("signature"),
			mend: func(r *troubled) { r.write(r.secret, "secret-2") },
		},
		{
			name: "app key unknown", sends: 1,
			begin: func(r *troubled) { r.sim.RemoveApp("42") },
			says:  `check gateway.app_key, and that gateway.url is of the environment it belongs to`, metric: troubleMetric("app-key"),
			mend: func(r *troubled) { r.renewSession("secret") },
		},
		{
			name: "no permission for the API", sends: 1,
			begin: func(r *troubled) {
				without := app("secret", "session")
				without.NoPackage = true
				r.sim.SetApp("42", without)
			},
			says: `the app lacks the permission for this API`, metric: troubleMetric("permission"),
			mend: func(r *troubled) { r.renewSession("secret") },
		},
		{
			name: "address not allowed", sends: 1,
			begin: func(r *troubled) {
				elsewhere := app("secret", "session")
				elsewhere.IPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
				r.sim.SetApp("42", elsewhere)
			},
			says: `this host's address is not on the app's white list`, metric: troubleMetric("address"),
			mend: func(r *troubled) { r.renewSession("secret") },
		},
		{
			name: "clock skew", sends: 1,
			begin: func(r *troubled) { r.sim.SetClockOffset(time.Hour) },
			says:  `check this host's clock`, metric: troubleMetric("clock"),
			mend: func(r *troubled) { r.sim.SetClockOffset(0); r.renewSession("secret") },
		},
	}
}

// clusterFaults are of brokers, registry, topics, and of what stands in them.
func clusterFaults() []fault {
	return []fault{
		{
			name: "registry down when a new schema comes",
			begin: func(r *troubled) {
				value := r.underNewSchema("new-schema")
				r.registry.refuse()
				require.NoError(r, r.site.client.ProduceSync(r.Context(), &kgo.Record{Topic: ourTopics.Store, Value: value}).FirstErr())
			},
			says: `records written with it wait, others go on; check registry.url`, metric: holdsMetric("registry"),
			mend: func(r *troubled) { r.registry.restore() },
		},
		{
			name:  "brokers gone",
			begin: func(r *troubled) { r.broker.refuse() },
			says:  `no broker answers \(.*\): check kafka.brokers and the cluster`, metric: holdsMetric("kafka"),
			mend: func(r *troubled) { r.broker.restore() },
		},
		{
			name: "brokers silent", silent: true,
			begin: func(r *troubled) { r.broker.silence() },
			says:  `no broker has answered for .*: everything waits; check the cluster and the way to it`, metric: holdsMetric("kafka"),
			mend: func(r *troubled) { r.broker.restore() },
		},
		{
			name: "topics missing at the start", cold: true,
			begin: func(*troubled) {},
			says:  `topics coupon-grant-requested.store, .* missing: run .coupongrant topics create.`, metric: holdsMetric("topic"),
			mend: func(r *troubled) { r.ready() },
		},
		{
			name: "result topic deleted", sends: 1,
			begin: func(r *troubled) {
				_, err := r.site.admin.DeleteTopics(r.Context(), ourTopics.Granted)
				require.NoError(r, err)
			},
			says: `outcomes wait; create the topic \(.coupongrant topics create.\)`, metric: holdsMetric("topic"),
			mend: func(r *troubled) { r.ready() },
		},
		refusedByBrokers("result topic not ours to write", `TOPIC_AUTHORIZATION_FAILED.*: outcomes wait; .*grant this user the right to write`, "topic",
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: ourTopics.Granted, Err: kerr.TopicAuthorizationFailed, Count: -1}),
		refusedByBrokers("transactions fail", `transactions in a row did not commit`, "transaction",
			kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: -1}),
		{
			name: "input lost", sends: 1, cold: true,
			begin: func(r *troubled) { r.ready(); r.loseInput() },
			says:  `offsets 0 to 1 were deleted before all in them had ended; to go on without them start with --accept-lost-input`, metric: holdsMetric("lost-input"),
			mend: func(r *troubled) { r.halt(); r.begin("--accept-lost-input") },
		},
		{
			name: "commit metadata unreadable", sends: 1, cold: true,
			begin: func(r *troubled) { r.ready(); r.commit(0, "not ours") },
			says:  `if nothing else commits for this group, start with --accept-foreign-offsets`, metric: holdsMetric("metadata"),
			mend: func(r *troubled) { r.halt(); r.begin("--accept-foreign-offsets") },
		},
	}
}

const banOfTest = 4 * time.Second

func holdsMetric(kind string) string   { return `coupongrant_holds\{reason="` + kind + `"\} [1-9]` }
func troubleMetric(kind string) string { return `coupongrant_app_trouble\{trouble="` + kind + `"\} 1` }

func refusedByBrokers(name, says, kind string, how kfake.Fault) fault {
	var refused *kfake.FaultHandle
	return fault{
		name: name, sends: 1, says: says, metric: holdsMetric(kind),
		begin: func(r *troubled) { refused = r.kafka.Fault(how) },
		mend:  func(*troubled) { refused.Remove() },
	}
}

// renewSession is a person who has mended something at Tmall and puts a new
// session in force: so it is tried at once. By itself it is within half a minute.
func (r *troubled) renewSession(secret string) {
	r.sim.SetApp("42", app(secret, "session-2"))
	r.write(r.session, "session-2")
}

// underNewSchema is a request under a schema that nobody has asked for yet.
func (r *troubled) underNewSchema(id string) []byte {
	ours, err := schemas.NewRegistry(schemas.RegistryConfig{URL: r.reach[3]})
	require.NoError(r, err)
	defer ours.Close()
	require.NoError(r, ours.FetchOwn(r.Context(), ourTopics.Schemas()))
	value, err := schemas.NewCodec(ours, schemas.Rules{}).EncodeRequest(ourTopics.Store, schemas.Request{
		RequestID: id, OccurredAt: time.Now(), BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 247,
	})
	require.NoError(r, err)
	client, err := sr.NewClient(sr.URLs(r.reach[3]))
	require.NoError(r, err)
	old, err := client.SchemaByID(r.Context(), int(binary.BigEndian.Uint32(value[1:5])))
	require.NoError(r, err)
	var text map[string]any
	require.NoError(r, json.Unmarshal([]byte(old.Schema), &text))
	text["doc"] = "another version"
	changed, err := json.Marshal(text)
	require.NoError(r, err)
	made, err := client.CreateSchema(r.Context(), "elsewhere-value", sr.Schema{Schema: string(changed)})
	require.NoError(r, err)
	binary.BigEndian.PutUint32(value[1:5], uint32(made.ID))
	return value
}

// loseInput has the log of a partition begin above what is committed.
func (r *troubled) loseInput() {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(r, err)
	defer client.Close()
	for i := range 3 {
		value := r.underNewSchema(fmt.Sprint("lost-", i))
		require.NoError(r, client.ProduceSync(r.Context(), &kgo.Record{Topic: ourTopics.Store, Value: value}).FirstErr())
	}
	r.commit(0, "")
	cut := kadm.Offsets{}
	cut.Add(kadm.Offset{Topic: ourTopics.Store, Partition: 0, At: 2})
	_, err = r.site.admin.DeleteRecords(r.Context(), cut)
	require.NoError(r, err)
}

// commit sets the group's offset of a partition the way something else would.
func (r *troubled) commit(offset int64, metadata string) {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: ourTopics.Store, Partition: 0, At: offset, LeaderEpoch: -1, Metadata: metadata})
	_, err := r.site.admin.CommitOffsets(r.Context(), defaultConfig().Processor.Group, offsets)
	require.NoError(r, err)
}
