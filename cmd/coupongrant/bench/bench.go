package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config of a measurement.
type Config struct {
	Brokers []string
	Program string // does the parts: this one
	Cases   []string
	Pairs   int               // turns of each case
	Length  time.Duration     // of what is measured of a run
	Engine  map[string]string // settings of the engine beside those of the case
	Results string            // folder for the raw results; empty: none are kept
	Version string
	Command string
	Out     io.Writer
	Say     func(string) // how it goes
}

// session is one measurement of some cases.
type session struct {
	cfg      Config
	admin    *kadm.Client
	registry string
	kafka    string
	brokers  int
	name     string // begins the topics' names
	runs     int
	faster   int // than `fastest` this machine is found to be, at least 1: a power of two
}

// Run measures the cases and writes their tables.
func Run(ctx context.Context, cfg Config) error {
	cases, err := chosen(cfg.Cases)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	registry, stop, err := startRegistry()
	if err != nil {
		return err
	}
	defer stop()
	s := &session{cfg: cfg, admin: kadm.NewClient(client), registry: registry, name: "bench." + strconv.FormatInt(time.Now().Unix(), 36), faster: 1}
	if err := s.lookAtKafka(ctx); err != nil {
		return err
	}
	var broken []string
	for _, e := range cases {
		r, err := s.measure(ctx, e)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if r.Verdict != verdictHeld {
			broken = append(broken, e.name)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("not everything holds: %v", broken)
	}
	return nil
}

func (s *session) lookAtKafka(ctx context.Context) error {
	versions, err := s.admin.ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("asking the brokers for their version: %w", err)
	}
	s.brokers = len(versions)
	for _, v := range versions.Sorted() {
		s.kafka = "Kafka " + v.VersionGuess()
	}
	return nil
}

// measure makes all runs of a case.
func (s *session) measure(ctx context.Context, e experiment) (*result, error) {
	r := &result{
		Case: e.name, About: e.about, Command: s.cfg.Command, Began: time.Now().UTC().Truncate(time.Second),
		Version: s.cfg.Version, Kafka: s.kafka, Brokers: s.brokers, Go: runtime.Version(),
		Machine: machine(runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), Pairs: s.cfg.Pairs, Length: span(s.cfg.Length),
		Engine: s.cfg.Engine, Specs: e.specs,
	}
	// The brokers get faster with use: the first run would pay for it.
	if _, err := s.run(ctx, e, base(armLoop, 0, 64), "warm-up", 0); err != nil {
		return nil, err
	}
	if e.probe != nil {
		found, err := s.run(ctx, e, *e.probe, "probe", 0)
		if err != nil {
			return nil, err
		}
		r.HalfOf = found[perSecond]
	}
	for turn := 1; turn <= s.cfg.Pairs; turn++ {
		for _, of := range inTurn(e.specs, turn) {
			began := time.Now().UTC().Truncate(time.Second)
			found, err := s.run(ctx, e, of, strconv.Itoa(turn)+" "+of.Kind, r.HalfOf/2)
			if err != nil {
				return nil, fmt.Errorf("turn %d, %s: %w", turn, of.Kind, err)
			}
			r.Runs = append(r.Runs, run{Turn: turn, Kind: of.Kind, Began: began, Figures: found})
		}
	}
	r.Seconds = time.Since(r.Began).Seconds()
	r.judge(e.measures)
	if s.cfg.Results != "" {
		if err := r.keep(s.cfg.Results); err != nil {
			return nil, fmt.Errorf("--results: %w", err)
		}
	}
	return r, r.table(s.cfg.Out)
}

// inTurn changes the order from turn to turn, so that a machine that gets slower
// or faster favours nobody.
func inTurn(specs []spec, turn int) []spec {
	specs = slices.Clone(specs)
	if turn%2 == 0 {
		slices.Reverse(specs)
	}
	return specs
}

// run makes one run. rate stands for half.
func (s *session) run(ctx context.Context, e experiment, of spec, what string, rate float64) (map[string]float64, error) {
	s.cfg.Say(fmt.Sprintf("%s: %s", e.name, what))
	length, warm := s.cfg.Length*time.Duration(max(1, of.Lengths)), max(s.cfg.Length/4, time.Second)
	if of.Stragglers > 0 { // until as many of them end as begin
		warm = max(warm, 2*time.Duration(of.Slow))
	}
	if of.Rate != half {
		rate = of.Rate
	}
	try := func(backlog int) (map[string]float64, error) {
		s.runs++
		t := &trial{spec: of, length: length, warm: warm, rate: rate, total: backlog, engine: s.cfg.Engine, program: s.cfg.Program}
		return t.make(ctx, s.cfg.Brokers, s.admin, s.registry, fmt.Sprintf("%s.%d", s.name, s.runs))
	}
	if rate > 0 || of.Backlog > 0 || of.idle || of.Arm == armHTTP {
		return try(of.Backlog)
	}
	return s.lasting(func(faster int) (map[string]float64, error) { return try(faster * of.enough(warm+length)) })
}

// fastestByFar ends the search for how fast a machine is.
const fastestByFar = 64

// lasting makes a run again with twice the backlog until it lasts, and the runs after
// it begin with that.
func (s *session) lasting(run func(faster int) (map[string]float64, error)) (map[string]float64, error) {
	for {
		figures, err := run(s.faster)
		if !errors.Is(err, errWorkedOff) || s.faster >= fastestByFar {
			return figures, err
		}
		s.faster *= 2
		s.cfg.Say(fmt.Sprintf("again, with a larger backlog: %v", err))
	}
}
