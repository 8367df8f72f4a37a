package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// printable quotes a text that holds more than visible characters.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// shellWord is a text without control characters as a shell reads it back.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/:,", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func attempts(n *int) string {
	switch {
	case n == nil:
		return "attempts unknown"
	case *n == 1:
		return "1 attempt"
	default:
		return strconv.Itoa(*n) + " attempts"
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func joined[T ~string](words []T, separator string) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return strings.Join(all, separator)
}

// sortedKeys are in the same order whenever they are shown.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
