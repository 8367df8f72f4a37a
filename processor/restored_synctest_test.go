//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/schemas"
)

// What docs/operations.md says of a cluster that was restored to an earlier
// moment.

var storeZero = partition{DefaultConfig().Topics.Store, 0}

func grantsAlways(*http.Request) (*http.Response, error) { return granted(1), nil }

// committed is what the group has committed, to be restored later.
func (s *shop) committed() kadm.Offsets {
	s.t.Helper()
	offsets, err := kadm.NewClient(s.client).FetchOffsets(s.t.Context(), "coupongrant")
	require.NoError(s.t, err)
	return offsets.Offsets()
}

func (s *shop) restore(offsets kadm.Offsets) {
	s.t.Helper()
	require.NoError(s.t, kadm.NewClient(s.client).CommitAllOffsets(s.t.Context(), "coupongrant", offsets))
}

// madeAgain is the store topic as a restored cluster has it: with fewer records,
// and none of the ends that came of the others.
func (s *shop) madeAgain(prefix string, n int) {
	s.t.Helper()
	require.NoError(s.t, s.kafka.DeleteTopic(s.topics.Store))
	require.NoError(s.t, s.kafka.CreateTopic(s.topics.Store, 1, nil))
	time.Sleep(10 * time.Second)
	s.produceAnew(s.requests(prefix, n)...)
	s.client.ForceMetadataRefresh()
	time.Sleep(10 * time.Second)
}

// The group's commits are older than what was done since. Nothing can be seen of
// that, and nothing is held: what ended since is called again, under the same
// out_id, and ends again. The audit tells.
func TestRestoredCommitsAreGoneOnFromAndTheAuditTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		doneBy(t, s, "kept")
		earlier := s.committed()
		doneBy(t, s, "since")
		require.Equal(t, proof.Balanced, s.audited().Verdict(), "the control: all is well so far")

		s.restore(earlier)
		r := s.start(s.config("r1"))
		ends := s.settled(15)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())

		for i := range 5 {
			require.Equal(t, 1, gateway.of(fmt.Sprint("kept-", i)))
			require.Equal(t, 2, gateway.of(fmt.Sprint("since-", i)), "with the same out_id")
		}
		require.Len(t, on(s.topics.Granted, ends), 15)
		report := s.audited()
		require.Equal(t, proof.Violated, report.Verdict())
		require.EqualValues(t, 5, report.Violations[proof.Doubled].Total)
	})
}

// doneBy has five requests ended by a replica that starts and stops for it.
func doneBy(t *testing.T, s *shop, prefix string) {
	t.Helper()
	before := len(s.allEnds())
	r := s.start(s.config("r1"))
	s.produce(0, nil, s.requests(prefix, 5)...)
	require.Len(t, s.settled(before+5), before+5)
	require.NoError(t, r.stopped())
}

// Where members may have reached a limit by what was granted since, a commit that
// is not ours puts everything above the restored offsets in doubt: nobody is told
// to have failed who has a coupon. Just to start would tell them.
func TestRestoredCommitsAreGoneOnFromInDoubt(t *testing.T) {
	for name, inDoubt := range map[string]bool{"as the page says": true, "just started": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, 1, &grantsOnce{calls: map[string]int{}})
				doneBy(t, s, "kept")
				earlier := s.committed()
				doneBy(t, s, "since")
				s.restore(earlier)
				cfg := s.config("r1")
				if inDoubt {
					at, _ := earlier.Lookup(s.topics.Store, 0)
					s.commit(storeZero, at.At, "lost")
					cfg.AcceptForeignOffsets = true
				}
				r := s.start(cfg)
				ends := s.settled(15)
				require.NoError(t, r.stopped())
				if inDoubt {
					require.Empty(t, on(s.topics.Failed, ends))
					require.Len(t, on(s.topics.Retry, ends), 5)
				} else {
					require.Len(t, on(s.topics.Failed, ends), 5, "who has a coupon is told to have failed")
				}
			})
		})
	}
}

