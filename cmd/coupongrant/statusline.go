package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// statusLine is the last line of a terminal, which is written over again and
// again. Where nobody looks it does nothing. Other output to the same terminal
// goes through Write, so that it stands above the line. Safe for concurrent use.
type statusLine struct {
	out  io.Writer
	live bool // a person looks

	mu   sync.Mutex
	text string
}

const (
	clearLine = "\r\x1b[K"
	maxStatus = 110 // a line that wraps could not be written over
)

func newStatusLine(out io.Writer) *statusLine {
	return &statusLine{out: out, live: terminal(out)}
}

// set writes the line anew.
func (s *statusLine) set(text string) {
	if !s.live {
		return
	}
	if runes := []rune(text); len(runes) > maxStatus {
		text = string(runes[:maxStatus-1]) + "…"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
	_, _ = io.WriteString(s.out, clearLine+text)
}

// Write puts p above the line. p should end a line.
func (s *statusLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live || s.text == "" {
		return s.out.Write(p)
	}
	if _, err := io.WriteString(s.out, clearLine); err != nil {
		return 0, err
	}
	n, err := s.out.Write(p)
	_, _ = io.WriteString(s.out, s.text)
	return n, err
}

// close takes the line away. It may be called more than once.
func (s *statusLine) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live && s.text != "" {
		_, _ = io.WriteString(s.out, clearLine)
	}
	s.text = ""
}

// readProgress shows on a line how far reading is.
func readProgress(line *statusLine) func(read, total int64) {
	began := time.Now()
	return func(read, total int64) {
		line.set(fmt.Sprintf("%d of %d offsets read, %s", read, total, time.Since(began).Round(time.Second)))
	}
}
