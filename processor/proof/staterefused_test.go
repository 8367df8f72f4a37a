package proof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateIsNotKeptOfALookThatCouldNotReadAll(t *testing.T) {
	dir := t.TempDir()
	c := openTestState(t, dir)
	c.Unread(Unread{Topic: "granted", Why: "a transaction is open since offset 0"})
	require.NoError(t, c.Save(c.Report()))
	require.NoFileExists(t, filepath.Join(dir, "state"))
}

func TestStateOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := openTestState(t, dir)
	require.NoError(t, c.Save(c.Report()))
	require.NoError(t, c.Close())
	other := testTopics()
	other.Failed = "other"
	ids := map[string]string{"store": "1"}
	for _, c := range []struct {
		name   string
		topics Topics
		state  state
		want   string
	}{
		{"group", testTopics(), state{dir, "h", ids}, "other topics or of another group"},
		{"topics", other, state{dir, "g", ids}, "other topics or of another group"},
		{"topic made again", testTopics(), state{dir, "g", map[string]string{"store": "2"}}, "topic store was deleted and made again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openState(c.topics, c.state)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, dir)
		})
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	for _, name := range []string{"state", "facts"} {
		for _, damage := range []string{"cut", "changed"} {
			t.Run(name+" "+damage, func(t *testing.T) {
				dir := t.TempDir()
				c := openTestState(t, dir)
				h := newHistory(1, 300)
				require.NoError(t, c.Save(h.look(c, 0, len(h.steps))))
				require.NoError(t, c.Close())
				file := filepath.Join(dir, name)
				bytes, err := os.ReadFile(file)
				require.NoError(t, err)
				if damage == "cut" {
					bytes = bytes[:len(bytes)-1]
				} else {
					bytes[0] ^= 0xff
				}
				require.NoError(t, os.WriteFile(file, bytes, 0o600))
				c, err = openState(testTopics(), state{dir: dir, group: "g", topicIDs: map[string]string{"store": "1"}})
				if err == nil {
					c.Report()
					err = c.Err()
				}
				require.ErrorContains(t, err, dir)
			})
		}
	}
}

func TestReadRefusesATopicThatBecameShorter(t *testing.T) {
	l := newLive(t, 5)
	l.source.State = t.TempDir()
	checker, err := Read(t.Context(), l.source)
	require.NoError(t, err)
	checker.read[topicPartition{"store", 0}] += 10
	require.NoError(t, checker.Save(checker.Report()))
	require.NoError(t, checker.Close())
	_, err = Read(t.Context(), l.source)
	require.ErrorContains(t, err, "it was truncated or made again")
}

func TestReadRefusesATopicThatWasMadeAgain(t *testing.T) {
	l := newLive(t, 5)
	l.source.State = t.TempDir()
	checker, err := Read(t.Context(), l.source)
	require.NoError(t, err)
	require.NoError(t, checker.Save(checker.Report()))
	require.NoError(t, checker.Close())
	_, err = l.admin.DeleteTopics(t.Context(), "failed")
	require.NoError(t, err)
	_, err = l.admin.CreateTopic(t.Context(), 1, 1, nil, "failed")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = Read(t.Context(), l.source)
		return err != nil && strings.Contains(err.Error(), "topic failed was deleted and made again")
	}, time.Minute, 10*time.Millisecond)
}
