//go:build linux

package xenbox

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// writePayload writes the payload disk: a tar that dom0's init unpacks at /.
func writePayload(name string, agent string, j *job, sends []transfer) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	err = func() error {
		data, err := json.Marshal(j)
		if err != nil {
			return err
		}
		if err := addBytes(w, jobPath, 0o600, data); err != nil {
			return err
		}
		if err := addTree(w, agentPath, agent); err != nil {
			return err
		}
		for _, s := range sends {
			add := addTree
			if s.Sources {
				add = addSources
			}
			if err := add(w, s.Guest, s.Host); err != nil {
				return fmt.Errorf("sending %s: %w", s.Host, err)
			}
		}
		return w.Close()
	}()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	// A disk is a whole number of sectors; tar readers like whole records.
	st, err := f.Stat()
	if err == nil {
		err = f.Truncate((st.Size() + 10239) / 10240 * 10240)
	}
	return errors.Join(err, f.Close())
}

func addBytes(w *tar.Writer, name string, mode int64, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: mode, Size: int64(len(data)), Format: tar.FormatGNU}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(data))
	return err
}

// addTree adds a file, or a folder with all that is in it, under name. A link
// at the top is followed, links below it stay links.
func addTree(w *tar.Writer, name, from string) error {
	return addFiltered(w, name, from, func(fs.DirEntry) bool { return false })
}

// addSources is addTree without what is not source.
func addSources(w *tar.Writer, name, from string) error {
	return addFiltered(w, name, from, notSource)
}

func addFiltered(w *tar.Writer, name, from string, skip func(fs.DirEntry) bool) error {
	top, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if skip(d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if st.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		} else if !st.Mode().IsRegular() && !st.IsDir() {
			return nil // sockets and devices mean nothing elsewhere
		}
		h, err := tar.FileInfoHeader(st, link)
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(path.Join(name, rel), "/")
		if st.IsDir() {
			h.Name += "/"
		}
		// In this format the times go where busybox expects a part of the name.
		h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
		h.Uid, h.Gid, h.Uname, h.Gname, h.Format = 0, 0, "", "", tar.FormatGNU
		if err := w.WriteHeader(h); err != nil || !st.Mode().IsRegular() {
			return err
		}
		in, err := os.Open(p)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.CopyN(w, in, st.Size())
		return err
	})
}

// unpackFetched reads the tar that the agent sends: names begin with the
// index of the fetch that they belong to.
func unpackFetched(r io.Reader, fetches []transfer) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		if err := unpackOne(h, tr, fetches); err != nil {
			return err
		}
	}
}

func unpackOne(h *tar.Header, r io.Reader, fetches []transfer) error {
	first, rest, _ := strings.Cut(strings.TrimSuffix(h.Name, "/"), "/")
	var i int
	if _, err := fmt.Sscanf(first, "%d", &i); err != nil || i < 0 || i >= len(fetches) {
		return fmt.Errorf("unexpected file %q", h.Name)
	}
	if rest != "" && !filepath.IsLocal(rest) {
		return fmt.Errorf("refusing the path %q", h.Name)
	}
	to := filepath.Join(fetches[i].Host, rest)
	mode := fs.FileMode(h.Mode & 0o777)
	if h.Typeflag == tar.TypeDir {
		return os.MkdirAll(to, mode|0o700)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode|0o200)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		return forceLink(h.Linkname, to)
	}
	return nil
}
