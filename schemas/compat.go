package schemas

import (
	"errors"
	"fmt"
	"slices"
)

// readable returns nil if every value that writer describes can be read as
// reader, by Avro's rules of schema resolution. Two versions are compatible
// under FULL if each reads the other.
//
// It is stricter than Avro in one point: Avro ignores logical types, but a
// timestamp in microseconds is not one in milliseconds.
func readable(reader, writer *node) error {
	switch {
	case writer.kind == "union":
		for _, b := range writer.branches {
			if err := readable(reader, b); err != nil {
				return err
			}
		}
		return nil
	case reader.kind == "union":
		return readableByBranch(reader, writer)
	case reader.kind != writer.kind:
		return readableByPromotion(reader, writer)
	case reader.logical != "" && writer.logical != "" && reader.logical != writer.logical:
		return fmt.Errorf("it is %.40q, want %s", writer.logical, reader.logical) // whatever text it is
	}
	return readableOfKind(reader, writer)
}

func readableByBranch(reader, writer *node) error {
	for _, b := range reader.branches {
		if readable(b, writer) == nil {
			return nil
		}
	}
	return fmt.Errorf("no branch of the union takes %s", writer.kind)
}

func readableByPromotion(reader, writer *node) error {
	promotions := map[string][]string{
		"int":    {"long", "float", "double"},
		"long":   {"float", "double"},
		"float":  {"double"},
		"string": {"bytes"},
		"bytes":  {"string"},
	}
	if !slices.Contains(promotions[writer.kind], reader.kind) {
		return fmt.Errorf("it is %s, want %s", writer.kind, reader.kind)
	}
	return nil
}

func readableOfKind(reader, writer *node) error {
	if reader.shortName() != writer.shortName() {
		return fmt.Errorf("it is %s, want %s", writer.name, reader.name)
	}
	switch reader.kind {
	case "array", "map":
		return readable(reader.items, writer.items)
	case "fixed":
		if reader.size != writer.size {
			return errors.New("the size differs")
		}
	case "enum":
		return readableSymbols(reader, writer)
	case "record":
		return readableFields(reader, writer)
	}
	return nil
}

func readableSymbols(reader, writer *node) error {
	if slices.Contains(reader.symbols, reader.fallback) {
		return nil
	}
	for _, s := range writer.symbols {
		if !slices.Contains(reader.symbols, s) {
			return fmt.Errorf("symbol %s is unknown and there is no default", s)
		}
	}
	return nil
}

func readableFields(reader, writer *node) error {
	for _, f := range reader.fields {
		w, ok := writer.fieldNamed(f.name)
		if !ok && !f.hasDefault {
			return fmt.Errorf("%s is missing and has no default", f.name)
		}
		if !ok {
			continue
		}
		if err := readable(f.typ, w.typ); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}
