package processor

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// leaving is a session as far as partitions come to it and leave.
func leaving() *session {
	log := slog.New(slog.DiscardHandler)
	return &session{
		windows: newWindows(1000, 1<<20, 1<<20), holds: newHolds(log, func(string, int) {}), log: log, recent: newRecent(pastTopics, 10),
		scheduler: &scheduler{inbox: newMailbox[func()](newBell())}, resolver: &resolver{wanted: newMailbox[int](newBell())},
		pending: map[int][]*task{}, tx: &transaction{forms: map[*end]form{}},
	}
}

// While the registry is away partitions come and go, and with them each time the same
// records that wait for a schema.
func TestWhatWaitsForASchemaLeavesWithItsPartition(t *testing.T) {
	const away = 7
	s, kept := leaving(), partition{"store", 1}
	s.await(keyed(s.windows.Assign(kept, position{}).assignment, 0), away)
	for range 3 {
		o := s.windows.Assign(partition{"store", 0}, position{})
		s.await(keyed(o.assignment, 0), away)
		s.await(keyed(o.assignment, 1), away+1)
		s.drop(o.partition)
	}
	require.Len(t, s.pending, 1)
	require.Len(t, s.pending[away], 1)
	require.Equal(t, kept, s.pending[away][0].partition, "others wait on")
}

// An end whose record was too large for its topic is remembered, with its record, until
// it is committed: by its next owner, where its partition leaves us first.
func TestWhatWasTooLargeLeavesWithItsPartition(t *testing.T) {
	s := leaving()
	o, other := s.windows.Assign(partition{"store", 0}, position{}), s.windows.Assign(partition{"store", 1}, position{})
	leaves, stays := &end{task: keyed(o.assignment, 0)}, &end{task: keyed(other.assignment, 0)}
	s.tx.forms[leaves], s.tx.forms[stays] = 1, -1
	s.drop(o.partition)
	require.Equal(t, map[*end]form{stays: -1}, s.tx.forms)
}
