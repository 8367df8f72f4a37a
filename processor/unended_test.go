package processor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// What a session leaves of each partition, for those after it.
func TestWhatWasReadAndHasNotEndedIsNoted(t *testing.T) {
	before := kadm.TopicID{1}
	for name, row := range map[string]struct {
		do     func(o *owned)
		member bool
		want   *span
	}{
		"nothing was read":            {func(*owned) {}, true, &span{before, 3, 9, false}},
		"all has ended":               {func(o *owned) { o.next, o.watermark = 12, 12 }, true, nil},
		"nothing but markers is left": {func(o *owned) { o.Pass(11, 0) }, true, nil},
		"one has not ended": {func(o *owned) {
			o.Admit(11, 1, 0)
			o.Admit(12, 1, 0)
		}, true, &span{before, 0, 13, false}},
		"of another topic": {func(o *owned) {
			o.topicID = kadm.TopicID{2}
			o.Admit(11, 1, 0)
		}, true, &span{kadm.TopicID{2}, 0, 12, false}},
		"all of another has ended": {func(o *owned) { o.topicID, o.next, o.watermark = kadm.TopicID{2}, 12, 12 }, true, &span{before, 3, 9, false}},
		"somebody else has it":     {nil, true, nil},
		"nobody knows who has it":  {nil, false, &span{before, 3, 9, false}},
	} {
		t.Run(name, func(t *testing.T) {
			p := partition{"store", 0}
			ws := newWindows(10, 1<<20, 1<<20)
			if row.do != nil {
				o := ws.Assign(p, position{})
				o.topicID = before
				row.do(o)
			}
			spans := map[partition]*span{p: {before, 3, 9, false}}
			ws.noteUnended(spans, row.member)
			require.Equal(t, row.want, spans[p])
		})
	}
}

// It is told once that a topic was made anew, whoever gets the partition then.
func TestTopicMadeAnewIsToldOnce(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	know := knowledge{unended: map[partition]*span{
		{"anew", 2}: {topic: kadm.TopicID{1}, from: 3, to: 9}, {"same", 0}: {topic: kadm.TopicID{2}, from: 3, to: 9},
		{"without", 0}: {from: 3, to: 9}, {"old brokers", 0}: {topic: kadm.TopicID{3}, from: 3, to: 9},
	}}
	for range 2 {
		know.tellUnended(kadm.TopicDetails{"anew": {ID: kadm.TopicID{4}}, "same": {ID: kadm.TopicID{2}}, "without": {ID: kadm.TopicID{5}}, "old brokers": {}}, log)
	}
	require.Equal(t, 1, strings.Count(text.String(), "\n"), text.String())
	require.Contains(t, text.String(), `"input lost: its topic was made anew before all that was read of it had ended" topic=anew partition=2 from=3 to=8`)
}
