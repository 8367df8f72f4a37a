package proof_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fuzzPage = figuresPage{
	raw: "../../docs/raw/fuzz-*.json", path: "../../docs/guarantees.md",
	begin: "<!-- figures: fuzz, made by `make figures` -->", end: "<!-- figures end -->",
}

// fuzzResult is what `make fuzz-long` leaves of a target. A target that fails
// leaves none.
type fuzzResult struct {
	Target     string  `json:"target"`
	Package    string  `json:"package"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Executions int64   `json:"executions"`
	Corpus     int     `json:"corpus"`
	BoundMiB   int     `json:"bound_mib"`
	Version    string  `json:"version"`
	Go         string  `json:"go"`
	Date       string  `json:"date"`
}

func renderFuzz(results []fuzzResult) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| target | processor time, h | inputs tried | kept | memory | of |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, r := range results {
		fmt.Fprintf(&b, "| `%s` (%s) | %.2f | %d | %d | %d MiB | %s, %s, %s |\n",
			r.Target, r.Package, r.CPUSeconds/3600, r.Executions, r.Corpus, r.BoundMiB, r.Version, r.Go, r.Date)
	}
	return b.String()
}

func TestFuzzFiguresAreThoseOfTheRawResults(t *testing.T) {
	checkFigures(t, fuzzPage, func(texts [][]byte) string {
		var results []fuzzResult
		for _, text := range texts {
			var r fuzzResult
			require.NoError(t, json.Unmarshal(text, &r))
			results = append(results, r)
		}
		return renderFuzz(results)
	})
}

func TestFuzzFiguresTellTheTime(t *testing.T) {
	require.Contains(t, renderFuzz([]fuzzResult{{Target: "FuzzX", Package: "p", CPUSeconds: 5400, Executions: 7, Corpus: 3, BoundMiB: 256}}),
		"| `FuzzX` (p) | 1.50 | 7 | 3 | 256 MiB |")
}
