package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed console
var consoleFiles embed.FS

// consolePolicy lets the page use what this program serves and nothing else. With
// trusted types, no text can become markup: what stands in a request id is text.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// servePage serves the console: the page at /, and its parts below /console/.
func servePage(mux *http.ServeMux) {
	err := fs.WalkDir(consoleFiles, "console", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := consoleFiles.ReadFile(name)
		if err != nil {
			return err
		}
		pattern := "GET /" + name
		if name == "console/index.html" {
			pattern = "GET /{$}"
		}
		mux.Handle(pattern, pagePart(name, body))
		return nil
	})
	if err != nil {
		panic("console: " + err.Error()) // the files are in this binary
	}
}

// pagePart serves a file, and answers a browser that has it already with its tag
// alone.
func pagePart(name string, body []byte) http.Handler {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	kind := kindOf(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", kind)
		header.Set("Content-Security-Policy", consolePolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-cache") // ask each time: the next version may have another
		header.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// kindOf does not ask the mime package for what we ship: it goes by the system's
// tables first, which may differ from host to host.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}
