//go:build synctests

package processor

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// A replica goes back to a version that does not know the format of the commits:
// it holds those partitions, calls nobody, and leaves what is committed as it is
// for the version that knows it. Other partitions go on. That version then goes on
// as if nothing had been; to accept the commits instead ends again what had ended.
func TestNewerCommitMetadataIsAHoldAndStaysAsItIs(t *testing.T) {
	newer := func(ours string) string { // the same in a format to come, whose seal we happen to know
		body := strings.Replace(ours[:strings.LastIndexByte(ours, '.')], metadataVersion, "cg2", 1)
		return body + "." + checksum(body)
	}
	for name, c := range map[string]struct {
		text  func(ours string) string
		says  string
		force bool
	}{
		"and the newer one goes on":    {newer, `of a later version ("cg2", this program reads cg1): go on with that version`, false},
		"accepted all the same":        {newer, `--accept-foreign-offsets would end again what it knows to have ended`, true},
		"in a format that none can be": {func(string) string { return "\x02\xff{future}" }, "commit metadata is not ours or damaged", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heldInAnotherFormat(t, c.text, c.says, c.force)
			})
		})
	}
}

func heldInAnotherFormat(t *testing.T, text func(string) string, says string, force bool) {
	const ended = 5
	var answers atomic.Bool
	gateway := countedBy(func(r *http.Request) (*http.Response, error) {
		if outID(r) == "hangs" && !answers.Load() {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return granted(1), nil
	})
	s := newShop(t, 2, gateway)
	first := s.start(s.config("r1"))
	s.produce(0, nil, s.request("hangs"))
	s.produce(0, nil, s.requests("ended", ended)...)
	s.settled(ended)
	first.killed()
	answers.Store(true)
	time.Sleep(time.Minute)
	ours, _ := s.committed().Lookup(s.topics.Store, 0)
	require.Zero(t, ours.At, "five have ended above the watermark")
	theirs := text(ours.Metadata)
	s.commit(storeZero, ours.At, theirs)
	called := gateway.of("hangs")

	old := s.start(s.config("r1"))
	s.produce(1, nil, s.requests("elsewhere", ended)...)
	onceEach(t, 2*ended, s.settled(2*ended))
	time.Sleep(time.Minute)
	held := reasons(old.Health().Holds, holdMetadata)
	require.Contains(t, held, says)
	require.Equal(t, []string{holdMetadata}, kinds(old.Health().Holds), "of that partition alone")
	require.Equal(t, called, gateway.of("hangs"), "nobody of it is called")
	require.NoError(t, old.stopped())
	after, _ := s.committed().Lookup(s.topics.Store, 0)
	require.Equal(t, ours.At, after.At)
	require.Equal(t, theirs, after.Metadata, "it is left as it is")

	cfg, twice := s.config("r1"), 0
	if force {
		cfg.AcceptForeignOffsets, twice = true, 1
	} else {
		s.commit(storeZero, ours.At, ours.Metadata) // as the version reads it that wrote it
	}
	next := s.start(cfg)
	s.settled(2*ended + 1 + twice*ended)
	time.Sleep(time.Minute)
	require.Empty(t, next.Health().Holds)
	require.NoError(t, next.stopped())
	for i := range ended {
		require.Equal(t, 1+twice, gateway.of(fmt.Sprint("ended-", i)))
	}
	require.EqualValues(t, twice*ended, s.audited().Violations[proof.Doubled].Total)
}
