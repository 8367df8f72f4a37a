package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/coupongrant/coupongrant/topclient"
)

// value is one setting as text, which is what every source of settings can say.
// The error of Set is the mend, of a secret after what is wrong with it, and does not
// repeat the text.
type value interface {
	Set(text string) error
	String() string
	YAML() string // as it stands in a file
}

// scalar is a value of one word.
type scalar[T any] struct {
	to    *T
	parse func(string) (T, error)
}

func (s scalar[T]) Set(text string) error {
	v, err := s.parse(strings.TrimSpace(text))
	if err != nil {
		return err
	}
	*s.to = v
	return nil
}

func (s scalar[T]) String() string { return fmt.Sprint(*s.to) }

func (s scalar[T]) YAML() string {
	switch v := any(*s.to).(type) {
	case bool, int, int32, uint32, float64, time.Duration:
		return fmt.Sprint(v)
	default:
		return quoted(s.String())
	}
}

// list is a value of several words: a list in a file, commas elsewhere.
type list[T any] struct {
	to    *[]T
	parse func(string) (T, error)
}

func (l list[T]) Set(text string) error {
	var all []T
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		v, err := l.parse(word)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	*l.to = all
	return nil
}

func (l list[T]) String() string {
	words := make([]string, len(*l.to))
	for i, v := range *l.to {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ",")
}

// YAML leaves the quotes to the library: in a list more texts need them.
func (l list[T]) YAML() string {
	var node yaml.Node
	if node.Encode(*l.to) != nil {
		return quoted(l.String())
	}
	node.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&node)
	if err != nil {
		return quoted(l.String())
	}
	return strings.TrimSpace(string(out))
}

// quoted is a text as YAML reads it back: in quotes where it must be.
func quoted(text string) string {
	out, err := yaml.Marshal(text)
	if err != nil || strings.Count(string(out), "\n") > 1 {
		return strconv.Quote(text)
	}
	return strings.TrimSpace(string(out))
}

func textValue(to *string) value {
	return scalar[string]{to, func(s string) (string, error) { return s, nil }}
}

func wordValue[T ~string](to *T, allowed ...T) value {
	return scalar[T]{to, func(s string) (T, error) {
		var words []string
		for _, a := range allowed {
			if s == string(a) {
				return a, nil
			}
			words = append(words, string(a))
		}
		return "", errors.New("use " + strings.Join(words, " or "))
	}}
}

func durationValue(to *time.Duration) value {
	return scalar[time.Duration]{to, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("use a duration with its unit, such as 1500ms, 45s or 24h")
		}
		return d, nil
	}}
}

func boolValue(to *bool) value {
	return scalar[bool]{to, func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New("use true or false")
		}
		return b, nil
	}}
}

func floatValue(to *float64) value {
	return scalar[float64]{to, func(s string) (float64, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return 0, errors.New("use a number such as 0.5 or 200")
		}
		return f, nil
	}}
}

func intValue(to *int) value {
	return scalar[int]{to, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, errors.New("use a whole number")
		}
		return n, nil
	}}
}

func uint32Value(to *uint32) value {
	return scalar[uint32]{to, func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, errors.New("use a whole number, 0 or above")
		}
		return uint32(n), nil
	}}
}

func textsValue(to *[]string) value {
	return list[string]{to, func(s string) (string, error) { return s, nil }}
}

func numbersValue(to *[]int32) value {
	return list[int32]{to, func(s string) (int32, error) {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return 0, errors.New("use whole numbers, separated by commas")
		}
		return int32(n), nil
	}}
}

// mechanismValue is one of those, or none.
func mechanismValue(to *mechanism) value {
	return scalar[mechanism]{to, func(s string) (m mechanism, err error) {
		if s == "" {
			return saslNone, nil
		}
		err = wordValue(&m, saslPlain, saslScram256, saslScram512, saslOAuthBearer).Set(s)
		return m, err
	}}
}

// risksValue is a list of words that are known.
func risksValue(to *[]risk) value {
	return list[risk]{to, func(s string) (r risk, err error) {
		err = wordValue(&r, readableFiles, secretsInClear).Set(s)
		return r, err
	}}
}

// secretText is a value that prints as redacted. It is read as a secret's file is, so
// that no blank is taken off a secret that may have it.
type secretText[T any] struct {
	to   *T
	hide func(string) T
}

func (s secretText[T]) Set(text string) error {
	secret, err := topclient.SecretIn([]byte(text))
	if err != nil {
		return err
	}
	*s.to = s.hide(secret.Reveal())
	return nil
}

func (s secretText[T]) String() string { return fmt.Sprint(*s.to) }

func (s secretText[T]) YAML() string { return quoted(s.String()) }

func secretValue[T any](to *T, hide func(string) T) value { return secretText[T]{to, hide} }
