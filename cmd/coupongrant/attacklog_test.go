package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// What brokers, a registry, a gateway or a producer say stands in one line of the
// log, as a value, and can be no line of its own nor move a terminal's cursor.
func TestAttackTextOfStrangersIsNoLineOfTheLog(t *testing.T) {
	for _, text := range []string{
		"a\nlevel=INFO msg=\"all is well\"", "a\r\n{\"level\":\"INFO\",\"msg\":\"all is well\"}", "\x1b[2J\x1b[1;1H", "\x9b2J", "a\u2028b\u2029c", "\"}\n{\"", "a=b c=\"d", "\x00\x07\x08\x7f",
		strings.Repeat("\n", 1000), "\xff\xfe", "\u202egnp.exe",
	} {
		for _, format := range []string{"json", "text"} {
			var out output
			log := newLogger(LogConfig{Level: "info", Format: format}, &out)
			log.Error("the registry has no answer", "error", errors.New(text), "request_id", text)
			log.With("from", text).Error("again")
			lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
			require.Len(t, lines, 2, "%s: %q", format, text)
			for _, line := range lines {
				line = strings.TrimSuffix(line, "\n")
				require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }), "%s: %q", format, line)
				if format == "json" {
					require.True(t, json.Valid([]byte(line)), line)
				} else {
					require.False(t, strings.ContainsFunc(line, unicode.IsControl), "%q", line)
					require.Regexp(t, `^time=\S+ level=ERROR msg=`, line)
				}
			}
		}
	}
}