// Somebody sets the group's offset forward with Kafka's own tools, which write no metadata:
// a person's word. What is passed over has no end, and the audit tells.
func TestOffsetsSetForwardPassOverRequestsAndTheAuditTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1, always(grantsAlways))
		doneBy(t, s, "kept")
		s.produce(0, nil, s.requests("passed over", 5)...)
		require.Equal(t, proof.Unfinished, s.audited().Verdict(), "the control: they are not lost yet")

		s.commit(storeZero, 10, "")
		r := s.start(s.config("r1"))
		s.produce(0, nil, s.request("behind them"))
		require.Len(t, s.settled(6), 6)
		require.Empty(t, r.Health().Holds)
		require.NoError(t, r.stopped())
		require.EqualValues(t, 5, s.audited().Violations[proof.Lost].Total)
	})
}

// Offsets without our metadata, as a mirror translates them: what had ended above
// the watermark ends again, and nothing is in doubt.
func TestOffsetsWithoutMetadataKnowNoFinishedSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		gateway := countedBy(func(r *http.Request) (*http.Response, error) {
			if outID(r) == "hangs" {
				select {
				case <-released:
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return granted(1), nil
		})
		s := newShop(t, 1, gateway)
		first := s.start(s.config("r1"))
		s.produce(0, nil, s.request("hangs"))
		s.produce(0, nil, s.requests("other", 5)...)
		onceEach(t, 5, s.settled(5))
		first.killed()
		watermark, meta := s.position("coupongrant", storeZero)
		require.Zero(t, watermark)
		require.Len(t, meta.position.finished, 5)
		time.Sleep(time.Minute)

		s.commit(storeZero, watermark, "")
		close(released)
		second := s.start(s.config("r1"))
		s.settled(11)
		require.NoError(t, second.stopped())
		for i := range 5 {
			require.Equal(t, 2, gateway.of(fmt.Sprint("other-", i)))
		}
		require.EqualValues(t, 5, s.audited().Violations[proof.Doubled].Total)
	})
}

// The log ends below the commit: held. A person says how it goes on: at the log's
// end, where what is left was ended before; or at its beginning, where the topic
// was made anew and nothing in it was ended.
func TestTruncatedInputIsGoneOnFromWhereAPersonSays(t *testing.T) {
	for name, fromTheBeginning := range map[string]bool{"--accept-lost-input": false, "--reset-offsets --to-earliest": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(grantsAlways)
				s := newShop(t, 1, gateway)
				s.produce(0, nil, s.requests("there", 5)...)
				s.commit(storeZero, 40, "")
				r := s.start(s.config("r1"))
				time.Sleep(30 * time.Second)
				require.Contains(t, reasons(r.Health().Holds, holdLostInput), "the log ends at offset 5 but 40 is committed")
				require.NoError(t, r.stopped())
				require.Positive(t, s.audited().Violations[proof.CommittedBeyondEnd].Total, "the audit tells as well")

				cfg, called := s.config("r1"), 0
				if fromTheBeginning {
					s.commit(storeZero, 0, "")
					called = 1
				} else {
					cfg.AcceptLostInput = true
				}
				second := s.start(cfg)
				time.Sleep(30 * time.Second)
				s.produce(0, nil, s.requests("later", 3)...)
				onceEach(t, 3+5*called, s.settled(3+5*called))
				require.Empty(t, second.Health().Holds)
				require.NoError(t, second.stopped())
				for i := range 5 {
					require.Equal(t, called, gateway.of(fmt.Sprint("there-", i)))
				}
				for i := range 3 {
					require.Equal(t, 1, gateway.of(fmt.Sprint("later-", i)))
				}
				third := s.start(s.config("r1")) // the flag is needed once
				time.Sleep(30 * time.Second)
				require.Empty(t, third.Health().Holds)
				require.NoError(t, third.stopped())
			})
		})
	}
}

