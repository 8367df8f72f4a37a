package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// learn makes the site's codec able to write.
func (s *site) learn() *site {
	s.Helper()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URL: s.reach[3]})
	require.NoError(s, err)
	s.Cleanup(registry.Close)
	require.NoError(s, registry.FetchOwn(s.Context(), defaultConfig().Processor.Topics.Schemas()))
	s.codec = schemas.NewCodec(registry, schemas.Rules{})
	return s
}

// value of a request, with a canary where the open_id is.
func (s *site) value(id string, couponType int32) []byte {
	s.Helper()
	value, err := s.codec.EncodeRequest(defaultConfig().Processor.Topics.Store, schemas.Request{
		RequestID: id, OccurredAt: time.UnixMilli(1.7e12).UTC(), BizCode: "b", OpenID: schemas.NewOpenID(proof.Canary),
		Channel: "c", CouponCode: "u", CouponType: couponType,
	})
	require.NoError(s, err)
	return value
}

// write puts a record on a topic and says where it is.
func (s *site) write(topic string, value []byte, headers ...kgo.RecordHeader) string {
	s.Helper()
	r, err := s.client.ProduceSync(s.Context(), &kgo.Record{Topic: topic, Value: value, Headers: headers}).First()
	require.NoError(s, err)
	return positionOf(r).String()
}

// ask writes a request on the store topic.
func (s *site) ask(id string, headers ...kgo.RecordHeader) string {
	s.Helper()
	return s.write(defaultConfig().Processor.Topics.Store, s.value(id, 247), headers...)
}

func (s *site) outcomeOf(o schemas.Outcome) []byte {
	s.Helper()
	value, err := s.codec.EncodeOutcome(o)
	require.NoError(s, err)
	return value
}

func endingOf(id string) schemas.Ending {
	return schemas.Ending{
		RequestID: id, OccurredAt: time.UnixMilli(1.7e12), EndedAt: time.UnixMilli(1.7e12 + 900),
		BizCode: "b", Channel: "c", CouponCode: "u", CouponType: 247, Attempts: 2,
		AttemptLog: []schemas.Attempt{{At: time.UnixMilli(1.7e12 + 300), About: "gateway", Code: "http-503"}, {At: time.UnixMilli(1.7e12 + 800)}},
	}
}

// grant ends a request with a coupon.
func (s *site) grant(id, source string, coupon int64) {
	s.Helper()
	s.end(defaultConfig().Processor.Topics.Granted, source, s.outcomeOf(&schemas.Granted{Ending: endingOf(id), Coupon: schemas.Coupon{InstanceID: coupon}}))
}

// dead ends a request as a dead letter.
func (s *site) dead(source, reason string, value []byte, headers ...kgo.RecordHeader) {
	s.Helper()
	s.end(defaultConfig().Processor.Topics.DeadLetter, source, value, append(headers,
		head(headerReason, reason), head(headerError, "why it is dead"), head(headerAttempts, "0"))...)
}

func head(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}

// committed says that the group has finished a topic up to its end.
func (s *site) committed(topic string) {
	s.Helper()
	ends, err := s.admin.ListEndOffsets(s.Context(), topic)
	require.NoError(s, err)
	require.NoError(s, s.admin.CommitAllOffsets(s.Context(), defaultConfig().Processor.Group, ends.Offsets()))
}

func (s *site) traceOf(id string, args ...string) (requestTrace, ran) {
	s.Helper()
	got := s.run("", append([]string{"request", id, "--json"}, args...)...)
	require.NotContains(s, got.stdout+got.stderr, proof.Canary)
	var trace requestTrace
	require.NoError(s, json.Unmarshal([]byte(got.stdout), &trace), got.stderr)
	text := s.run("", append([]string{"request", id}, args...)...)
	require.Equal(s, got.code, text.code)
	require.NotContains(s, text.stdout+text.stderr, proof.Canary)
	lines := strings.Split(strings.TrimSpace(text.stdout), "\n")
	verdict, _, _ := strings.Cut(trace.Verdict, ", in ") // how long it is until then changes meanwhile
	require.True(s, strings.HasPrefix(lines[len(lines)-1], verdict), "the verdict is the last line: %s", text.stdout)
	return trace, text
}

