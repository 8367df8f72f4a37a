package processor

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What doc.go promises a reader must be there: the tests and controls it names.
func TestDocNamesWhatExists(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	tests, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var source []byte
	for _, name := range tests {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		source = append(source, text...)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(doc), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		require.Contains(t, string(source), "func "+name+"(t *testing.T)")
	}
	for _, m := range regexp.MustCompile(`control ([a-z-]+)`).FindAllStringSubmatch(string(doc), -1) {
		require.FileExists(t, filepath.Join("testdata", "controls", m[1]+".diff"))
	}
}

// The maps of the packages forget no file, and name none that is not there.
func TestPackageDocsNameTheirFiles(t *testing.T) {
	for _, doc := range []string{
		"doc.go", "proof/doc.go", "../schemas/doc.go", "../topclient/doc.go", "../topclient/topsim/doc.go",
		"../cmd/coupongrant/main.go", "../cmd/coupongrant/bench/doc.go",
	} {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		comment, _, _ := strings.Cut(string(text), "\npackage ")
		named := regexp.MustCompile(`[\w*]+\.go\b`).FindAllString(comment, -1)
		paths, err := filepath.Glob(filepath.Join(filepath.Dir(doc), "*.go"))
		require.NoError(t, err)
		var files []string
		for _, path := range paths {
			if name := filepath.Base(path); name != filepath.Base(doc) && !strings.HasSuffix(name, "_test.go") {
				files = append(files, name)
			}
		}
		is := func(name, file string) bool {
			fits, err := filepath.Match(name, file)
			require.NoError(t, err)
			return fits
		}
		for _, file := range files {
			require.True(t, slices.ContainsFunc(named, func(name string) bool { return is(name, file) }), "%s forgets %s", doc, file)
		}
		for _, name := range named {
			mapped := slices.ContainsFunc(files, func(file string) bool { return is(name, file) })
			require.True(t, mapped || name == filepath.Base(doc) || name == "page_test.go", "%s names %s", doc, name)
		}
	}
}

// What the pages that people judge by name must be there as well, in whichever package.
func TestPagesNameTestsThatExist(t *testing.T) {
	var source []byte
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source = append(source, text...)
		return err
	}))
	pages, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	all := 0
	for _, page := range append(pages, "../SECURITY.md", "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(string(text), -1)
		all += len(named)
		for _, name := range named {
			there := regexp.MustCompile("func " + name[1] + `\(\w+ \*testing\.[TF]\)`)
			require.True(t, there.Match(source), "%s names %s", page, name[1])
		}
	}
	require.Greater(t, all, 200, "the pages are full of them")
}
