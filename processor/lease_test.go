package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeaseEndsASessionTimeoutAfterWhatWasAnswered(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	for name, row := range map[string]struct {
		answered []float64 // when what was answered was sent
		valid    float64   // until then; 0: not at all
	}{
		"nobody answered yet":                     {nil, 0},
		"the first answer of all":                 {[]float64{0}, 10},
		"each answer from when it was sent":       {[]float64{0, 3, 6}, 16},
		"answers out of order":                    {[]float64{0, 6, 3}, 16},
		"the first after a silence says nothing":  {[]float64{0, 3, 30}, 13},
		"the second does":                         {[]float64{0, 3, 30, 33}, 43},
		"unless the silence goes on between them": {[]float64{0, 3, 30, 40}, 13},
		"a silence just short of the timeout":     {[]float64{0, 9.999}, 19.999},
		"answered after a stop, but sent before":  {[]float64{0, 3, 6, 30}, 16},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLease(10 * time.Second)
			for _, sent := range row.answered {
				l.answered(at(sent))
			}
			if row.valid > 0 {
				require.True(t, l.valid(at(row.valid-0.001)))
			}
			require.False(t, l.valid(at(row.valid)))
		})
	}
}
