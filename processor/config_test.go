package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func validConfig() Config {
	cfg := DefaultConfig()
	cfg.TransactionalID = "coupongrant-0"
	return cfg
}

func TestDefaultsAreValidOnceTheReplicaHasAName(t *testing.T) {
	require.NoError(t, validConfig().Validate())
	require.ErrorContains(t, DefaultConfig().Validate(), "kafka.transactional_id is empty")
}

// Each sentence names the key, the value and the mend.
func TestConfigSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, row := range map[string]struct {
		give func(*Config)
		want string
	}{
		"no group":            {func(c *Config) { c.Group = "" }, "kafka.group is empty: name the consumer group"},
		"no transactional id": {func(c *Config) { c.TransactionalID = "" }, "kafka.transactional_id is empty: give this replica a name of its own that survives a restart"},
		"short session":       {func(c *Config) { c.SessionTimeout, c.HeartbeatInterval = 900*time.Millisecond, 300*time.Millisecond }, "kafka.session_timeout is 900ms: brokers take no less than a second or so; 45s is usual"},
		"no heartbeat":        {func(c *Config) { c.HeartbeatInterval = 0 }, "kafka.heartbeat_interval is 0s: use at most a third of kafka.session_timeout (10s)"},
		"rare heartbeat":      {func(c *Config) { c.HeartbeatInterval = 4 * time.Second }, "kafka.heartbeat_interval is 4s: use at most a third of kafka.session_timeout (10s)"},
		"short transaction":   {func(c *Config) { c.TransactionTimeout = time.Millisecond }, "kafka.transaction_timeout is 1ms: use at least 1s; 15s is usual"},
		"no window":           {func(c *Config) { c.WindowRecords = 0 }, "window.records is 0: use at least 1"},
		"narrow replica":      {func(c *Config) { c.WindowTotalBytes = 1 << 20 }, "window.total_bytes is 1048576: it must not be below window.bytes (8388608)"},
		"narrow window":       {func(c *Config) { c.WindowBytes = 1000 }, "window.bytes is 1000: use at least 1048576, so that the largest record fits"},
		"no time to call":     {func(c *Config) { c.CallTimeout = 0 }, "gateway.timeout is 0s: use a positive duration such as 10s"},
		"no calls":            {func(c *Config) { c.MaxInFlight = 0 }, "gateway.max_in_flight is 0: use at least 1"},
		"negative rate":       {func(c *Config) { c.Rate = -1.5 }, "gateway.rate is -1.5: use calls per second, or 0 for no limit"},
		"negative budget":     {func(c *Config) { c.DailyBudget = -1 }, "gateway.daily_budget is -1: use calls per day, or 0 for no limit"},
		"no idempotency":      {func(c *Config) { c.IdempotencyWindow = 0 }, "gateway.idempotency_window is 0s: use how long Tmall honours an out_id, such as 24h"},
		"negative age":        {func(c *Config) { c.MaxAge = -time.Second }, "request.max_age is -1s: use a positive duration, or 0 for none"},
		"hasty stop":          {func(c *Config) { c.StopTimeout = 10 * time.Second }, "stop_timeout is 10s: it must be longer than gateway.timeout (10s), so that a call in flight can end"},
		"no topic":            {func(c *Config) { c.Topics.DeadLetter = "" }, "topics.dead_letter is empty: name the topic"},
		"topic of two words":  {func(c *Config) { c.Topics.Failed = "a b" }, `topics.failed is "a b", which can be no topic's name: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'`},
		"topic in Chinese":    {func(c *Config) { c.Topics.Failed = "券" }, `topics.failed is "券", which can be no topic's name: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'`},
		"topic of two points": {func(c *Config) { c.Topics.Failed = ".." }, `topics.failed is "..", which can be no topic's name: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'`},
		"topic twice":         {func(c *Config) { c.Topics.Retry = c.Topics.Store }, `topics.retry is "coupon-grant-requested.store", as is topics.store: each topic needs a name of its own`},
		"no backoff":          {func(c *Config) { c.Retry.MinBackoff = 0 }, "retry.min_backoff is 0s: use a positive duration such as 200ms"},
		"backoff shrinks":     {func(c *Config) { c.Retry.MaxBackoff = time.Millisecond }, "retry.max_backoff is 1ms: it must not be below retry.min_backoff (200ms)"},
		"no doubtful attempt": {func(c *Config) { c.Retry.DoubtfulAttempts = 0 }, "retry.doubtful_attempts is 0: use at least 1"},
		"no business attempt": {func(c *Config) { c.Retry.BusinessAttempts = 0 }, "retry.business_attempts is 0: use at least 1"},
		"unknown way":         {func(c *Config) { c.Retry.RefusalInDoubt = "ignore" }, `retry.refusal_in_doubt is "ignore": use park or fail`},
		"unknown code 10":     {func(c *Config) { c.Retry.Code10 = "park" }, `retry.code_10 is "park": use gateway or request`},
		"unknown code 42":     {func(c *Config) { c.Retry.Code42 = "" }, `retry.code_42 is "": use park or fail`},
		"no delay":            {func(c *Config) { c.Retry.Delay = 0 }, "retry.delay is 0s: use a positive duration such as 5m"},
		"no parking":          {func(c *Config) { c.Retry.ParkAfter = 0 }, "retry.park_after is 0s: use a positive duration such as 30s"},
		"gives up at once":    {func(c *Config) { c.Retry.GiveUpAfter = time.Minute }, "retry.give_up_after is 1m0s: it must not be below retry.delay (5m0s)"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := validConfig()
			row.give(&cfg)
			require.EqualError(t, cfg.Validate(), row.want)
		})
	}
}

func TestConfigReportsEveryProblemAtOnce(t *testing.T) {
	var keys []string
	for _, problem := range strings.Split(Config{}.Validate().Error(), "\n") {
		key, _, _ := strings.Cut(problem, " ")
		keys = append(keys, key)
	}
	require.Equal(t, []string{
		"kafka.group", "kafka.transactional_id",
		"topics.store", "topics.loyalty", "topics.granted", "topics.failed", "topics.dead_letter", "topics.retry",
		"kafka.session_timeout", "kafka.heartbeat_interval", "kafka.group_protocol", "kafka.transaction_timeout",
		"window.records", "window.bytes", "gateway.timeout", "gateway.max_in_flight", "gateway.idempotency_window", "stop_timeout",
		"retry.min_backoff", "retry.doubtful_attempts", "retry.business_attempts", "retry.refusal_in_doubt", "retry.code_10", "retry.code_42", "retry.delay", "retry.park_after",
	}, keys)
}
