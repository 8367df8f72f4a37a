package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	directModule  = regexp.MustCompile(`(?m)^(?:require |\t)(\S+) v[^\s]+$`) // an indirect one has a comment
	moduleOfTable = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]{10,} \\|$")
)

// Nobody adds a dependency without saying what it is for, and the page keeps none
// that is gone.
func TestEveryDirectDependencyHasItsReason(t *testing.T) {
	var direct, told []string
	for _, found := range directModule.FindAllStringSubmatch(fileText(t, "../../go.mod"), -1) {
		direct = append(direct, found[1])
	}
	for _, found := range moduleOfTable.FindAllStringSubmatch(fileText(t, "../../docs/dependencies.md"), -1) {
		told = append(told, found[1])
	}
	require.Contains(t, direct, "github.com/twmb/franz-go")
	require.NotContains(t, direct, "github.com/klauspost/compress", "it is indirect")
	require.ElementsMatch(t, direct, told, "go.mod and docs/dependencies.md")
}
