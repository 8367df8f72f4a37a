package figure

import (
	"fmt"
	"slices"
)

// Text keeps three digits that matter, and all of a whole number.
func Text(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%d", int64(v))
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// Bound is what a figure must keep to, if anything, as people read it.
func Bound(atLeast, atMost *float64) string {
	switch {
	case atLeast != nil:
		return "at least " + Text(*atLeast)
	case atMost != nil:
		return "at most " + Text(*atMost)
	default:
		return "-"
	}
}

// Median of no values is 0.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