// Each row writes what a request may leave in the topics, and says what the
// command makes of it.
func TestRequestTellsWhatBecameOfIt(t *testing.T) {
	s := newSite(t).ready().learn()
	topics := defaultConfig().Processor.Topics
	// These are finished; what follows is above the committed offset.
	lost := s.ask("request-lost")
	s.committed(topics.Store)
	soon := time.Now().Add(time.Hour)
	parked := func(source string, at time.Time) {
		s.write(topics.Retry, s.value("request-parked", 247), head(headerSource, source), head(headerAttempts, "5"), head(headerInDoubt, "true"), head(headerNextAt, rfc3339(at)))
	}
	rows := []struct {
		id, state, says string
		write           func(id string)
	}{
		{"request-lost", stateUnaccounted, lost + " is committed as finished, and its end is not in view", func(string) {}},
		{"request-waits", stateWaits, "is not finished, its partition is up to offset ", func(id string) { s.ask(id) }},
		{"request-granted", kindGranted, "granted once: coupon 1152921504606846977, 2 attempts, at ", func(id string) { s.grant(id, s.ask(id), 1<<60+1) }},
		{"request-failed", kindFailed, "failed: LIMIT_REACHED (15 no more), 2 attempts, at ", func(id string) {
			code, text := "15", "no more"
			s.end(topics.Failed, s.ask(id), s.outcomeOf(&schemas.Failed{Ending: endingOf(id), Reason: schemas.ReasonLimitReached, GatewayCode: &code, GatewayMessage: &text}))
		}},
		{"request-dead", kindDeadLetter, "dead letter: invalid-request: why it is dead", func(id string) { s.dead(s.ask(id), "invalid-request", s.value(id, 247)) }},
		{"request-huge", kindDeadLetter, "dead letter: too-large: why it is dead", func(id string) {
			for range 3 { // others of the partition
				s.dead(topics.Store+"/0/8888", "too-large", []byte{}, head(headerValueSize, "3000000"))
			}
			s.dead(s.ask(id), "too-large", []byte{}, head(headerValueSize, "3000000"))
		}},
		{"request-parked", stateParked, "waits in the retry topic, 5 attempts so far, in doubt whether it was granted; due at " + clock(soon), func(id string) {
			source := s.ask(id)
			parked(source, soon.Add(-2*time.Hour))
			parked(source, soon)
		}},
		{"request-twice", stateDoubled, " has 2 ends, which breaks the promise", func(id string) {
			source := s.ask(id)
			s.grant(id, source, 1)
			s.grant(id, source, 1)
		}},
		{"request-2-coupons", stateGrantedTwice, "granted 2 different coupons", func(id string) {
			s.grant(id, s.ask(id), 1)
			s.grant(id, s.ask(id), 2)
		}},
		{"request-replayed", kindGranted, "granted once: coupon 7, 2 attempts, at 2023-11-14", func(id string) {
			first := s.ask(id)
			s.dead(first, "invalid-request", s.value(id, 247))
			s.grant(id, s.ask(id, head(headerReplayOf, first)), 7)
			s.grant(id, s.ask(id, head(headerReplayOf, first)), 7)
		}},
		{"request-gone", kindGranted, "granted once: coupon 9", func(id string) { s.grant(id, topics.Store+"/0/7777", 9) }},
		{"request-unreadable", kindDeadLetter, "dead letter: undecodable", func(id string) {
			value := append(s.value(id, 247), "trailing"...)
			s.dead(s.write(topics.Store, value), "undecodable", value)
		}},
	}
	for _, row := range rows {
		row.write(row.id)
	}
	s.ask("request-grantedx") // whose bytes nearly are those of another
	for _, row := range rows {
		t.Run(row.id, func(t *testing.T) {
			trace, text := s.traceOf(row.id)
			require.Equal(t, exitDone, text.code, text.stderr)
			require.Equal(t, row.state, trace.State)
			require.Contains(t, trace.Verdict, row.says)
		})
	}
	t.Run("times of the wrong unit", func(t *testing.T) {
		value, err := s.codec.EncodeRequest(topics.Store, schemas.Request{
			RequestID: "request-in-micros", OccurredAt: time.UnixMilli(1.7e15), ExpiresAt: time.UnixMilli(math.MaxInt64), BizCode: "b",
			OpenID: schemas.NewOpenID(proof.Canary), Channel: "c", CouponCode: "u", CouponType: 247,
		})
		require.NoError(t, err)
		s.dead(s.write(topics.Store, value), "invalid-request", value)
		trace, text := s.traceOf("request-in-micros")
		require.Equal(t, kindDeadLetter, trace.State)
		require.Nil(t, trace.Records[0].OccurredAt)
		require.Contains(t, text.stdout, "occurred_at is not between the years 1970 and 9999")
	})
	t.Run("the trail of a replay", func(t *testing.T) {
		trace, text := s.traceOf("request-replayed")
		require.Len(t, trace.Records, 3)
		require.Equal(t, kindDeadLetter, trace.Records[0].State)
		require.Equal(t, trace.Records[0].Source, trace.Records[1].ReplayOf)
		require.Contains(t, trace.Verdict, "by a replay; a replay was told the same coupon; another record ended as dead-letter")
		require.Contains(t, text.stdout, "to put it back: coupongrant dead-letters replay --source "+trace.Records[0].Source+" "+strings.Join(s.reach, " "))
		require.Regexp(t, `gateway http-503\n +[0-9:.]+  granted\n`, text.stdout)
	})
	t.Run("not found", func(t *testing.T) {
		trace, text := s.traceOf("request-nobody-sent")
		require.Equal(t, exitFailed, text.code)
		require.Equal(t, stateNotFound, trace.State)
		require.Contains(t, trace.Verdict, "not found: nothing that the topics keep")
		require.Empty(t, text.stderr)
		require.NotNil(t, trace.Records)
	})
	t.Run("not since", func(t *testing.T) {
		trace, _ := s.traceOf("request-granted", "--since", "2099-01-01")
		require.Equal(t, stateNotFound, trace.State)
		require.Contains(t, trace.Verdict, "leave out --since")
		trace, _ = s.traceOf("request-granted", "--since", "1h")
		require.Equal(t, kindGranted, trace.State)
	})
}

func TestRequestIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		give []string
		code int
		says string
	}{
		"no id":        {[]string{"request"}, exitUsage, "arg"},
		"empty id":     {[]string{"request", ""}, exitUsage, "use one of 1 to 64"},
		"long id":      {[]string{"request", strings.Repeat("x", 65)}, exitUsage, "has 65 characters"},
		"wrong since":  {[]string{"request", "x", "--since", "soon"}, exitUsage, `--since is "soon": say how long ago, such as 90m`},
		"no broker":    {[]string{"request", "x", "--kafka.brokers", "127.0.0.1:1"}, exitFailed, "kafka.brokers is 127.0.0.1:1"},
		"letters none": {[]string{"dead-letters", "list", "--kafka.brokers", "127.0.0.1:1"}, exitFailed, "kafka.brokers is 127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, "", row.give...)
			require.Equal(t, row.code, got.code)
			require.Contains(t, got.stderr, row.says)
		})
	}
	missing := newSite(t)
	got := missing.run("", "request", "x")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "run `coupongrant topics create`")
	s := newSite(t).ready().learn()
	s.ask("request-x")
	s.reach[3] = "http://127.0.0.1:1"
	got = s.run("", "request", "request-x")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "registry.url is http://127.0.0.1:1")
}

// finishedMetadata is of a commit that calls the second record above its offset
// finished, and no other.
func finishedMetadata() string {
	body := "cg1.nonce.1.0.0.r" + base64.RawURLEncoding.EncodeToString([]byte{1, 1})
	return body + "." + strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 36)
}

