//go:build linux

package xenbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// recipeVersion is part of every image's key. Raise it when the code that
// builds images changes in a way that the rest of the key does not show.
const recipeVersion = 2

// keepUnused is how long an image that no run has asked for is kept.
const keepUnused = 14 * 24 * time.Hour

// cacheDir is the folder of all images of this user.
func cacheDir() (string, error) {
	if d := os.Getenv("XENBOX_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the image (set XENBOX_CACHE to a folder): %w", err)
	}
	return filepath.Join(d, "xenlight", "xenbox"), nil
}

// imageKey names the content of a target's image: whatever changes the image
// changes the key.
func imageKey(t target) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, v := range []any{recipeVersion, t, t.packages(), discard, sifted, bootModules, initModules, extraModules,
		hardwareModules, guestBootModules, guestModules, guestApplets, dom0Applets, configFiles, udevRules, rootSize, initramfsScript, initScript, guestInitScript} {
		if err := enc.Encode(v); err != nil {
			panic(err) // plain values always encode
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// An artefact is what the manifest knows of a file.
type artefact struct {
	Size   int64
	Time   int64  // modification time in nanoseconds
	SHA256 string // of the content, holes left out
}

// A manifest is written last: an image without one is not an image.
type manifest struct {
	Key   string
	Files map[string]artefact
}

const manifestName = "manifest.json"

var artefactNames = []string{fileXen, fileKernel, fileInitrd, fileRoot}

// An image is a target's artefacts in the cache.
type image struct {
	target target
	dir    string
}

// openImage returns the target's image and builds it when it is not in the
// cache or broken. With force it is always built anew; with full all of its
// content is checked rather than the files' sizes and times.
func openImage(ctx context.Context, t target, p *progress, force, full bool) (*image, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	key := imageKey(t)
	img := &image{target: t, dir: filepath.Join(cache, "images", t.String()+"-"+key)}
	if !force && !full && checkImage(img.dir, key, false) == nil {
		return img, img.touch()
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "locks", t.String()), func() { p.stage("waiting for another xenbox that builds") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !force {
		switch err := checkImage(img.dir, key, full); {
		case err == nil:
			return img, img.touch() // built by another xenbox meanwhile
		case !errors.Is(err, os.ErrNotExist):
			p.say("the cached image is broken (%v): building it anew", err)
		}
	}
	if err := rebuild(ctx, img, cache, key, p); err != nil {
		return nil, err
	}
	prune(filepath.Dir(img.dir), img.dir, time.Now())
	return img, nil
}

// buildFunc makes the artefacts; tests replace it.
var buildFunc = buildImage

// rebuild builds in a folder aside and moves the result into place. The lock
// is held, so folders left aside by killed builds can go.
func rebuild(ctx context.Context, img *image, cache, key string, p *progress) error {
	aside := filepath.Join(cache, "tmp")
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	stale, _ := filepath.Glob(filepath.Join(aside, img.target.String()+"-*"))
	for _, d := range stale {
		os.RemoveAll(d)
	}
	tmp, err := os.MkdirTemp(aside, img.target.String()+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := buildFunc(ctx, img.target, tmp, p); err != nil {
		return err
	}
	p.stage("taking checksums")
	m := manifest{Key: key, Files: make(map[string]artefact)}
	for _, name := range artefactNames {
		a, err := inspect(filepath.Join(tmp, name), true)
		if err != nil {
			return &BuildError{Step: "taking checksums", Err: err}
		}
		m.Files[name] = a
	}
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, manifestName), data, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(img.dir), 0o755); err != nil {
		return err
	}
	// Runs that use the old image have its files open already.
	if err := os.RemoveAll(img.dir); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, img.dir)
}

// checkImage tells what is wrong with the image in dir. The quick check takes
// sizes and modification times for the content, and reads a file only if its
// time differs from the manifest's.
func checkImage(dir, key string, full bool) error {
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %v", manifestName, err)
	}
	if m.Key != key {
		return fmt.Errorf("%s is of another image", manifestName)
	}
	for _, name := range artefactNames {
		want := m.Files[name]
		got, err := inspect(filepath.Join(dir, name), false)
		if err != nil {
			return fmt.Errorf("%s is not readable: %v", name, err)
		}
		if got.Size != want.Size {
			return fmt.Errorf("%s has %d bytes instead of %d", name, got.Size, want.Size)
		}
		if !full && got.Time == want.Time {
			continue
		}
		if got, err = inspect(filepath.Join(dir, name), true); err != nil {
			return fmt.Errorf("%s is not readable: %v", name, err)
		}
		if got.SHA256 != want.SHA256 {
			return fmt.Errorf("%s has another content than when it was built", name)
		}
	}
	return nil
}

// inspect looks at a file, and with sum also at its content.
func inspect(name string, sum bool) (artefact, error) {
	f, err := os.Open(name)
	if err != nil {
		return artefact{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return artefact{}, err
	}
	a := artefact{Size: st.Size(), Time: st.ModTime().UnixNano()}
	if !sum {
		return a, nil
	}
	h := sha256.New()
	buf, zero := make([]byte, 1<<16), make([]byte, 1<<16)
	for i := 0; ; i++ {
		n, err := io.ReadFull(f, buf)
		if n > 0 && !bytes.Equal(buf[:n], zero[:n]) {
			fmt.Fprintf(h, "%d\n", i) // empty blocks count by the gap they leave
			h.Write(buf[:n])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return a, err
		}
	}
	a.SHA256 = hex.EncodeToString(h.Sum(nil))
	return a, nil
}

// touch notes that the image is in use: prune goes by the manifest's time.
func (img *image) touch() error {
	now := time.Now()
	os.Chtimes(filepath.Join(img.dir, manifestName), now, now) // a read-only cache is fine
	return nil
}

func (img *image) path(name string) string { return filepath.Join(img.dir, name) }

// prune removes images, other than keep, that nobody has used for long.
func prune(images, keep string, now time.Time) {
	entries, err := os.ReadDir(images)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join(images, e.Name())
		if dir == keep || !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		st, err := os.Stat(filepath.Join(dir, manifestName))
		if err != nil {
			st, err = os.Stat(dir)
		}
		if err == nil && now.Sub(st.ModTime()) > keepUnused {
			os.RemoveAll(dir)
		}
	}
}
