package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/coupongrant/coupongrant/processor"
	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// produceFlags of the command.
type produceFlags struct {
	topic  string
	count  int
	rate   float64
	seed   uint64
	strict bool
}

func (c *cli) produceCommand() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Send requests: JSON lines from standard input, or sample data",
		Long: `Sends one request for each line of standard input: a JSON object with the members of
CouponGrantRequested. Times are RFC 3339 or milliseconds since 1970, occurred_at may be
left out for now. The member "key" is the record's key: requests of one key run in order.
Lines that are no request are told with their number, and the exit code is then 1.

With --count, sample checkouts and milestones are sent instead.`,
		Example: `  coupongrant produce < requests.jsonl
  coupongrant produce --count 1000 --rate 100
  echo '{"request_id":"r-1","biz_code":"store","open_id":"AAE...","channel":"pos",
         "coupon_code":"c276-01","coupon_type":276,"key":"till-7"}' | tr -d '\n' | coupongrant produce --topic store`,
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd, defaultConfig())
			if err != nil {
				return err
			}
			if err := f.check(cmd); err != nil {
				return usage(err)
			}
			if f.topic, err = inputTopic(f.topic, cfg.Processor.Topics); err != nil {
				return usage(err)
			}
			return c.produce(cmd.Context(), cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.topic, "topic", "", "store or loyalty, or the name of one of these topics; without it the trigger's kind decides")
	flags.IntVar(&f.count, "count", 0, "send so many requests of sample data")
	flags.Float64Var(&f.rate, "rate", 0, "requests per second; 0: as fast as it goes")
	flags.Uint64Var(&f.seed, "seed", 0, "sample data of the same seed is the same but for its time; 0: another each time")
	flags.BoolVar(&f.strict, "strict", false, "stop at the first line that is no request")
	return cmd
}

func (f produceFlags) check(cmd *cobra.Command) error {
	sample := cmd.Flags().Changed("count")
	switch {
	case sample && f.count < 1:
		return fmt.Errorf("--count is %d: use at least 1", f.count)
	case !sample && cmd.Flags().Changed("seed"):
		return errors.New("--seed is for sample data: give --count as well")
	case f.rate < 0 || math.IsNaN(f.rate) || math.IsInf(f.rate, 0):
		return fmt.Errorf("--rate is %v: use requests per second, or 0 for no limit", f.rate)
	}
	return nil
}

// limiter lets f.rate requests a second pass.
func (f produceFlags) limiter() *rate.Limiter {
	if f.rate == 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(f.rate), max(1, int(f.rate/100)))
}

// inputTopic is the topic that a name stands for; empty: none is named.
func inputTopic(name string, t processor.Topics) (string, error) {
	switch name {
	case "":
		return "", nil
	case "store", t.Store:
		return t.Store, nil
	case "loyalty", t.Loyalty:
		return t.Loyalty, nil
	default:
		return "", fmt.Errorf("--topic is %q: use store or loyalty, or the name of one of these topics (%s, %s)", name, t.Store, t.Loyalty)
	}
}

func (c *cli) produce(ctx context.Context, cfg Config, f produceFlags) error {
	topics := cfg.Processor.Topics
	own := schemas.Topics{Inputs: []string{topics.Store, topics.Loyalty}}
	if f.topic != "" {
		own.Inputs = []string{f.topic}
	}
	registry, codec, err := ownCodec(ctx, cfg, own)
	if err != nil {
		return err
	}
	defer registry.Close()
	client, err := connect(ctx, cfg, quiet(), producerOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	s := &sender{client: client, codec: codec, topics: topics, fixed: f.topic, limit: f.limiter()}
	began := time.Now()
	bad := 0
	if f.count > 0 {
		line := newStatusLine(c.stderr)
		err = s.sample(ctx, f, line)
		line.close()
	} else {
		bad, err = s.lines(ctx, c.stdin, c.stderr, f.strict, schemas.Rules{CouponTypes: cfg.CouponTypes})
	}
	if finishErr := s.finish(ctx); err == nil {
		err = finishErr
	}
	took, sent := time.Since(began), s.delivered()
	fmt.Fprintf(c.stdout, "%d requests sent in %s (%.0f/s)\n", sent, took.Round(time.Millisecond), float64(sent)/took.Seconds())
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d line(s) were no request and were not sent", bad)
	}
	return err
}

