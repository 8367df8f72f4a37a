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
	p := Plot{Lines: []Series{{Name: "calls alone"}, {Name: "loop without promises"}, {Name: "coupongrant"}, {Name: "what the calls' time allows"}}}
	places := regexp.MustCompile(`<text x="(\d+)" y="50" fill="#202124">([^<]*)`).FindAllStringSubmatch(p.SVG(), -1)
	require.Len(t, places, len(p.Lines))
	before := 0.0
	for _, place := range places {
		x, err := strconv.ParseFloat(place[1], 64)
		require.NoError(t, err)
		require.Greater(t, x, before, "beside the one before")
		before = x + charWidth*float64(len(place[2]))
		require.Less(t, before, float64(plotWidth))
	}
}