// An offset in the finished set of the commit metadata is finished, one beside
// it is not.
func TestRequestKnowsTheFinishedSet(t *testing.T) {
	s := newSite(t).ready().learn()
	topics := defaultConfig().Processor.Topics
	at, ok := parsePosition(s.ask("request-below"))
	require.True(t, ok)
	var commits kadm.Offsets
	commits.Add(kadm.Offset{Topic: topics.Store, Partition: at.partition, At: at.offset, LeaderEpoch: -1, Metadata: finishedMetadata()})
	require.NoError(t, s.admin.CommitAllOffsets(t.Context(), defaultConfig().Processor.Group, commits))
	for i, want := range []string{stateWaits, stateUnaccounted, stateWaits} {
		id := fmt.Sprint("request-", i)
		value := s.value(id, 247)
		if i == 0 {
			id = "request-below"
		} else {
			manual, err := kgo.NewClient(kgo.SeedBrokers(s.reach[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			require.NoError(t, err)
			require.NoError(t, manual.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Store, Partition: at.partition, Value: value}).FirstErr())
			manual.Close()
		}
		trace, _ := s.traceOf(id)
		require.Equal(t, want, trace.State, id)
	}
}

// Of an id that was used again and again so many records are told, and the rest is
// counted: records, not what became of them.
func TestRequestCountsTheRecordsThatItDoesNotTell(t *testing.T) {
	s := newSite(t).ready().learn()
	for range maxTraced + 1 {
		s.grant("again", s.ask("again"), 7)
	}
	got := s.run("", "request", "again", "--json")
	require.Equal(t, exitDone, got.code, got.stderr)
	var trace requestTrace
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &trace))
	require.Len(t, trace.Records, maxTraced)
	require.Equal(t, 1, trace.More)
}

// What a replica's own search of the topics keeps must not grow with what anybody
// can write: a record without value is a dead letter without one, by the million.
func TestSearchKeepsNoDeadLetterWithoutValue(t *testing.T) {
	topics := defaultConfig().Processor.Topics
	filter, err := newIDFilter("wanted")
	require.NoError(t, err)
	s := &search{lookup: &lookup{topicReader: &topicReader{topics: topics}}, filter: filter, lost: map[position]int64{}}
	dead := func(source string, headers ...kgo.RecordHeader) {
		require.NoError(t, s.take(t.Context(), &kgo.Record{Topic: topics.DeadLetter, Headers: append(headers, head(headerSource, source))}))
	}
	dead("store/0/1")
	dead("store/0/2", head(headerValueSize, "0"))
	require.Empty(t, s.lost)
	dead("store/0/3", head(headerValueSize, "3000000"))
	dead("store/0/4", head(headerValueSize, "3000000"))
	require.Len(t, s.lost, 1, "of a partition, where to read again: its request may be the one that is asked for")
}

