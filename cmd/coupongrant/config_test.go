package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, file string, environ []string, args ...string) (Config, error) {
	t.Helper()
	return loadOnto(t, defaultConfig(), file, environ, args...)
}

func loadOnto(t *testing.T, base Config, file string, environ []string, args ...string) (Config, error) {
	t.Helper()
	flags := newFlags(t, args...)
	if file != "" {
		file = writeFile(t, file)
	}
	return loadConfig(base, file, environ, flags)
}

func newFlags(t testing.TB, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(flags, defaultConfig())
	require.NoError(t, flags.Parse(args))
	return flags
}

func TestFlagOverVariableOverFileOverDefault(t *testing.T) {
	const file = "gateway:\n  timeout: 3s\n"
	variable := []string{"COUPONGRANT_GATEWAY_TIMEOUT=4s"}
	for name, tt := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    time.Duration
		origin  string
	}{
		"default":                  {"", nil, nil, 10 * time.Second, ""},
		"file":                     {file, nil, nil, 3 * time.Second, "file "},
		"variable":                 {file, variable, nil, 4 * time.Second, "environment"},
		"flag":                     {file, variable, []string{"--gateway.timeout=5s"}, 5 * time.Second, "flag"},
		"empty variable says none": {file, []string{"COUPONGRANT_GATEWAY_TIMEOUT="}, nil, 3 * time.Second, "file "},
		"empty file":               {"# nothing\n", nil, nil, 10 * time.Second, ""},
		"empty section":            {"gateway:\nkafka: {}\n", nil, nil, 10 * time.Second, ""},
		"known ones of null":       {"gateway: {timeout: , session: ~}\nkafka: {tls: , sasl: {}}\n", nil, nil, 10 * time.Second, ""},
		"dotted key":               {"gateway.timeout: 2s\n", nil, nil, 2 * time.Second, "file "},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, tt.file, tt.environ, tt.args...)
			require.NoError(t, err)
			require.Equal(t, tt.want, cfg.Processor.CallTimeout)
			require.Equal(t, tt.want, cfg.Gateway.Timeout)
			require.True(t, strings.HasPrefix(cfg.Origins["gateway.timeout"], tt.origin))
			require.Equal(t, tt.origin == "", cfg.Origins["gateway.timeout"] == "")
		})
	}
}

// Each of these can be set alone, whatever the defaults of its neighbours.
func TestNeighboursFollowWhatIsSet(t *testing.T) {
	for name, tt := range map[string]struct {
		base Config
		args []string
		want func(Config) any
		is   any
	}{
		"a short session":        {defaultConfig(), []string{"--kafka.session_timeout=6s"}, func(c Config) any { return c.Processor.HeartbeatInterval }, 2 * time.Second},
		"a long session":         {defaultConfig(), []string{"--kafka.session_timeout=45s"}, func(c Config) any { return c.Processor.HeartbeatInterval }, 3 * time.Second},
		"long calls":             {defaultConfig(), []string{"--gateway.timeout=30s"}, func(c Config) any { return []any{c.Processor.StopTimeout, c.Breaker.Interval} }, []any{35 * time.Second, 150 * time.Second}},
		"short calls":            {defaultConfig(), []string{"--gateway.timeout=1s"}, func(c Config) any { return []any{c.Processor.StopTimeout, c.Breaker.Interval} }, []any{15 * time.Second, time.Minute}},
		"long calls in dev":      {devConfig(), []string{"--gateway.timeout=10s"}, func(c Config) any { return []any{c.Processor.StopTimeout, c.Breaker.Interval} }, []any{15 * time.Second, 50 * time.Second}},
		"given up soon":          {defaultConfig(), []string{"--retry.give_up_after=1m"}, func(c Config) any { return c.Processor.Retry.Delay }, time.Minute},
		"given up later":         {defaultConfig(), []string{"--retry.give_up_after=24h"}, func(c Config) any { return c.Processor.Retry.Delay }, 5 * time.Minute},
		"what is set stays set":  {defaultConfig(), []string{"--gateway.timeout=1s", "--stop_timeout=2s", "--breaker.interval=7s"}, func(c Config) any { return []any{c.Processor.StopTimeout, c.Breaker.Interval} }, []any{2 * time.Second, 7 * time.Second}},
		"what is set is its own": {defaultConfig(), []string{"--kafka.session_timeout=6s", "--kafka.heartbeat_interval=1s"}, func(c Config) any { return c.Processor.HeartbeatInterval }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := loadOnto(t, tt.base, "", nil, tt.args...)
			require.NoError(t, err)
			require.Equal(t, tt.is, tt.want(cfg))
		})
	}
	cfg, err := load(t, "", nil, "--kafka.session_timeout=6s")
	require.NoError(t, err)
	var printed bytes.Buffer
	require.NoError(t, cfg.print(&printed))
	require.Regexp(t, `heartbeat_interval: 2s +# follows kafka.session_timeout\n`, printed.String())
	_, err = load(t, "", nil, "--kafka.session_timeout=6s", "--kafka.heartbeat_interval=3s")
	require.ErrorContains(t, err, "kafka.heartbeat_interval is 3s: use at most a third of kafka.session_timeout (6s)")
}

