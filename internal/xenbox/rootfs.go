//go:build linux

package xenbox

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// usrMerged are the top folders that a merged-/usr system has as links. The
// older suites' packages still carry files below the plain names.
var usrMerged = []string{"bin", "sbin", "lib", "lib64"}

// mergeUsr maps a path of a package to its place in a merged /usr.
func mergeUsr(name string) string {
	first, _, _ := strings.Cut(name, "/")
	for _, d := range usrMerged {
		if first == d {
			return "usr/" + name
		}
	}
	return name
}

// unpackRoot unpacks the tar stream of a root below root and merges /usr.
// Owners are not kept: everything in the image will belong to root. Device
// nodes are left out: dom0 has devtmpfs.
func unpackRoot(r io.Reader, root *os.Root) error {
	for _, d := range usrMerged {
		if err := root.MkdirAll("usr/"+d, 0o755); err != nil {
			return err
		}
		if err := root.Symlink("usr/"+d, d); err != nil {
			return err
		}
	}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if name == "" || isMergedLink(name) {
			continue
		}
		if err := unpackEntry(root, mergeUsr(name), h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// isMergedLink tells whether name is one of the links that unpackRoot has made.
func isMergedLink(name string) bool {
	return mergeUsr(name) != name && !strings.Contains(name, "/")
}

func unpackEntry(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := fs.FileMode(h.Mode & 0o777)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, mode|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeReg:
		if err := remove(root, name); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Chmod(mode|0o600), f.Close())
	case tar.TypeSymlink:
		if linkTarget(name, h.Linkname) == name {
			return nil // a compatibility link between / and /usr
		}
		if err := remove(root, name); err != nil {
			return err
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		if err := remove(root, name); err != nil {
			return err
		}
		return root.Link(mergeUsr(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")), name)
	}
	return nil
}

// remove makes place for a file; a folder is left alone.
func remove(root *os.Root, name string) error {
	err := root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// linkTarget is the place in a merged /usr that a symbolic link at name points to.
func linkTarget(name, link string) string {
	if !path.IsAbs(link) {
		link = path.Join("/", path.Dir(name), link)
	}
	return mergeUsr(strings.TrimPrefix(path.Clean(link), "/"))
}
