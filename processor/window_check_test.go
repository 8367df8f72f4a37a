package processor

import "fmt"

// check asserts the invariants of a window; tests and fuzzing call it after each step.
func (w *window) check() error {
	last, live, bytes, results := w.watermark-1, 0, 0, 0
	for _, e := range w.entries {
		if e.offset <= last {
			return fmt.Errorf("offset %d after %d", e.offset, last)
		}
		if e.past <= e.offset || e.past > w.next {
			return fmt.Errorf("offset %d takes the watermark to %d, next is %d", e.offset, e.past, w.next)
		}
		last = e.offset
		if e.state != ended {
			live++
			bytes += e.size
		}
		if e.state == finished {
			results++
		}
	}
	switch {
	case last >= w.next:
		return fmt.Errorf("offset %d at or above next %d", last, w.next)
	case live != w.live || bytes != w.bytes:
		return fmt.Errorf("%d live of %d bytes, counted %d of %d", live, bytes, w.live, w.bytes)
	case results != w.results:
		return fmt.Errorf("%d results, counted %d", results, w.results)
	case w.ceiling < w.watermark:
		return fmt.Errorf("ceiling %d below watermark %d", w.ceiling, w.watermark)
	}
	return nil
}