func TestEveryKeyCanBeSaidInEveryWay(t *testing.T) {
	cfg := defaultConfig()
	require.NoError(t, cfg.derive())
	var environ, args []string
	var file strings.Builder
	for _, s := range cfg.settings() {
		if s.secret {
			environ = append(environ, s.variable()+"=canary")
			continue
		}
		if s.key == "registry.user" { // without whom there can be no password
			environ = append(environ, s.variable()+"=somebody")
			continue
		}
		environ = append(environ, s.variable()+"="+s.value.String())
		args = append(args, "--"+s.key+"="+s.value.String())
		file.WriteString(s.key + ": " + s.value.YAML() + "\n")
	}
	for name, tt := range map[string]struct {
		file    string
		environ []string
		args    []string
	}{
		"file":        {file: file.String()},
		"environment": {environ: environ},
		"flags":       {args: args},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, tt.file, tt.environ, tt.args...)
			require.NoError(t, err)
			require.Equal(t, cfg.Processor, got.Processor)
			require.Equal(t, cfg.Breaker, got.Breaker)
			require.Equal(t, cfg.Gateway, got.Gateway)
			require.Equal(t, cfg.Brokers, got.Brokers)
			require.Equal(t, cfg.CouponTypes, got.CouponTypes)
		})
	}
}

func TestContractKeysExist(t *testing.T) {
	cfg := defaultConfig()
	known := keys(cfg.settings())
	for _, key := range strings.Fields(`kafka.brokers kafka.group kafka.transactional_id kafka.session_timeout
		kafka.transaction_timeout kafka.require_tv2 topics.store topics.loyalty topics.granted topics.failed
		topics.dead_letter topics.retry registry.url gateway.url gateway.app_key gateway.app_secret_file
		gateway.session_file gateway.sign_method gateway.timeout gateway.max_in_flight gateway.rate gateway.daily_budget
		gateway.idempotency_window request.max_age request.coupon_types retry.delay retry.park_after
		retry.give_up_after retry.business_attempts retry.refusal_in_doubt admin.listen`) {
		require.Contains(t, known, key)
	}
	require.Equal(t, "COUPONGRANT_KAFKA_BROKERS", variableOf("kafka.brokers"))
}

func TestListsAreCommasOrYAML(t *testing.T) {
	want := []string{"a:1", "b:2"}
	for name, tt := range map[string]struct {
		file    string
		environ []string
	}{
		"YAML list":        {file: "kafka:\n  brokers:\n    - a:1\n    - b:2\n"},
		"commas in a file": {file: "kafka:\n  brokers: a:1, b:2\n"},
		"variable":         {environ: []string{"COUPONGRANT_KAFKA_BROKERS=a:1,b:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, tt.file, tt.environ)
			require.NoError(t, err)
			require.Equal(t, want, cfg.Brokers)
		})
	}
	cfg, err := load(t, "request:\n  coupon_types: [276, 999]\n", nil)
	require.NoError(t, err)
	require.Equal(t, []int32{276, 999}, cfg.CouponTypes)
}

