package main

import (
	"encoding/json"
	"io"
)

// writeIndented writes one object for people and programs; what it holds is no markup.
func writeIndented(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// jsonLines writes one object a line.
func jsonLines(w io.Writer) func(any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode
}

func eachJSON[T any](w io.Writer, all []T) error {
	write := jsonLines(w)
	for _, one := range all {
		if err := write(one); err != nil {
			return err
		}
	}
	return nil
}
