package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// source is where settings stand: raw values by key.
type source struct {
	name   string         // as errors and `config print` say it
	values map[string]any // nil: none
}

// loadConfig lets flags win over variables, variables over the file, the file
// over the defaults. Its error joins one line for each problem.
func loadConfig(cfg Config, path string, environ []string, flags *pflag.FlagSet) (Config, error) {
	all := cfg.settings()
	sources, err := readSources(path, environ, flags, all)
	errs := []error{err}
	cfg.Origins = map[string]string{}
	for _, s := range all {
		origin, err := s.take(sources)
		errs = append(errs, err)
		if origin != "" {
			cfg.Origins[s.key] = origin
		}
	}
	errs = append(errs, cfg.derive())
	if err := errors.Join(errs...); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// loadAdminListen reads that setting alone: where a replica listens that has long begun.
// trouble is what else is wrong where it may stand, and is no error.
func loadAdminListen(path string, environ []string, flags *pflag.FlagSet) (listen string, trouble, err error) {
	cfg := defaultConfig()
	all := cfg.settings()
	sources, trouble := readSources(path, environ, flags, all)
	at := slices.IndexFunc(all, func(s setting) bool { return s.key == keyAdminListen })
	_, err = all[at].take(sources)
	return cfg.AdminListen, trouble, errors.Join(err, checkAddress(keyAdminListen, cfg.AdminListen))
}

// readSources gives all of them, the one that wins last, with what can be read of each
// whatever its error.
func readSources(path string, environ []string, flags *pflag.FlagSet, all []setting) ([]source, error) {
	file, fileErr := fromFile(path, all)
	variables, variablesErr := fromEnviron(environ, all)
	return []source{file, variables, fromFlags(flags, all)}, errors.Join(fileErr, variablesErr)
}

// take gives the setting its value from where that stands, and says where; empty: nowhere.
func (s setting) take(sources []source) (origin string, err error) {
	for _, from := range slices.Backward(sources) {
		if raw := from.values[s.key]; raw != nil {
			return from.name, from.set(s, raw)
		}
	}
	return "", nil
}

// set gives a setting its value. A secret is not repeated in the error.
func (f source) set(s setting, raw any) error {
	text, err := asText(raw)
	if err == nil {
		err = s.value.Set(text)
	}
	if err == nil {
		return nil
	}
	if s.secret {
		return fmt.Errorf("%s (%s) %w", s.key, f.name, err)
	}
	return fmt.Errorf("%s is %q (%s): %w", s.key, text, f.name, err)
}

// asText joins a list.
func asText(raw any) (string, error) {
	words, isList := raw.([]string)
	if !isList {
		return fmt.Sprint(raw), nil
	}
	for _, word := range words {
		if strings.Contains(word, ",") {
			return word, errors.New("a member of a list cannot hold a comma")
		}
	}
	return strings.Join(words, ","), nil
}

func fromFile(path string, all []setting) (source, error) {
	from := source{name: "file " + path}
	if path == "" {
		return from, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return from, fmt.Errorf("--config: %w", err)
	}
	if from.values, err = readYAML(text); err != nil {
		// The parser's own words may hold a piece of the file, which may hold a secret.
		why := ""
		var ours yamlError
		if errors.As(err, &ours) {
			why = " (" + ours.Error() + ")"
		} else if n, found := lineOf(err); found {
			why = fmt.Sprintf(" (see line %d)", n)
		}
		return from, fmt.Errorf("%s is not YAML as it should be%s: write sections with keys below them, each once, as `coupongrant config print` does", path, why)
	}
	return from, refuseUnknown(from, all)
}

// lineOf is where the parser says that something is wrong.
func lineOf(err error) (n int, found bool) {
	_, after, found := strings.Cut(err.Error(), "line ")
	if !found {
		return 0, false
	}
	_, err = fmt.Sscanf(after, "%d", &n)
	return n, err == nil
}

// refuseUnknown joins an error for each key that no setting has, and for each
// secret.
func refuseUnknown(from source, all []setting) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(from.values)) {
		at := slices.IndexFunc(all, func(s setting) bool { return s.key == key })
		isSection := slices.ContainsFunc(all, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
		switch silent := from.values[key] == nil; {
		case silent && (at >= 0 || isSection):
		case at < 0:
			errs = append(errs, fmt.Errorf("unknown key %s in %s: did you mean %s?", quoted(key), from.name, nearest(key, keys(all))))
		case all[at].secret:
			errs = append(errs, fmt.Errorf("%s stands in %s: put the secret into a file of its own and name that by %s_file, or set %s",
				key, from.name, key, variableOf(key)))
			delete(from.values, key)
		}
	}
	return errors.Join(errs...)
}

// serviceVariable is how Kubernetes' variables of a service end.
var serviceVariable = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// isOfService says that a variable is one of those that Kubernetes makes of each service:
// COUPONGRANT_GATEWAY_PORT of one that is named coupongrant-gateway. The service's host
// is always among them, and not where somebody means a key of ours.
func isOfService(variable string, environ []string) bool {
	end := serviceVariable.FindStringIndex(variable)
	return end != nil && slices.ContainsFunc(environ, func(entry string) bool {
		return strings.HasPrefix(entry, variable[:end[0]]+"_SERVICE_HOST=")
	})
}

// fromEnviron reads the variables of known keys. One of our sections that no key has is
// an error, and so is one that is a known one but for a letter or two; empty ones count
// as not set. Others that begin like ours may be somebody's.
func fromEnviron(environ []string, all []setting) (source, error) {
	from := source{name: "environment", values: map[string]any{}}
	byVariable, sections := map[string]string{}, []string{}
	for _, s := range all {
		byVariable[s.variable()] = s.key
		if name := section(s.key); name != "" {
			sections = append(sections, variableOf(name)+"_")
		}
	}
	variables := slices.Sorted(maps.Keys(byVariable))
	var errs []error
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		if key, known := byVariable[variable]; known {
			if text != "" {
				from.values[key] = text
			}
			continue
		}
		if !strings.HasPrefix(variable, variablePrefix) || isOfService(variable, environ) {
			continue
		}
		meant := nearest(variable, variables)
		ours := slices.ContainsFunc(sections, func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
		if ours || distance(variable, meant) <= 2 {
			errs = append(errs, fmt.Errorf("unknown variable %s: did you mean %s?", variable, meant))
		}
	}
	return from, errors.Join(errs...)
}

// fromFlags takes the flags that were given.
func fromFlags(flags *pflag.FlagSet, all []setting) source {
	from := source{name: "flag", values: map[string]any{}}
	known := keys(all)
	flags.Visit(func(f *pflag.Flag) {
		if slices.Contains(known, f.Name) {
			from.values[f.Name] = f.Value.String()
		}
	})
	return from
}

// addFlags makes a flag of every key that may be one. They hold text: their
// values are read when it is known which source wins.
func addFlags(flags *pflag.FlagSet, cfg Config) {
	for _, s := range cfg.settings() {
		if s.secret {
			continue
		}
		flags.String(s.key, "", s.about)
		flags.Lookup(s.key).Hidden = true
		if _, isBool := s.value.(scalar[bool]); isBool {
			flags.Lookup(s.key).NoOptDefVal = "true"
		}
	}
}