// What YAML takes for a number, a date or a truth can be a key or a name.
func TestFileIsReadAsAPersonTypedIt(t *testing.T) {
	for typed, want := range map[string]string{
		"0123456": "0123456", "0017": "0017", "12345678901234567890123": "12345678901234567890123", "1234567_8": "1234567_8",
		"1e3": "1e3", "0x1F": "0x1F", "2026-12-01": "2026-12-01", "yes": "yes", "true": "true", "'1'": "1", `"1"`: "1", "!!int 7": "7",
		"null": "usual", "~": "usual", "": "usual", "'null'": "null", ".5": ".5", "a b": "a b", "|-\n    a": "a",
	} {
		cfg := defaultConfig()
		cfg.Credentials.AppKey = "usual"
		read, err := loadConfig(cfg, writeFile(t, "gateway:\n  app_key: "+typed+"\n"), nil, newFlags(t))
		require.NoError(t, err, typed)
		require.Equal(t, want, read.Credentials.AppKey, typed)
	}
}

func TestAliasesAndMergesAreFollowed(t *testing.T) {
	cfg, err := load(t, "kafka: {group: &g one, transactional_id: *g}\n", nil)
	require.NoError(t, err)
	require.Equal(t, "one", cfg.Processor.Group)
	cfg, err = load(t, "kafka: {group: &g 'one:1', brokers: [*g]}\n", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"one:1"}, cfg.Brokers)
	cfg, err = load(t, "log: {level: &l debug}\nkafka:\n  <<: {group: merged, transactional_id: merged}\n  group: *l\n", nil)
	require.NoError(t, err)
	require.Equal(t, "debug", cfg.Processor.Group, "what a section itself says counts")
	require.Equal(t, "merged", cfg.Processor.TransactionalID)
	cfg, err = load(t, "kafka:\n  <<: {group: merged}\n  group:\n<<: ~\nlog.level:\nlog: {level: debug}\n", nil)
	require.NoError(t, err)
	require.Equal(t, "merged", cfg.Processor.Group, "null says nothing")
	require.Equal(t, "debug", cfg.Log.Level)
}

