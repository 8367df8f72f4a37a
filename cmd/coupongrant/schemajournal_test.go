package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// post registers a schema of a record with the given name and gives its id.
func post(t *testing.T, h http.Handler, subject, name string) int {
	t.Helper()
	schema, err := json.Marshal(map[string]string{"schema": `{"type":"record","name":"` + name + `","fields":[]}`})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/subjects/"+subject+"/versions", strings.NewReader(string(schema))))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var answer struct{ ID int }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	return answer.ID
}

func journal(t *testing.T, path string) http.Handler {
	t.Helper()
	h, err := rememberSchemas(srfake.NewRegistry().Handler(), path)
	require.NoError(t, err)
	return h
}

func TestSchemaIDsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "schemas.jsonl")
	first := journal(t, path)
	one, two := post(t, first, "a-value", "A"), post(t, first, "b-value", "B")
	require.Equal(t, one, post(t, first, "c-value", "A"), "the same schema has one id")
	size := fileSize(t, path)
	post(t, first, "a-value", "A")
	require.Equal(t, size, fileSize(t, path), "a repetition adds nothing")

	again := journal(t, path)
	require.Equal(t, two, post(t, again, "b-value", "B"), "in another order")
	require.Equal(t, one, post(t, again, "a-value", "A"))

	forgetful := journal(t, "")
	require.NotEqual(t, two, post(t, forgetful, "b-value", "B"), "without the file the order decides")
}

func TestAHalfWrittenRegistrationIsDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "schemas.jsonl")
	one := post(t, journal(t, path), "a-value", "A")
	whole := fileSize(t, path)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(`{"subject":"b-value","bo`)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	h := journal(t, path)
	require.Equal(t, whole, fileSize(t, path))
	two := post(t, h, "c-value", "C")
	require.NotEqual(t, one, two)
	require.Equal(t, two, post(t, journal(t, path), "c-value", "C"))
}

// A full disk takes a line in part. The registry has the registration by then, so each
// that came after it would have another id once the file is read again: none is taken.
func TestAfterARegistrationThatFitsInPartNoneIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "schemas.jsonl")
	h := journal(t, path)
	one := post(t, h, "a-value", "A")
	whole := fileSize(t, path)

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var usual syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(whole) + 10, Max: usual.Max}))
	full := httptest.NewRecorder()
	h.ServeHTTP(full, httptest.NewRequest(http.MethodPost, "/subjects/b-value/versions", strings.NewReader(`{"schema":"\"string\""}`)))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &usual))
	require.Equal(t, http.StatusInternalServerError, full.Code)
	require.Contains(t, full.Body.String(), "file too large", "the fault was met")

	late := httptest.NewRecorder()
	h.ServeHTTP(late, httptest.NewRequest(http.MethodPost, "/subjects/c-value/versions", strings.NewReader(`{"schema":"\"int\""}`)))
	require.Equal(t, http.StatusInternalServerError, late.Code)
	require.Contains(t, late.Body.String(), "file too large")
	require.Equal(t, one, post(t, h, "a-value", "A"), "what is kept is known")

	again := journal(t, path)
	require.Equal(t, whole, fileSize(t, path))
	two := post(t, again, "c-value", "C")
	require.Equal(t, two, post(t, journal(t, path), "c-value", "C"))
}

// What did not reach the disk is not taken for known.
func TestARegistrationThatIsNotOnDiskIsNotKnown(t *testing.T) {
	reader, file, err := os.Pipe() // which no disk is behind
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(reader.Close(), file.Close())) }()
	j := &schemaJournal{registry: srfake.NewRegistry().Handler(), file: file, known: map[string]bool{}}
	for range 2 {
		require.ErrorIs(t, j.write(registration{"a-value", []byte("{}")}), syscall.EINVAL)
	}
}

func TestAJournalThatCannotBeReadIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "x\n",
		"refused":  `{"subject":"a-value","body":{"schema":"no schema"}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "schemas.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := rememberSchemas(srfake.NewRegistry().Handler(), path)
			require.ErrorContains(t, err, path)
		})
	}
}

func TestOtherRequestsPassTheJournal(t *testing.T) {
	h := journal(t, filepath.Join(t.TempDir(), "schemas.jsonl"))
	post(t, h, "a-value", "A")
	require.JSONEq(t, `["a-value"]`, ask(h, http.MethodGet, "/subjects").Body.String())
	require.Equal(t, http.StatusNotFound, ask(h, http.MethodGet, "/subjects/b-value/versions").Code)
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}