// What is kept of a record is bounded as well, whoever has written it, and whatever of
// it comes back in outcomes: the newest of its copies and ends, and the beginning of
// every text.
func TestRequestTellsTheNewestOfManyCopiesAndEnds(t *testing.T) {
	s := newSite(t).ready().learn()
	topics, began := defaultConfig().Processor.Topics, time.Now().Add(-time.Hour)
	value := s.value("request-a", 247)
	long := strings.Repeat("x", 10_000)
	source := s.write(topics.Store, value, head(headerReplayOf, long))
	var written []*kgo.Record
	outcome := schemas.Ending{
		RequestID: "request-a", BizCode: long, Channel: long, CouponCode: long, CouponType: 247, GatewayRequestID: &long,
		Trigger:    &schemas.Trigger{Kind: long, StoreID: &long, ReceiptID: &long, ProgramID: &long, Milestone: &long},
		AttemptLog: []schemas.Attempt{{About: long, Code: long}},
	}
	for n := range 150 {
		n = (n + 75) % 150 // not in the order of time
		at := began.Add(time.Duration(n) * time.Second)
		headers := []kgo.RecordHeader{head(headerSource, source), head(headerAttempts, strconv.Itoa(n)), head(headerReason, long), head(headerError, long)}
		outcome.Attempts = int32(n)
		end := [...]*kgo.Record{
			{Topic: topics.DeadLetter, Value: value},
			{Topic: topics.Granted, Value: s.outcomeOf(&schemas.Granted{Ending: outcome, Coupon: schemas.Coupon{Name: &long}})},
			{Topic: topics.Failed, Value: s.outcomeOf(&schemas.Failed{
				Ending: outcome, Reason: schemas.ReasonRejected, GatewayCode: &long, GatewaySubCode: &long, GatewayMessage: &long,
			})},
		}[n%3]
		end.Timestamp, end.Headers = at, headers
		written = append(written, end, &kgo.Record{Topic: topics.Retry, Timestamp: at, Value: value, Headers: headers})
	}
	require.NoError(t, s.client.ProduceSync(t.Context(), written...).FirstErr())

	got := s.run("", "request", "request-a", "--json")
	require.Equal(t, exitDone, got.code, got.stderr)
	var trace struct {
		Verdict string
		Records []struct {
			ReplayOf   string `json:"replay_of"`
			Parked     []traceParking
			MoreParked int `json:"more_parked"`
			Ends       []view
			MoreEnds   int `json:"more_ends"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &trace))
	require.Len(t, trace.Records, 1)
	one := trace.Records[0]
	require.Len(t, one.Parked, 100)
	require.Len(t, one.Ends, 100)
	require.Equal(t, []int{50, 50}, []int{one.MoreParked, one.MoreEnds})
	for i := range 100 {
		require.Equal(t, 50+i, *one.Parked[i].Attempts, "the newest, in the order of time")
		require.Equal(t, 50+i, *one.Ends[i].Attempts)
	}
	begins := strings.Repeat("x", maxText)
	for kind, texts := range map[string]int{kindDeadLetter: 2, kindGranted: 12, kindFailed: 14} {
		at := slices.IndexFunc(one.Ends, func(e view) bool { return e.Kind == kind })
		text, err := json.Marshal(one.Ends[at])
		require.NoError(t, err)
		require.Equal(t, texts, strings.Count(string(text), begins), kind)
	}
	require.Equal(t, begins, one.ReplayOf)
	require.False(t, strings.Contains(got.stdout, begins+"x"), "a text that is kept as a whole")
	require.Contains(t, trace.Verdict, source+" has 150 ends")
	text := s.run("", "request", "request-a")
	require.Contains(t, text.stdout, "50 earlier copies")
	require.Contains(t, text.stdout, "50 earlier ends")
}

// A thousand records of one id have no hundred ends each: the newest of each is kept, and
// all are counted.
func TestSearchKeepsOnlySoManyEndsOfAllRecords(t *testing.T) {
	s := &search{records: map[string]*traceRecord{}}
	began := time.Now()
	for n := range 5 * maxTraced {
		source, at := fmt.Sprint("store/0/", n%maxTraced), began.Add(time.Duration(n)*time.Second)
		s.with(source, func(t *traceRecord) {
			t.addEnd(view{Written: at}, &s.extra)
			t.addParking(traceParking{Written: at}, &s.extra)
		})
	}
	ends, parked := 0, 0
	for _, record := range s.records {
		ends += len(record.Ends)
		parked += len(record.Parked)
		require.Equal(t, 5, len(record.Ends)+record.MoreEnds)
		require.Equal(t, 5, len(record.Parked)+record.MoreParked)
		require.False(t, record.Ends[len(record.Ends)-1].Written.Before(began.Add(4*maxTraced*time.Second)), "the newest")
		record.settle(proof.Commits{})
		require.Equal(t, stateDoubled, record.State, "however many are kept")
	}
	require.Equal(t, 3*maxTraced, ends+parked)
}

// Whoever writes outcomes may write any number of attempts.
func TestViewHoldsTheLastAttempts(t *testing.T) {
	e := endingOf("request-a")
	for n := range 15 {
		e.AttemptLog = append(e.AttemptLog, schemas.Attempt{Code: strconv.Itoa(n)})
	}
	var v view
	v.outcome(&schemas.Failed{Ending: e})
	require.Len(t, v.AttemptLog, schemas.AttemptLogSize)
	require.Equal(t, "14", v.AttemptLog[schemas.AttemptLogSize-1].Code)
}
