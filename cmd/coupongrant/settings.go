package main

import (
	"math"
	"strings"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// setting is one key of the configuration. Flags, environment variables, the
// keys of a file, `config keys` and `config print` all come from this table.
type setting struct {
	key    string
	value  value
	about  string
	secret bool // from the environment only: a file or a process list would show it
}

// variable is the environment variable of the setting.
func (s setting) variable() string { return variableOf(s.key) }

func variableOf(key string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

const variablePrefix = "COUPONGRANT_"

// section of a key; empty for keys of the top level.
func section(key string) string {
	before, _, found := strings.Cut(key, ".")
	if !found {
		return ""
	}
	return before
}

// settings lists all keys, in the order in which people read them, over c.
func (c *Config) settings() []setting {
	p := &c.Processor
	retry, topics := &p.Retry, &p.Topics
	return []setting{
		{key: "kafka.brokers", value: textsValue(&c.Brokers), about: "host:port of some brokers of the cluster"},
		{key: "kafka.group", value: textValue(&p.Group), about: "the consumer group: the same for every replica"},
		{key: keyTransactionalID, value: textValue(&p.TransactionalID), about: "name of this replica, kept over restarts and unique in the cluster; default from group, host name and admin port"},
		{key: "kafka.group_protocol", value: wordValue(&p.GroupProtocol, processor.Classic, processor.Consumer), about: "who shares the partitions: the replicas (classic), or the brokers (consumer, KIP-848, Kafka 4.3 or later)"},
		{key: "kafka.session_timeout", value: durationValue(&p.SessionTimeout), about: "how long brokers wait for a replica that has gone silent"},
		{key: "kafka.heartbeat_interval", value: durationValue(&p.HeartbeatInterval), about: "how often a replica says that it lives; at most a third of kafka.session_timeout, which it follows where it is not set"},
		{key: "kafka.transaction_timeout", value: durationValue(&p.TransactionTimeout), about: "after which brokers end a transaction that nobody ends"},
		{key: "kafka.require_tv2", value: boolValue(&p.RequireTV2), about: "refuse brokers without transaction version 2 (before Kafka 4.0) instead of warning"},

		{key: "kafka.tls.enabled", value: boolValue(&c.Security.TLS), about: "talk TLS with the brokers, and verify who they are"},
		{key: "kafka.tls.ca_file", value: textValue(&c.Security.Files.CA), about: "certificates of the authorities to trust; empty: the system's. Like every file below, it is read again when it changes"},
		{key: "kafka.tls.cert_file", value: textValue(&c.Security.Files.Cert), about: "own certificate, where brokers ask for one"},
		{key: "kafka.tls.key_file", value: textValue(&c.Security.Files.Key), about: "and its key"},
		{key: "kafka.tls.server_name", value: textValue(&c.Security.Files.ServerName), about: "name that the certificates of brokers must have; empty: the host of each"},
		{key: "kafka.sasl.mechanism", value: mechanismValue(&c.Security.SASL.Mechanism), about: "how to say who connects: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; empty: not at all"},
		{key: "kafka.sasl.user", value: textValue(&c.Security.SASL.User), about: "for PLAIN and SCRAM"},
		{key: "kafka.sasl.password_file", value: textValue(&c.Security.SASL.PasswordFile), about: "file with the user's password"},
		{key: "kafka.sasl.password", value: secretValue(&c.Security.SASL.Password, schemas.NewPassword), about: "the user's password, where no file is possible", secret: true},
		{key: "kafka.sasl.token_file", value: textValue(&c.Security.SASL.TokenFile), about: "for OAUTHBEARER: file with the token, which somebody renews before it expires"},
		{key: "kafka.sasl.token_url", value: textValue(&c.Security.SASL.TokenURL), about: "or where to fetch one (OAuth 2 client credentials)"},
		{key: "kafka.sasl.client_id", value: textValue(&c.Security.SASL.ClientID), about: "who asks for the token"},
		{key: "kafka.sasl.client_secret_file", value: textValue(&c.Security.SASL.ClientSecretFile), about: "file with the secret of kafka.sasl.client_id"},
		{key: "kafka.sasl.scopes", value: textsValue(&c.Security.SASL.Scopes), about: "what the token is to be good for"},

		{key: "topics.store", value: textValue(&topics.Store), about: "input: requests of store checkouts"},
		{key: "topics.loyalty", value: textValue(&topics.Loyalty), about: "input: requests of loyalty milestones"},
		{key: "topics.granted", value: textValue(&topics.Granted), about: "output: granted coupons"},
		{key: "topics.failed", value: textValue(&topics.Failed), about: "output: requests that got no coupon"},
		{key: "topics.dead_letter", value: textValue(&topics.DeadLetter), about: "output: records that ended without outcome"},
		{key: "topics.retry", value: textValue(&topics.Retry), about: "parked requests; read by the program itself"},

		{key: "registry.url", value: textValue(&c.Registry.URL), about: "the schema registry"},
		{key: "registry.user", value: textValue(&c.Registry.User), about: "for basic authentication; empty: none"},
		{key: "registry.password_file", value: textValue(&c.RegistryPasswordFile), about: "file with the user's password, read again when it changes"},
		{key: "registry.password", value: secretValue(&c.Registry.Password, schemas.NewPassword), about: "the user's password, where no file is possible", secret: true},

		{key: "registry.token_file", value: textValue(&c.RegistryTokenFile), about: "file with a bearer token instead"},
		{key: "registry.tls.ca_file", value: textValue(&c.RegistryTLS.CA), about: "certificates of the authorities to trust; empty: the system's"},
		{key: "registry.tls.cert_file", value: textValue(&c.RegistryTLS.Cert), about: "own certificate, where the registry asks for one"},
		{key: "registry.tls.key_file", value: textValue(&c.RegistryTLS.Key), about: "and its key"},
		{key: "registry.tls.server_name", value: textValue(&c.RegistryTLS.ServerName), about: "name that its certificate must have; empty: the host of registry.url"},

		{key: "gateway.url", value: textValue(&c.Gateway.URL), about: "the gateway's /router/rest"},
		{key: "gateway.app_key", value: textValue(&c.Credentials.AppKey), about: "which app calls"},
		{key: "gateway.app_secret_file", value: textValue(&c.Credentials.AppSecretFile), about: "file with the app's secret, read again when it changes"},
		{key: "gateway.session_file", value: textValue(&c.Credentials.SessionFile), about: "file with the merchant's session, read again when it changes"},
		{key: "gateway.session_expires_at", value: expiryValue(&c.SessionExpiresAt), about: "when the session expires, a date or a time: shown as a metric, warned of at 14, 7, 3 and 1 days, stops nothing; empty: not known"},
		{key: "gateway.app_secret", value: secretValue(&c.Credentials.AppSecret, topclient.NewSecret), about: "the app's secret, where no file is possible", secret: true},
		{key: "gateway.session", value: secretValue(&c.Credentials.Session, topclient.NewSecret), about: "the merchant's session, where no file is possible", secret: true},
		{key: "gateway.sign_method", value: wordValue(&c.Gateway.SignMethod, topclient.SignHMACSHA256, topclient.SignHMAC, topclient.SignMD5), about: "how calls are signed"},
		{key: "gateway.timeout", value: durationValue(&p.CallTimeout), about: "of one whole call"},
		{key: "gateway.max_in_flight", value: intValue(&p.MaxInFlight), about: "calls at once of this replica"},
		{key: "gateway.rate", value: floatValue(&p.Rate), about: "calls per second of the whole fleet, of which each replica makes its share of the partitions; 0: no limit"},
		{key: "gateway.daily_budget", value: intValue(&p.DailyBudget), about: "calls of the whole fleet per day in Beijing, coming in evenly over the day; what is not used is saved up until midnight or a restart; 0: no limit"},
		{key: "gateway.idempotency_window", value: durationValue(&p.IdempotencyWindow), about: "how long Tmall is taken to honour an out_id, from the first call, or from the record's Kafka timestamp where nobody knows when that was"},

		{key: "request.max_age", value: durationValue(&p.MaxAge), about: "of a request without expires_at, after which it fails as EXPIRED; 0: none"},
		{key: "request.coupon_types", value: numbersValue(&c.CouponTypes), about: "Tmall's numbers that are accepted besides 247, 276 and 357"},

		{key: "retry.min_backoff", value: durationValue(&retry.MinBackoff), about: "before the second attempt; doubles from there"},
		{key: "retry.max_backoff", value: durationValue(&retry.MaxBackoff), about: "never longer than this between two attempts; what waited through an outage is called this long after it at the latest"},
		{key: "retry.doubtful_attempts", value: intValue(&retry.DoubtfulAttempts), about: "answers that leave doubt, before a request is parked; one is enough each time that it comes back"},
		{key: "retry.business_attempts", value: intValue(&retry.BusinessAttempts), about: "answers that said -11, before a request is refused"},
		{key: "retry.refusal_in_doubt", value: wordValue(&retry.RefusalInDoubt, processor.ParkRefusal, processor.FailRefusal), about: "what a refusal of a request in doubt ends in"},
		{key: "retry.code_10", value: wordValue(&retry.Code10, processor.Code10Gateway, processor.Code10Request), about: "whom code 10 is about: the gateway, called again for as long as it lasts; or the request, parked after a few attempts"},
		{key: "retry.code_42", value: wordValue(&retry.Code42, processor.ParkRefusal, processor.FailRefusal), about: "what codes 42 and 43, which no page explains, end in"},
		{key: "retry.delay", value: durationValue(&retry.Delay), about: "how long a parked request waits; at most retry.give_up_after, which it follows where it is not set"},
		{key: "retry.park_after", value: durationValue(&retry.ParkAfter), about: "a request that waits longer than this while the gateway answers others is parked"},
		{key: "retry.give_up_after", value: durationValue(&retry.GiveUpAfter), about: "a parked request in doubt becomes a dead letter, after waiting this long while the gateway answers others"},

		{key: "window.records", value: intValue(&p.WindowRecords), about: "unfinished records of one partition, above which it pauses"},
		{key: "window.bytes", value: intValue(&p.WindowBytes), about: "and their bytes in memory, about twice the record and 1 KiB"},
		{key: "window.total_bytes", value: intValue(&p.WindowTotalBytes), about: "of all partitions of a replica: seven eighths in equal parts, the rest to who needs more; what the fetches hold comes on top"},

		{key: "breaker.interval", value: durationValue(&c.Breaker.Interval), about: "the moving window that calls are counted over; at least 5 times gateway.timeout, which it follows where it is not set"},
		{key: "breaker.min_calls", value: uint32Value(&c.Breaker.MinCalls), about: "calls in the window before the ratio is looked at; as many failures in a row open it"},
		{key: "breaker.failure_ratio", value: floatValue(&c.Breaker.FailureRatio), about: "share of failures that opens it"},
		{key: "breaker.slow_call", value: durationValue(&c.Breaker.SlowCall), about: "a call that lasts longer counts as a failure, though its answer is taken; 0: only those that run into gateway.timeout"},
		{key: "breaker.open_for", value: durationValue(&c.Breaker.OpenFor), about: "how long nobody calls then, lengthened by up to a fifth; so long, and one probe (breaker.slow_call, or gateway.timeout without it), it takes at most to see that the gateway works again"},
		{key: "breaker.probes", value: uint32Value(&c.Breaker.Probes), about: "calls that then probe; as many successes close it"},

		{key: keyAdminListen, value: textValue(&c.AdminListen), about: "host:port of the console, /livez, /readyz, /metrics and /api/status"},
		{key: "admin.pprof_listen", value: textValue(&c.PprofListen), about: "loopback host:port of the profiles of this process under /debug/pprof/; empty: off"},
		{key: "tracing.otlp_endpoint", value: textValue(&c.Tracing.Endpoint), about: "where traces go: a collector's http://host:4318 (OTLP over HTTP); empty: off"},
		{key: "tracing.sample", value: floatValue(&c.Tracing.Sample), about: "share, from 0 to 1, of the requests to trace that bring no trace context; for others their own says it"},
		{key: "insecure.accept", value: risksValue(&c.Accept), about: "what is refused otherwise: readable-secret-files (others on this host can read them), secrets-without-tls (others on the way can)"},
		{key: "stop_timeout", value: durationValue(&p.StopTimeout), about: "from the request to stop until calls in flight are given up; longer than gateway.timeout, which it follows where it is not set"},
		{key: "log.level", value: wordValue(&c.Log.Level, "debug", "info", "warn", "error"), about: "the least that is logged"},
		{key: "log.format", value: wordValue(&c.Log.Format, "json", "text"), about: "how log lines look"},
	}
}

// keys lists the keys that a file or a flag may hold.
func keys(all []setting) []string {
	var out []string
	for _, s := range all {
		if !s.secret {
			out = append(out, s.key)
		}
	}
	return out
}

// nearest is the word that differs least from a mistyped one.
func nearest(word string, words []string) string {
	best, least := "", math.MaxInt
	for _, w := range words {
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
