package figure

import (
	"encoding/xml"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlotIsWellFormedAndInItsFrame(t *testing.T) {
	p := Plot{Title: "a < b", Unit: "ms", Places: []string{"p50", "p99"}, Lines: []Series{{Name: "one", Color: "#000", Values: []float64{3, 170}}}}
	require.NoError(t, xml.Unmarshal([]byte(p.SVG()), new(struct{})))
	require.InDelta(t, 200, p.most(), 1e-9)
	require.InDelta(t, plotTop, p.y(200, 200), 1e-9)
	require.InDelta(t, plotHeight-plotBottom, p.y(0, 200), 1e-9)
}

func TestLegendStaysInItsFrame(t *testing.T) {
	short := []Series{{Name: "calls alone"}, {Name: "loop without promises"}, {Name: "coupongrant"}, {Name: "what the calls' time allows"}}
	long := append(short[:2:2], Series{Name: "goroutines beyond those of calls"}, Series{Name: "file descriptors beyond the gateway's connections"})
	for lines, series := range map[int][]Series{1: short, 2: long} {
		p := Plot{Lines: series}
		places := regexp.MustCompile(`<text x="(\d+)" y="(\d+)" fill="#202124">([^<]*)`).FindAllStringSubmatch(p.SVG(), -1)
		require.Len(t, places, len(series))
		before, rows := 0.0, map[float64]bool{}
		for _, place := range places {
			x, err := strconv.ParseFloat(place[1], 64)
			require.NoError(t, err)
			y, err := strconv.ParseFloat(place[2], 64)
			require.NoError(t, err)
			if !rows[y] {
				before, rows[y] = 0, true
			}
			require.Greater(t, x, before, "beside the one before")
			require.Less(t, y, float64(plotTop))
			before = x + charWidth*float64(len(place[3]))
			require.Less(t, before, float64(plotWidth))
		}
		require.Len(t, rows, lines)
	}
}
