package main

import (
	"fmt"
	"time"
)

const day = 24 * time.Hour

// momentLayouts are read in the zone of the machine, as its clock shows them.
var momentLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

// parseMoment reads a time as a person at a terminal says it: how long ago it
// was, or a time. The flag is for the error. Empty: the zero time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range momentLayouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is %q: say how long ago, such as 90m or 36h, or a time such as 2026-11-26T03:00:00Z or '2026-11-26 03:00'", flag, text)
}

// parsePeriod reads --since and --until.
func parsePeriod(since, until string, now time.Time) (from, to time.Time, err error) {
	if from, err = parseMoment("--since", since, now); err != nil {
		return from, to, err
	}
	if to, err = parseMoment("--until", until, now); err != nil {
		return from, to, err
	}
	if since != "" && until != "" && !from.Before(to) {
		err = fmt.Errorf("--until is %s, which is not after --since (%s): a period ends before --until", until, since)
	}
	return from, to, err
}

// clock shows a time as the machine's clock does, with its date.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
