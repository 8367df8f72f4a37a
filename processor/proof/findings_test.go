//go:build chaos || apart

package proof_test

import (
	"fmt"
	"maps"
	"sync"
)

// findings are what is broken, by kind; of each kind the first few are told.
type findings struct {
	mu    sync.Mutex
	total map[string]int
	told  []string
}

const toldOfKind = 10

func (f *findings) add(kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total == nil {
		f.total = map[string]int{}
	}
	f.total[kind]++
	if f.total[kind] <= toldOfKind {
		f.told = append(f.told, kind+": "+fmt.Sprintf(format, args...))
	}
}

// count adds one that nobody can name.
func (f *findings) count(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total == nil {
		f.total = map[string]int{}
	}
	f.total[kind]++
}

func (f *findings) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := append([]string{}, f.told...)
	for kind, n := range f.total {
		if n > toldOfKind {
			out = append(out, fmt.Sprintf("%s: %d in all", kind, n))
		}
	}
	return out
}

func (f *findings) totals() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	maps.Copy(out, f.total)
	return out
}
