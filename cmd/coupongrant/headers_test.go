package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// headersIn are the names of headers that a file of Go has as constants, by the
// constants' names.
func headersIn(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "header") {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			found[spec.Names[0].Name] = text
		}
		return true
	})
	require.NotEmpty(t, found, file)
	return found
}

// The processor's headers are read here under the names that it gives them.
func TestHeadersAreThoseThatTheProcessorWrites(t *testing.T) {
	written := headersIn(t, "../../processor/outcome.go")
	for _, file := range []string{"headers.go", "bench/arrivals.go"} {
		for constant, name := range headersIn(t, file) {
			require.Equal(t, written[constant], name, "%s in %s", constant, file)
		}
	}
}