// The log ended below the commit, and producers have written past it before
// anybody looked. If its leader has changed in between, what the brokers say of
// the commit's epoch tells; else nothing does but the audit.
func TestTruncatedInputThatGrewPastTheCommit(t *testing.T) {
	for name, c := range map[string]struct {
		moved bool
		held  string
	}{
		"its leader changed":        {true, "input vanished before it was read"},
		"its leader did not change": {false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway := countedBy(grantsAlways)
				s := newShop(t, 1, gateway)
				s.madeAgain("ended", 5)
				if c.moved {
					s.moveLeader(s.topics.Store, 0)
				}
				s.produceAnew(s.requests("written", 5)...)
				s.produceAnew(s.requests("beyond", 2)...)
				offsets := kadm.Offsets{}
				offsets.Add(kadm.Offset{Topic: s.topics.Store, At: 10, LeaderEpoch: 0})
				s.restore(offsets)

				r := s.start(s.config("r1"))
				time.Sleep(time.Minute)
				held := reasons(r.Health().Holds, holdLostInput)
				require.NoError(t, r.stopped())
				if c.held != "" {
					require.Contains(t, held, c.held)
					require.Zero(t, gateway.total())
				} else {
					require.Empty(t, held)
					require.Equal(t, 2, gateway.total(), "those beyond the commit alone")
				}
				require.Positive(t, s.audited().Violations[proof.Lost].Total)

				cfg := s.config("r1")
				cfg.AcceptLostInput = true
				second := s.start(cfg)
				time.Sleep(time.Minute)
				require.Empty(t, second.Health().Holds)
				s.produceAnew(s.requests("after", 3)...)
				time.Sleep(time.Minute)
				require.NoError(t, second.stopped())
				if c.held != "" { // it goes on where the log is another than the committed one
					require.Equal(t, 5+2+3, gateway.total())
				} else {
					require.Equal(t, 2+3, gateway.total())
				}
				for i := range 5 {
					require.Zero(t, gateway.of(fmt.Sprint("ended-", i)), "below the cut")
				}
				onceEach(t, gateway.total(), s.allEnds())
			})
		})
	}
}

// The log ends above the watermark and below what had ended above it. What is
// written there now is another request, and is not taken for ended.
func TestTruncatedInputBelowTheFinishedSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		s.produce(0, nil, s.requests("there", 5)...)
		committed := metadata{nonce: newNonce(), position: position{watermark: 2, ceiling: 2, finished: []int64{3, 7}}}
		s.commit(storeZero, 2, committed.encode())
		r := s.start(s.config("r1"))
		time.Sleep(30 * time.Second)
		require.Contains(t, reasons(r.Health().Holds, holdLostInput), "the log ends at offset 5 but 8 is committed")
		require.NoError(t, r.stopped())

		cfg := s.config("r1")
		cfg.AcceptLostInput = true
		second := s.start(cfg)
		time.Sleep(30 * time.Second)
		s.produce(0, nil, s.requests("anew", 5)...) // 7 among them
		onceEach(t, 7, s.settled(7))
		require.NoError(t, second.stopped())
		require.Equal(t, 7, gateway.total())
		require.Zero(t, gateway.of("there-3"), "it has its end")
	})
}

// The registry comes back without its content. That is a hold. Who registers anew
// then gives ids as they come: what was written with the old ones cannot be read,
// and becomes a dead letter without a call; what is new goes on.
func TestRegistryThatCameBackEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway := countedBy(grantsAlways)
		s := newShop(t, 1, gateway)
		s.produce(0, nil, s.requests("old", 3)...)
		s.registry = handlerTransport{srfake.NewRegistry().Handler()}
		r := s.start(s.config("r1"))
		time.Sleep(time.Minute)
		require.Contains(t, reasons(r.Health().Holds, holdRegistry), "run `coupongrant topics create`")
		require.Zero(t, gateway.total())

		other, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://registry/subjects/another-teams/versions",
			strings.NewReader(`{"schema": "{\"type\": \"record\", \"name\": \"Another\", \"fields\": []}"}`))
		require.NoError(t, err)
		answer, err := s.registry.RoundTrip(other) // who comes first has the id that was ours
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		reg := s.newRegistry()
		own := schemas.Topics{Inputs: []string{s.topics.Store, s.topics.Loyalty}, Granted: s.topics.Granted, Failed: s.topics.Failed}
		require.NoError(t, reg.Register(t.Context(), own))
		require.NoError(t, reg.FetchOwn(t.Context(), own))
		s.codec = schemas.NewCodec(reg, schemas.Rules{})
		s.produce(0, nil, s.requests("new", 3)...)
		ends := s.settled(6)
		onceEach(t, 6, ends)
		letters := on(s.topics.DeadLetter, ends)
		require.Len(t, letters, 3)
		for _, letter := range letters {
			require.Equal(t, "unknown-schema", headerText(letter, headerReason))
		}
		require.Equal(t, 3, gateway.total())
		require.NoError(t, r.stopped())
	})
}
