package proof

import (
	"compress/gzip"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// stateVersion changes with anything that is saved and cannot be done without.
const stateVersion = 1

// state is where a Checker is kept from look to look: a folder with the file
// facts, which only grows, and the file state, which is replaced as a whole and
// says how much of facts belongs to it. A look that dies leaves the state of the
// one before. Both are as private as the input topics.
type state struct {
	dir      string
	group    string
	topicIDs map[string]string
}

// savedState is the beginning of the file; savedPartitions follow it.
type savedState struct {
	Version    int
	Topics     Topics
	Group      string
	TopicIDs   map[string]string
	Key        digestKey
	Read       []savedOffset
	Report     Report // as it was before it was judged
	Breaches   map[Kind]int64
	Places     map[Kind][]uint64 // of those that were judged; states of old have none
	Trimmed    time.Time
	Facts      int64 // bytes
	Partitions int
}

type savedOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// savedPartition is followed by its pages and its open records.
type savedPartition struct {
	Topic       int
	Range       Range
	Pages, Open int
}

type savedPage struct {
	Number int64
	Marks  page
}

type savedRecord struct {
	Offset int64
	Record record
}

// newFolder is the mend of a state that cannot be gone on from.
const newFolder = "use an empty folder"

// openState returns a Checker that goes on where the one that was saved in dir
// has ended, or a new one. Topics may not have been made anew in between.
func openState(topics Topics, s state) (c *Checker, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the state in %s: %w", s.dir, err)
		}
	}()
	c = NewChecker(topics)
	c.state = &s
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	length, err := c.load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "facts"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if c.facts, err = openSpool(factSize, file, length); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", err, newFolder), file.Close())
	}
	return c, nil
}

// load returns how many bytes of facts belong to the state.
func (c *Checker) load() (facts int64, err error) {
	file, err := os.Open(filepath.Join(c.state.dir, "state"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	if facts, err = c.unpack(file); err != nil {
		return 0, fmt.Errorf("%w: %s", err, newFolder)
	}
	return facts, nil
}

func (c *Checker) unpack(file io.Reader) (facts int64, err error) {
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return 0, err
	}
	from := gob.NewDecoder(unpacked)
	var saved savedState
	if err := from.Decode(&saved); err != nil {
		return 0, err
	}
	if err := c.state.continues(&saved, c.topics); err != nil {
		return 0, err
	}
	c.report, c.trimmed = saved.Report, saved.Trimmed
	c.report.fill()
	c.before = map[Kind]int64{}
	maps.Copy(c.before, saved.Breaches)
	c.places = newPlaces(saved.Places)
	c.digest = digestOf(saved.Key)
	for _, o := range saved.Read {
		c.read[topicPartition{o.Topic, o.Partition}] = o.Offset
	}
	for range saved.Partitions {
		if err := c.loadPartition(from); err != nil {
			return 0, err
		}
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // to its checksum
		return 0, err
	}
	return saved.Facts, nil
}

func (c *Checker) loadPartition(from *gob.Decoder) error {
	var saved savedPartition
	if err := from.Decode(&saved); err != nil {
		return err
	}
	p := newPartition(saved.Range, saved.Topic)
	for range saved.Pages {
		var one savedPage
		if err := from.Decode(&one); err != nil {
			return err
		}
		p.pages[one.Number] = &one.Marks
	}
	for range saved.Open {
		var one savedRecord
		if err := from.Decode(&one); err != nil {
			return err
		}
		p.open[one.Offset] = one.Record
	}
	c.inputs[topicPartition{p.Topic, p.Partition}] = p
	return nil
}

func (s *state) continues(saved *savedState, topics Topics) error {
	switch {
	case saved.Version != stateVersion:
		return fmt.Errorf("it is of version %d of the audit, this is %d", saved.Version, stateVersion)
	case saved.Group != s.group || !slices.Equal(saved.Topics.Inputs, topics.Inputs) || saved.Topics.Retry != topics.Retry ||
		saved.Topics.Granted != topics.Granted || saved.Topics.Failed != topics.Failed || saved.Topics.DeadLetter != topics.DeadLetter:
		return errors.New("it is of other topics or of another group")
	}
	for topic, id := range saved.TopicIDs {
		if s.topicIDs[topic] != id {
			return fmt.Errorf("topic %s was deleted and made again since", topic)
		}
	}
	return nil
}

// Save keeps what is known for the next look, if there is a folder for it; last is
// the report that was made of it. A look that could not read everything is not
// kept: the next one begins where the one before began, so that nothing is passed
// over.
func (c *Checker) Save(last Report) error {
	if c.state == nil || len(c.report.Unread) > 0 {
		return nil
	}
	err := c.facts.sync()
	if err == nil {
		err = c.save(last)
	}
	if err != nil {
		return fmt.Errorf("keeping the state in %s: %w", c.state.dir, err)
	}
	return nil
}

func (c *Checker) save(last Report) error {
	name := filepath.Join(c.state.dir, "state")
	file, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	packed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err == nil {
		err = c.write(gob.NewEncoder(packed), last)
	}
	if err == nil {
		err = packed.Close()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (c *Checker) write(to *gob.Encoder, last Report) error {
	saved := savedState{
		Version: stateVersion, Topics: c.topics, Group: c.state.group, TopicIDs: c.state.topicIDs, Key: c.digest.key,
		Report: c.report, Trimmed: c.trimmed, Facts: c.facts.end, Partitions: len(c.inputs),
		Breaches: map[Kind]int64{}, Places: c.places.sorted(),
	}
	for kind, f := range last.Violations {
		saved.Breaches[kind] = f.Total
	}
	for tp, offset := range c.read {
		saved.Read = append(saved.Read, savedOffset{tp.topic, tp.partition, offset})
	}
	if err := to.Encode(saved); err != nil {
		return err
	}
	for _, p := range c.inputs {
		if err := p.write(to); err != nil {
			return err
		}
	}
	return nil
}

func (p *partition) write(to *gob.Encoder) error {
	p.forget()
	saved := savedPartition{Topic: int(p.topic), Range: p.Range, Pages: len(p.pages), Open: len(p.open)}
	if err := to.Encode(saved); err != nil {
		return err
	}
	for number, marks := range p.pages {
		if err := to.Encode(savedPage{number, *marks}); err != nil {
			return err
		}
	}
	for _, offset := range slices.Sorted(maps.Keys(p.open)) {
		if err := to.Encode(savedRecord{offset, p.open[offset]}); err != nil {
			return err
		}
	}
	return nil
}
