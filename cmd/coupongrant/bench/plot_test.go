package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plot is lines over named places, as SVG.
type plot struct {
	title, unit string
	places      []string
	lines       []series
}

// series is one line. What is 0 is not there.
type series struct {
	name, color string
	dashed      bool
	values      []float64
}

// Of a plot, in its own units.
const (
	plotWidth, plotHeight       = 760, 420
	plotLeft, plotRight         = 70, 20
	plotTop, plotBottom         = 80, 50
	plotSteps                   = 5 // of the scale
	legendWidth, legendBaseline = 185, 58
)

func (p plot) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="%s">`+"\n",
		plotWidth, plotHeight, escaped(p.title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n"+`<text x="%d" y="28" font-size="16">%s</text>`+"\n",
		plotWidth, plotHeight, plotLeft, escaped(p.title))
	most := p.most()
	for step := range plotSteps + 1 {
		v := most * float64(step) / plotSteps
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#dadce0"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, p.y(v, most), plotWidth-plotRight, plotLeft-8, p.y(v, most)+4, number(v))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-8, plotTop-14, escaped(p.unit))
	for i, place := range p.places {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p.x(i), plotHeight-plotBottom+22, escaped(place))
	}
	for i, s := range p.lines {
		fmt.Fprintf(&b, `<g fill="%s"><circle cx="%d" cy="%d" r="4"/><text x="%d" y="%d" fill="#202124">%s</text>`+"\n", s.color,
			plotLeft+i*legendWidth, legendBaseline-4, plotLeft+i*legendWidth+9, legendBaseline, escaped(s.name))
		fmt.Fprintln(&b, p.line(s, most)+"</g>")
	}
	return b.String() + "</svg>\n"
}

// line is one series as a path and a dot for each value, which tells it too.
func (p plot) line(s series, most float64) string {
	var path, dots strings.Builder
	move := "M"
	for i, v := range s.values {
		if v == 0 {
			move = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", move, p.x(i), p.y(v, most))
		fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="4"><title>%s, %s: %s</title></circle>`, p.x(i), p.y(v, most), escaped(s.name), escaped(p.places[i]), number(v))
		move = "L"
	}
	dash := ""
	if s.dashed {
		dash = ` stroke-dasharray="5 4"`
	}
	return fmt.Sprintf(`<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>%s`, path.String(), s.color, dash, dots.String())
}

func (p plot) x(i int) float64 {
	width := float64(plotWidth-plotLeft-plotRight) / float64(max(1, len(p.places)))
	return plotLeft + width*(float64(i)+0.5)
}

func (p plot) y(v, most float64) float64 {
	return plotTop + (plotHeight-plotTop-plotBottom)*(1-v/most)
}

// most is the end of the scale: a round number above all values.
func (p plot) most() float64 {
	highest := 1e-9
	for _, s := range p.lines {
		for _, v := range s.values {
			highest = max(highest, v)
		}
	}
	unit := math.Pow(10, math.Floor(math.Log10(highest)))
	for _, steps := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 7.5} {
		if steps*unit >= highest {
			return steps * unit
		}
	}
	return 10 * unit
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

func TestPlotIsWellFormedAndInItsFrame(t *testing.T) {
	p := plot{title: "a < b", unit: "ms", places: []string{"p50", "p99"}, lines: []series{{name: "one", color: "#000", values: []float64{3, 170}}}}
	require.NoError(t, xml.Unmarshal([]byte(p.svg()), new(struct{})))
	require.InDelta(t, 200, p.most(), 1e-9)
	require.InDelta(t, plotTop, p.y(200, 200), 1e-9)
	require.InDelta(t, plotHeight-plotBottom, p.y(0, 200), 1e-9)
}
