// Package figure writes the figures of the pages, as text and as drawings that need nothing
// to be looked at and change only where a figure does.
package figure

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Plot is lines over places.
type Plot struct {
	Title, Unit string
	Places      []string // their names, some of which may be empty
	Lines       []Series
}

// Series is one line: a value for each place. What is 0 is not there.
type Series struct {
	Name, Color string
	Dashed      bool
	Values      []float64
}

// Of a plot, in its own units.
const (
	plotWidth, plotHeight       = 760, 420
	plotLeft, plotRight         = 70, 20
	plotTop, plotBottom         = 80, 50
	plotSteps                   = 5 // of the scale
	legendStart, legendBaseline = plotLeft + 20, 50
	legendLine                  = 16      // from one line of names to the next
	legendGap, charWidth        = 34, 6.7 // between two names, and what a letter takes on average
	mostDots                    = 40      // of a line: what has more values is told by the line alone
)

// SVG is the drawing.
func (p Plot) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="%s">`+"\n",
		plotWidth, plotHeight, escaped(p.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n"+`<text x="%d" y="28" font-size="16">%s</text>`+"\n",
		plotWidth, plotHeight, plotLeft, escaped(p.Title))
	most := p.most()
	for step := range plotSteps + 1 {
		v := most * float64(step) / plotSteps
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#dadce0"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, p.y(v, most), plotWidth-plotRight, plotLeft-8, p.y(v, most)+4, Text(v))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-8, plotTop-14, escaped(p.Unit))
	for i, place := range p.Places {
		if place == "" {
			continue
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p.x(i), plotHeight-plotBottom+22, escaped(place))
	}
	legend, baseline := float64(legendStart), legendBaseline
	for _, s := range p.Lines {
		width := charWidth * float64(len(s.Name))
		if legend+9+width > plotWidth {
			legend, baseline = legendStart, baseline+legendLine
		}
		fmt.Fprintf(&b, `<g fill="%s"><circle cx="%.0f" cy="%d" r="4"/><text x="%.0f" y="%d" fill="#202124">%s</text>`+"\n", s.Color,
			legend, baseline-4, legend+9, baseline, escaped(s.Name))
		fmt.Fprintln(&b, p.line(s, most)+"</g>")
		legend += legendGap + width
	}
	return b.String() + "</svg>\n"
}

// line is one series as a path and a dot for each value, which tells it too.
func (p Plot) line(s Series, most float64) string {
	var path, dots strings.Builder
	move := "M"
	for i, v := range s.Values {
		if v == 0 {
			move = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", move, p.x(i), p.y(v, most))
		if len(s.Values) <= mostDots {
			fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="4"><title>%s, %s: %s</title></circle>`, p.x(i), p.y(v, most), escaped(s.Name), escaped(p.Places[i]), Text(v))
		}
		move = "L"
	}
	dash := ""
	if s.Dashed {
		dash = ` stroke-dasharray="5 4"`
	}
	return fmt.Sprintf(`<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>%s`, path.String(), s.Color, dash, dots.String())
}

func (p Plot) x(i int) float64 {
	width := float64(plotWidth-plotLeft-plotRight) / float64(max(1, len(p.Places)))
	return plotLeft + width*(float64(i)+0.5)
}

func (p Plot) y(v, most float64) float64 {
	return plotTop + (plotHeight-plotTop-plotBottom)*(1-v/most)
}

// most is the end of the scale: a round number above all values.
func (p Plot) most() float64 {
	highest := 1e-9
	for _, s := range p.Lines {
		for _, v := range s.Values {
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
