//go:build chaos || apart

package proof_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The requests that tell where a process is.
const (
	keyProduce         = 0
	keyOffsetFetch     = 9
	keyJoinGroup       = 11
	keySyncGroup       = 14
	keyInitProducerID  = 22
	keyEndTxn          = 26
	keyTxnOffsetCommit = 28
	keyGroupHeartbeat  = 68 // of the consumer protocol: join, heartbeat and assignment in one
)

// slowAnswer is a broker's answer to a transaction that is worth a note: a
// transaction that waits for long is ended by its coordinator.
const slowAnswer = time.Second

// passage is one connection through a wire.
type passage struct {
	wire           *wire
	owner          *member // nil: the test itself
	client, broker net.Conn

	mu    sync.Mutex
	asked map[int32]question // by correlation id
	gone  bool               // the client is, and the broker is still to answer it
}

// question is a request that has no answer yet.
type question struct {
	key, version int16
	commit       bool // of EndTxn
	swallowed    bool // its answer must not arrive
	asked        time.Time
}

// questions passes requests on until the client is gone.
func (p *passage) questions() {
	defer p.part()
	var buf []byte
	for {
		frame, err := readFrame(p.client, buf)
		if err != nil {
			return
		}
		buf = frame
		if !p.ask(frame) {
			return
		}
	}
}

func (p *passage) ask(frame []byte) bool {
	id, q, ok := readQuestion(frame)
	if !ok {
		return false
	}
	if p.owner == nil {
		_, err := p.broker.Write(frame)
		return err == nil
	}
	p.wire.trouble()
	if q.key == keyJoinGroup {
		p.owner.joining.Store(true)
		p.owner.journal.write("%s asks to join", p.owner.name)
	}
	// Caught before the broker sees it: its answer could be quicker than we are.
	q.asked, q.swallowed = time.Now(), p.springs(q.sent())
	p.mu.Lock()
	p.asked[id] = q
	p.mu.Unlock()
	_, err := p.broker.Write(frame)
	if q.swallowed {
		p.owner.strike("killed at " + string(q.sent()))
	}
	return err == nil
}

// joinedWithin bounds how long a broker may take to tell a process that is gone that
// it has joined: a group waits a session for its dead, and this is more.
const joinedWithin = 3 * sessionTimeout

// part ends the way to the broker, but lets it answer first about joining: kfake
// begins the session of a member only if it can tell it so, and would keep one that was
// killed meanwhile for good. Kafka begins it for whoever asked.
func (p *passage) part() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.asked {
		p.gone = p.gone || q.key == keyJoinGroup
	}
	if !p.gone || p.broker.SetReadDeadline(time.Now().Add(joinedWithin)) != nil {
		_ = p.broker.Close()
	}
}

// answers passes answers back until the broker is gone.
func (p *passage) answers() {
	defer func() {
		reset(p.client)
		_ = p.broker.Close()
	}()
	var buf []byte
	for {
		frame, err := readFrame(p.broker, buf)
		if err != nil || len(frame) < 8 {
			return
		}
		buf = frame
		if p.owner == nil {
			_, err = p.client.Write(frame)
		} else {
			err = p.answer(frame)
		}
		if err != nil {
			return
		}
	}
}

func (p *passage) answer(frame []byte) error {
	id := int32(binary.BigEndian.Uint32(frame[4:]))
	p.mu.Lock()
	q, gone := p.asked[id], p.gone
	delete(p.asked, id)
	p.mu.Unlock()
	switch {
	case gone && q.key == keyJoinGroup:
		return net.ErrClosed
	case gone || q.swallowed:
		return nil
	}
	if took := time.Since(q.asked); q.sent() != "" && took > slowAnswer {
		p.owner.journal.write("%s has waited %v for %v, asked of %s", p.owner.name, took, kmsg.Key(q.key), p.wire.target)
	}
	p.wire.trouble()
	p.note(q, frame[8:])
	_, err := p.client.Write(frame)
	if at := q.answered(); p.springs(at) {
		p.owner.strike("killed at " + string(at))
	}
	return err
}

func (p *passage) springs(at moment) bool {
	return at != "" && p.wire.wires.trap.springs(at, p.owner)
}