// producerOptions: acks of all replicas and idempotence are kgo's defaults, and
// what a producer of requests should use.
func producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.RecordDeliveryTimeout(30 * time.Second),
	}
}

// sender writes requests to input topics.
type sender struct {
	client *kgo.Client
	codec  *schemas.Codec
	topics processor.Topics
	fixed  string // topic of all requests; empty: the trigger's kind decides
	limit  *rate.Limiter

	mu   sync.Mutex // guards what the client's promises write
	sent int64
	err  error // the first
}

func (s *sender) send(ctx context.Context, topic string, key, value []byte) error {
	if err := s.limit.Wait(ctx); err != nil {
		return err
	}
	s.client.Produce(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}, s.promise)
	return s.trouble()
}

func (s *sender) promise(r *kgo.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.sent++
	} else if s.err == nil {
		s.err = fmt.Errorf("writing to %s: %w", r.Topic, proof.OnTopic(kadm.OpWrite, r.Topic).OrLacks(err))
	}
}

// delivered is how many the brokers have.
func (s *sender) delivered() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

func (s *sender) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// finish waits until everything has left or failed, also when ctx has ended, and
// says if something has failed.
func (s *sender) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clusterPatience)
	defer cancel()
	if err := s.client.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for the brokers: %w", err)
	}
	return s.trouble()
}

func (s *sender) sample(ctx context.Context, f produceFlags, line *statusLine) error {
	load := proof.NewLoad(sampleLoad(s.topics, f))
	told := time.Now()
	for range f.count {
		if time.Since(told) >= statusEvery {
			line.set(fmt.Sprintf("%d of %d sent", s.delivered(), f.count))
			told = time.Now()
		}
		e := load.Next()
		if s.fixed != "" {
			e.Topic = s.fixed
		}
		value, err := e.Value(s.codec)
		if err != nil {
			return fmt.Errorf("encoding a request: %w", err)
		}
		if err := s.send(ctx, e.Topic, e.Key, value); err != nil {
			return err
		}
	}
	return nil
}

// sampleLoad is sample data without flaws. At no pace, all has the time of now: a
// later one may not have come when it is sent.
func sampleLoad(topics processor.Topics, f produceFlags) proof.LoadConfig {
	cfg := proof.LoadConfig{
		Seed: f.seed, Store: topics.Store, Loyalty: topics.Loyalty,
		From: time.Now(), Keys: 200, NullKeys: 0.05,
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(cfg.From.UnixNano()) // ids of different seeds differ
	}
	if f.rate > 0 {
		cfg.Every = time.Duration(float64(time.Second) / f.rate)
	}
	return cfg
}

// lines sends each line and counts those that are no request.
func (s *sender) lines(ctx context.Context, in io.Reader, told io.Writer, strict bool, rules schemas.Rules) (bad int, err error) {
	reading, stop := context.WithCancel(ctx) // of its own: the context of a record ends the record
	defer stop()
	lines := readLines(reading, in)
	for {
		var line numberedLine
		var more bool
		select {
		case line, more = <-lines:
		case <-ctx.Done():
		}
		if !more {
			return bad, ctx.Err()
		}
		err := line.err
		if err == nil && len(line.text) > 0 {
			err = s.line(ctx, line.text, rules)
		}
		wrong := (*lineError)(nil)
		switch {
		case err == nil:
		case errors.As(err, &wrong), errors.Is(err, errLongLine):
			bad++
			fmt.Fprintf(told, "line %d: %v\n", line.number, err)
			if strict {
				return bad, nil
			}
		default:
			return bad, err
		}
	}
}

// lineError is the line's fault.
type lineError struct{ error }

func (s *sender) line(ctx context.Context, line []byte, rules schemas.Rules) error {
	key, request, err := parseRequest(line, time.Now(), rules)
	if err != nil {
		return &lineError{err}
	}
	topic := s.topicOf(request)
	value, err := s.codec.EncodeRequest(topic, request)
	if err != nil {
		return &lineError{err}
	}
	return s.send(ctx, topic, key, value)
}

func (s *sender) topicOf(r schemas.Request) string {
	switch {
	case s.fixed != "":
		return s.fixed
	case r.Trigger != nil && r.Trigger.Kind == "loyalty-milestone":
		return s.topics.Loyalty
	default:
		return s.topics.Store
	}
}
