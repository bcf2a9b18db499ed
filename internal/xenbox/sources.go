//go:build linux

package xenbox

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Tests read files of their module: testdata, but golden files and sources of
// other packages too. A module's files go along with a test binary, without what
// is not source.
const (
	maxSourceFile = 4 << 20
	maxSources    = 64 << 20
)

// notSource names what does not go along: version control, what go build
// ignores for its name and is likely large, and large files.
func notSource(d fs.DirEntry) bool {
	if d.IsDir() {
		return d.Name() == ".git" || d.Name() == "node_modules"
	}
	st, err := d.Info()
	return err != nil || st.Size() > maxSourceFile
}

// sourceRoot is the folder of the module that dir belongs to; empty if there is
// none, or if there is too much in it to be sent.
func sourceRoot(dir string) string {
	root := dir
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			return ""
		}
		root = parent
	}
	var total int64
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case notSource(d) && d.IsDir():
			return fs.SkipDir
		case d.Type().IsRegular() && !notSource(d):
			if st, err := d.Info(); err == nil {
				total += st.Size()
			}
		}
		if total > maxSources {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || total > maxSources {
		return ""
	}
	return root
}