func TestWrongSettingsNameKeyValueAndMend(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    []string
	}{
		"unknown key":          {file: "kafka:\n  brokrs: [a:1]\n", want: []string{"kafka.brokrs", "settings.yaml", "kafka.brokers"}},
		"unknown section":      {file: "kafak:\n  group: x\n", want: []string{"kafak.group", "kafka.group"}},
		"unknown key of null":  {file: "gateway:\n  rte:\n", want: []string{"unknown key gateway.rte in file", "gateway.rate"}},
		"section of null":      {file: "gatewy:\n", want: []string{"unknown key gatewy in file"}},
		"section of nothing":   {file: "kafka:\n  sals: {}\n", want: []string{"unknown key kafka.sals in file"}},
		"unknown by an alias":  {file: "kafka: &n\ngateway:\n  rte: *n\n", want: []string{"unknown key gateway.rte in file"}},
		"unknown short key":    {file: "x: 1\n", want: []string{"unknown key x in file", "did you mean"}},
		"value for a section":  {file: "kafka: x\n", want: []string{"unknown key kafka in file"}},
		"section for a value":  {file: "kafka:\n  group:\n    name: x\n", want: []string{"kafka.group.name"}},
		"list in a list":       {file: "kafka:\n  brokers: [[a:1, b:2]]\n", want: []string{"kafka.brokers", "use one value"}},
		"comma in a list":      {file: "kafka:\n  brokers: ['a:1,b:2']\n", want: []string{"kafka.brokers", "comma"}},
		"map in a list":        {file: "kafka:\n  brokers: [{a: 1}]\n", want: []string{"kafka.brokers", "use one value"}},
		"not YAML":             {file: "kafka: [\n", want: []string{"settings.yaml is not YAML", "config print"}},
		"not a mapping":        {file: "- a\n", want: []string{"settings.yaml is not YAML"}},
		"key twice":            {file: "log:\n  level: info\n  level: warn\n", want: []string{"settings.yaml is not YAML", "line 3", "log.level is there twice"}},
		"section twice":        {file: "log:\n  level: info\nlog: {}\n", want: []string{"line 3", "log is there twice"}},
		"key in two ways":      {file: "log.level: info\nlog:\n  level: warn\n", want: []string{"line 3", "log.level is there twice"}},
		"second document":      {file: "log:\n  level: info\n---\nkafka:\n  group: other\n", want: []string{"line 3", "second document"}},
		"anchor in itself":     {file: "a: &a\n  b: *a\n", want: []string{"nested"}},
		"what aliases repeat":  {file: "a: &a [1]\nb: &b {c: *a, d: *a, e: *a, f: *a, g: *a, h: *a, i: *a, j: *a}\nk: &k {c: *b, d: *b, e: *b, f: *b, g: *b, h: *b, i: *b, j: *b}\nl: &l {c: *k, d: *k, e: *k, f: *k, g: *k, h: *k, i: *k, j: *k}\nm: {c: *l, d: *l, e: *l, f: *l, g: *l, h: *l, i: *l, j: *l}\n", want: []string{"repeated"}},
		"key that is a list":   {file: "? [1, 2]\n: 3\n", want: []string{"line 1", "a key is no word"}},
		"mistyped section":     {environ: []string{"COUPONGRANT_GATEWY_RATE=5"}, want: []string{"COUPONGRANT_GATEWY_RATE", "COUPONGRANT_GATEWAY_RATE"}},
		"mistyped variable":    {environ: []string{"COUPONGRANT_STOP_TIMEOU=1s"}, want: []string{"COUPONGRANT_STOP_TIMEOU", "COUPONGRANT_STOP_TIMEOUT"}},
		"like a service's":     {environ: []string{"COUPONGRANT_GATEWAY_PORT_HTTP_TCP=5"}, want: []string{"unknown variable COUPONGRANT_GATEWAY_PORT_HTTP_TCP"}},
		"a port of nobody's":   {environ: []string{"COUPONGRANT_ADMIN_PORT=9090"}, want: []string{"unknown variable COUPONGRANT_ADMIN_PORT"}},
		"a port, another host": {environ: []string{"COUPONGRANT_KAFKA_PORT=9093", "COUPONGRANT_ADMIN_SERVICE_HOST=10.0.0.3"}, want: []string{"unknown variable COUPONGRANT_KAFKA_PORT"}},
		"unknown variable":     {environ: []string{"COUPONGRANT_KAFKA_BROKRES=x"}, want: []string{"COUPONGRANT_KAFKA_BROKRES", "COUPONGRANT_KAFKA_BROKERS"}},
		"duration":             {environ: []string{"COUPONGRANT_RETRY_DELAY=5"}, want: []string{"retry.delay", `"5"`, "environment", "1500ms"}},
		"bool":                 {args: []string{"--kafka.require_tv2=maybe"}, want: []string{"kafka.require_tv2", "maybe", "true or false"}},
		"int":                  {args: []string{"--window.records=many"}, want: []string{"window.records", "many", "whole number"}},
		"float":                {args: []string{"--gateway.rate=NaN"}, want: []string{"gateway.rate", "NaN", "number"}},
		"unsigned":             {args: []string{"--breaker.probes=-1"}, want: []string{"breaker.probes", "-1", "0 or above"}},
		"numbers":              {args: []string{"--request.coupon_types=247,x"}, want: []string{"request.coupon_types", "247,x", "whole numbers"}},
		"word":                 {args: []string{"--retry.refusal_in_doubt=drop"}, want: []string{"retry.refusal_in_doubt", "drop", "park or fail"}},
		"log level":            {args: []string{"--log.level=loud"}, want: []string{"log.level", "loud", "info"}},
		"no brokers":           {args: []string{"--kafka.brokers="}, want: []string{"kafka.brokers is empty"}},
		"broker without port":  {args: []string{"--kafka.brokers=kafka"}, want: []string{"kafka.brokers", `"kafka"`, "host:port"}},
		"admin without port":   {args: []string{"--admin.listen=localhost"}, want: []string{"admin.listen", "localhost", "host:port"}},
		"registry":             {args: []string{"--registry.url=x"}, want: []string{"registry.url", "http://"}},
		"breaker and timeout":  {args: []string{"--breaker.interval=10s"}, want: []string{"breaker.interval is 10s", "gateway.timeout (10s)", "50s"}},
		"topic twice":          {args: []string{"--topics.retry=coupon-granted"}, want: []string{"topics.retry", "topics.granted"}},
		"password file absent": {args: []string{"--registry.user=u", "--registry.password_file=absent"}, want: []string{"registry.password_file", "absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.environ, tt.args...)
			require.Error(t, err)
			for _, part := range tt.want {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	_, err := load(t, "", []string{
		"COUPONGRANT_TEST_PYTHON=/x", "COUPONGRANT_HOME=/y", "COUPONGRANT_TEST_REGISTRY_URL=http://x", "KAFKA_BROKERS=z", "odd",
		"COUPONGRANT_PORT=tcp://10.0.0.1:8080", "COUPONGRANT_SERVICE_HOST=10.0.0.1", "COUPONGRANT_SERVICE_PORT_ADMIN=8080",
		"COUPONGRANT_PORT_8080_TCP_ADDR=10.0.0.1", "COUPONGRANT_PORT_8080_TCP_PROTO=tcp",
		// Services of the names coupongrant-gateway and coupongrant-admin.
		"COUPONGRANT_GATEWAY_SERVICE_HOST=10.0.0.2", "COUPONGRANT_GATEWAY_SERVICE_PORT=8089", "COUPONGRANT_GATEWAY_SERVICE_PORT_HTTP_API=8089",
		"COUPONGRANT_GATEWAY_PORT=tcp://10.0.0.2:8089", "COUPONGRANT_GATEWAY_PORT_8089_TCP=tcp://10.0.0.2:8089",
		"COUPONGRANT_GATEWAY_PORT_8089_TCP_PROTO=tcp", "COUPONGRANT_GATEWAY_PORT_8089_TCP_PORT=8089", "COUPONGRANT_GATEWAY_PORT_8089_TCP_ADDR=10.0.0.2",
		"COUPONGRANT_ADMIN_SERVICE_HOST=10.0.0.3", "COUPONGRANT_ADMIN_PORT_53_UDP_ADDR=10.0.0.3", "COUPONGRANT_ADMIN_PORT_9_SCTP=sctp://10.0.0.3:9",
	})
	require.NoError(t, err)
}

func TestReplicaNameTellsReplicasOfOneHostApart(t *testing.T) {
	one, err := load(t, "", nil, "--admin.listen=127.0.0.1:8080")
	require.NoError(t, err)
	other, err := load(t, "", nil, "--admin.listen=127.0.0.1:8081")
	require.NoError(t, err)
	require.NotEqual(t, one.Processor.TransactionalID, other.Processor.TransactionalID)
	require.True(t, strings.HasPrefix(one.Processor.TransactionalID, "coupongrant-"))
	given, err := load(t, "", nil, "--kafka.transactional_id=mine")
	require.NoError(t, err)
	require.Equal(t, "mine", given.Processor.TransactionalID)
}

// A file that was printed on one host and is used on all of them gives each replica
// its own name.
func TestPrintedSettingsNameNoReplica(t *testing.T) {
	for _, file := range []string{"", "kafka:\n  transactional_id: ''\n"} {
		one, err := load(t, file, nil)
		require.NoError(t, err)
		var printed bytes.Buffer
		require.NoError(t, one.print(&printed))
		require.Contains(t, printed.String(), "  # transactional_id: "+one.Processor.TransactionalID)
		other, err := load(t, printed.String(), nil, "--admin.listen=127.0.0.1:8081")
		require.NoError(t, err)
		require.NotEqual(t, one.Processor.TransactionalID, other.Processor.TransactionalID)
		require.Empty(t, other.Origins[keyTransactionalID])
	}
	given, err := load(t, "", nil, "--kafka.transactional_id=mine")
	require.NoError(t, err)
	var printed bytes.Buffer
	require.NoError(t, given.print(&printed))
	require.Contains(t, printed.String(), "  transactional_id: mine")
}

func TestNearest(t *testing.T) {
	words := []string{"kafka.brokers", "kafka.group", "retry.delay"}
	for give, want := range map[string]string{
		"kafka.broker": "kafka.brokers", "kafka.gruop": "kafka.group", "delay": "retry.delay",
		"something.else.that.is.far.longer": "kafka.brokers",
	} {
		require.Contains(t, words, nearest(give, words))
		if give != "something.else.that.is.far.longer" {
			require.Equal(t, want, nearest(give, words))
		}
	}
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 4, distance("", "four"))
}

func TestDevSettingsHoldTogether(t *testing.T) {
	cfg := devConfig()
	require.NoError(t, cfg.derive())
	require.NoError(t, cfg.Validate())
}
