package figure

import (
	"encoding/xml"
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
