package main

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

const analystsPage = "../../docs/analytics.md"

// members of a schema and of the records within it.
func members(part any) (names []string) {
	switch part := part.(type) {
	case []any:
		for _, branch := range part {
			names = append(names, members(branch)...)
		}
	case map[string]any:
		fields, _ := part["fields"].([]any)
		for _, f := range fields {
			field := f.(map[string]any)
			names = append(names, field["name"].(string))
			names = append(names, members(field["type"])...)
		}
		names = append(names, members(part["type"])...)
		names = append(names, members(part["items"])...)
	}
	return names
}

// The contract has a row for every member, every reason and every header.
func TestAnalystsPageTellsOfEveryMember(t *testing.T) {
	page, err := os.ReadFile(analystsPage)
	require.NoError(t, err)
	named := map[string]bool{}
	for _, found := range regexp.MustCompile("`(?:[a-z_]*\\.)?([A-Za-z_-]+)`").FindAllSubmatch(page, -1) {
		named[string(found[1])] = true
	}
	var all []string
	for _, event := range []string{"CouponGranted", "CouponGrantFailed", "CouponGrantRequested"} {
		text, err := os.ReadFile("../../schemas/" + event + ".avsc")
		require.NoError(t, err)
		var schema any
		require.NoError(t, json.Unmarshal(text, &schema))
		of := members(schema)
		require.Contains(t, of, "milestone", "it looks into records")
		all = append(all, of...)
	}
	require.Contains(t, all, "about", "it looks into arrays")
	for _, reason := range schemas.FailureReasons() {
		all = append(all, string(reason))
	}
	for _, reason := range schemas.DeadLetterReasons() {
		all = append(all, string(reason))
	}
	all = append(all, headerSource, headerReason, headerError, headerAttempts, headerFirstAttempt, headerInDoubt, headerFailedAt, headerValueSize)
	for _, name := range all {
		require.True(t, named[name], "%s says nothing of %s", analystsPage, name)
	}
	require.False(t, named["a_later_member"])
}
