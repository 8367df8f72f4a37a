package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
)

// maxRegistration bounds the body of a registration, as srfake does.
const maxRegistration = 1 << 20

// schemaJournal keeps the registrations of an embedded registry in a file, in
// their order. The registry numbers schemas in the order in which they come, so
// the same registrations give the same ids after a restart, which is what keeps
// the records of the embedded broker readable. Deletions are not kept.
type schemaJournal struct {
	registry http.Handler

	mu     sync.Mutex // of registrations, so that the file has their order
	file   *os.File
	whole  int64           // where the last whole line of the file ends
	known  map[string]bool // lines
	failed error           // why a line did not get into the file
}

// registration is a line of the file.
type registration struct {
	Subject string          `json:"subject"`
	Body    json.RawMessage `json:"body"` // as it was posted
}

// rememberSchemas carries out what the file at path says, and gives a handler
// that writes down what is registered from then on. Without a path nothing is
// kept. The file is closed with the process: a line is on its way to the disk
// when it is written.
func rememberSchemas(registry http.Handler, path string) (http.Handler, error) {
	if path == "" {
		return registry, nil
	}
	j := &schemaJournal{registry: registry, known: map[string]bool{}}
	err := j.replay(path)
	if err != nil {
		return nil, err
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	return j, j.rewind() // from what a crash has left of a line: its registration was not answered
}

// replay registers everything again, up to the last whole line.
func (j *schemaJournal) replay(path string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range bytes.Lines(text) {
		if line[len(line)-1] != '\n' {
			break
		}
		var r registration
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s, from byte %d on: %w", path, j.whole, err)
		}
		if answer := j.register(r); answer.status != http.StatusOK {
			return fmt.Errorf("%s, from byte %d on: the registry refuses it with %d", path, j.whole, answer.status)
		}
		j.keep(line)
	}
	return nil
}

// keep notes a line of the file.
func (j *schemaJournal) keep(line []byte) {
	j.known[string(line)] = true
	j.whole += int64(len(line))
}

func (j *schemaJournal) register(r registration) *heldAnswer {
	answer := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	j.registry.ServeHTTP(answer, &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Path: "/subjects/" + r.Subject + "/versions"},
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(r.Body)),
	})
	return answer
}

// ServeHTTP writes a registration down after it was carried out and before it
// is answered: nobody uses an id that a restart could give to another schema.
func (j *schemaJournal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	subject, isRegistration := registeredSubject(r)
	if !isRegistration {
		j.registry.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	asked := registration{subject, body}
	answer := j.register(asked)
	if answer.status == http.StatusOK {
		err = j.write(asked)
	}
	if err != nil {
		http.Error(w, "the registration cannot be kept: "+err.Error(), http.StatusInternalServerError)
		return
	}
	answer.sendTo(w)
}

func registeredSubject(r *http.Request) (string, bool) {
	rest, found := strings.CutPrefix(r.URL.Path, "/subjects/")
	subject, isVersions := strings.CutSuffix(rest, "/versions")
	return subject, found && isVersions && r.Method == http.MethodPost && !strings.Contains(subject, "/")
}

// write adds a line, unless it is there already. After one that did not get there none
// does: the registry has numbered it, so the ids of the next ones would change with a
// restart, and a line may have been left in part.
func (j *schemaJournal) write(r registration) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if j.known[string(line)] {
		return nil
	}
	if j.failed == nil {
		_, err = j.file.Write(line)
		j.failed = errors.Join(err, j.file.Sync())
	}
	if j.failed != nil {
		return fmt.Errorf("none is until a restart: %w", j.failed)
	}
	j.keep(line)
	return nil
}

// rewind cuts off what comes after the last whole line.
func (j *schemaJournal) rewind() error {
	if err := j.file.Truncate(j.whole); err != nil {
		return err
	}
	_, err := j.file.Seek(j.whole, io.SeekStart)
	return err
}

// heldAnswer holds an answer back until it may leave.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *heldAnswer) Header() http.Header         { return a.header }
func (a *heldAnswer) WriteHeader(status int)      { a.status = status }
func (a *heldAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *heldAnswer) sendTo(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // an error means that the caller left
}