// note learns from an answer what the process holds.
func (p *passage) note(q question, body []byte) {
	switch q.key {
	case keyJoinGroup:
		p.owner.joining.Store(false)
		p.owner.journal.write("%s is answered about joining", p.owner.name)
	case keyOffsetFetch:
		p.owner.fetchesOffsets()
	case keySyncGroup:
		if all, ok := readAssignment(q.version, body); ok {
			p.owner.assign(all)
		}
	case keyGroupHeartbeat:
		if all, ok := p.wire.wires.readGiven(q.version, body); ok {
			p.owner.assign(all)
		}
	}
}

// sent is the moment at which a request leaves; empty: none.
func (q question) sent() moment {
	switch {
	case q.key == keyProduce:
		return produceSent
	case q.key == keyTxnOffsetCommit:
		return offsetsSent
	case q.key == keyEndTxn && q.commit:
		return endSent
	case q.key == keyInitProducerID:
		return inRecovery
	default:
		return ""
	}
}

func (q question) answered() moment {
	switch {
	case q.key == keyProduce:
		return produced
	case q.key == keyTxnOffsetCommit:
		return offsetsAnswered
	case q.key == keyEndTxn && q.commit:
		return ended
	default:
		return ""
	}
}

// readQuestion reads the header, and of EndTxn whether it commits.
func readQuestion(frame []byte) (id int32, q question, ok bool) {
	r := kbin.Reader{Src: frame[4:]}
	q.key, q.version, id = r.Int16(), r.Int16(), r.Int32()
	r.NullableString() // the client's id
	if !r.Ok() {
		return 0, question{}, false
	}
	if q.key != keyEndTxn {
		return id, q, true
	}
	end := kmsg.NewPtrEndTxnRequest()
	end.SetVersion(q.version)
	if end.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	ok = r.Ok() && end.ReadFrom(r.Src) == nil
	q.commit = end.Commit
	return id, q, ok
}

func readAssignment(version int16, body []byte) (map[topicPartition]bool, bool) {
	answer := kmsg.NewPtrSyncGroupResponse()
	answer.SetVersion(version)
	r := kbin.Reader{Src: body}
	if answer.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if !r.Ok() || answer.ReadFrom(r.Src) != nil || answer.ErrorCode != 0 {
		return nil, false
	}
	all := map[topicPartition]bool{}
	var given kmsg.ConsumerMemberAssignment
	if given.ReadFrom(answer.MemberAssignment) != nil {
		return all, len(answer.MemberAssignment) == 0
	}
	for _, topic := range given.Topics {
		for _, p := range topic.Partitions {
			all[topicPartition{topic.Topic, p}] = true
		}
	}
	return all, true
}

// readGiven reads an assignment of the consumer protocol; most heartbeats bring
// none.
func (w *wires) readGiven(version int16, body []byte) (map[topicPartition]bool, bool) {
	answer := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	answer.SetVersion(version)
	r := kbin.Reader{Src: body}
	kmsg.SkipTags(&r)
	if !r.Ok() || answer.ReadFrom(r.Src) != nil || answer.ErrorCode != 0 || answer.Assignment == nil {
		return nil, false
	}
	all := map[topicPartition]bool{}
	for _, topic := range answer.Assignment.Topics {
		for _, number := range topic.Partitions {
			all[topicPartition{w.topics[topic.TopicID], number}] = true
		}
	}
	return all, true
}

func TestBrokerMayStillAnswerWhoWasKilledWhileItJoined(t *testing.T) {
	for name, c := range map[string]struct {
		asked    kmsg.Request
		answered bool
	}{
		"joining":   {kmsg.NewPtrJoinGroupRequest(), true},
		"otherwise": {kmsg.NewPtrHeartbeatRequest(), false},
	} {
		t.Run(name, func(t *testing.T) {
			process, client := net.Pipe()
			broker, service := net.Pipe()
			p := &passage{
				wire:   &wire{wires: &wires{trap: &trap{}}},
				owner:  &member{name: "one", journal: &journal{out: io.Discard}},
				client: client, broker: broker, asked: map[int32]question{},
			}
			var asking, answering sync.WaitGroup
			t.Cleanup(answering.Wait)
			asking.Go(p.questions)
			answering.Go(p.answers)

			const id = 7
			_, err := process.Write(kmsg.NewRequestFormatter().AppendRequest(nil, c.asked, id))
			require.NoError(t, err)
			_, err = readFrame(service, nil)
			require.NoError(t, err)
			require.NoError(t, process.Close())
			asking.Wait()

			if c.answered {
				_, err = service.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, id))
				require.NoError(t, err)
			}
			_, err = service.Read(make([]byte, 1)) // it is left only now
			require.ErrorIs(t, err, io.EOF)
		})
	}
}
